package metastore

import (
	"context"
	"fmt"
)

// compare looks for differences between what the entries give and the snapshot of the same position.
func (s *Survey) compare(saved *State) {
	compareStates(s.state, saved, func(format string, args ...any) {
		s.fault(SnapshotDisagrees, saved.at.Seq, fmt.Sprintf(format, args...))
	})
}

// compareKept reads the entries that are kept before the snapshot.
func (s *Survey) compareKept(ctx context.Context, log LogReader, at Position, saved *State) error {
	for at.Seq < saved.at.Seq {
		entries, err := s.read(ctx, log, at)
		if err != nil || s.Broken {
			return err
		}
		if len(entries) == 0 {
			s.broken(at.Seq, fmt.Sprintf("the log ends after entry %d, before the snapshot of entry %d", at.Seq, saved.at.Seq))
			return nil
		}
		for _, e := range entries {
			if e.Seq > saved.at.Seq {
				break
			}
			rec, ok, err := s.next(at, e)
			if err != nil || !ok {
				return err
			}
			at = e.Position
			if c, ok := rec.change.(commitSegments); ok {
				s.compareCommit(e.Seq, c, saved)
			}
		}
	}
	if at != saved.at {
		s.broken(at.Seq, fmt.Sprintf("the snapshot of entry %d has checksum %016x, the entry %016x", at.Seq, saved.at.Checksum, at.Checksum))
	}
	return nil
}

// compareCommit looks for what a commit accepted in a later snapshot. Topics and records may have been deleted since.
func (s *Survey) compareCommit(seq Seq, c commitSegments, saved *State) {
	for i := range c.segments {
		for _, in := range c.segments[i].runs {
			p := saved.partition(in.TopicPartition)
			for j := range in.batches {
				b := &in.batches[j]
				if p == nil || b.verdict != Accepted || b.offset < p.logStart {
					continue
				}
				end := b.offset + Offset(b.records)
				if at := p.runs.find(b.offset); at < p.runs.len() {
					r := saved.export(p.runs.at(at))
					if r.Marker == nil && r.Segment == c.segments[i].id && r.Base <= b.offset && end <= r.Base+Offset(r.Records) {
						continue
					}
				}
				s.fault(SnapshotDisagrees, saved.at.Seq, fmt.Sprintf("entry %d gave offsets %d to %d of partition %d of topic %s to segment %s, and it says otherwise",
					seq, b.offset, end-1, in.Partition, saved.topics[in.Topic].Name, c.segments[i].id))
			}
		}
	}
}
