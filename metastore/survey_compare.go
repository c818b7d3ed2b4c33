package metastore

import (
	"context"
	"fmt"
	"slices"
)

// compare looks for differences between what the entries give and the snapshot of the same position.
func (s *Survey) compare(saved *State) {
	compareStates(s.state, saved, func(format string, args ...any) {
		s.fault(SnapshotDisagrees, saved.at.Seq, fmt.Sprintf(format, args...))
	})
}

// compareKept reads the entries that are kept before the snapshot.
func (s *Survey) compareKept(ctx context.Context, log LogReader, at Position, saved *State) error {
	kept := keptClaims{saved: saved, swaps: make(map[TopicPartition][]claim)}
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
			switch c := rec.change.(type) {
			case commitSegments:
				kept.commit(e.Seq, c)
			case swapRuns:
				kept.swap(e.Seq, c)
			}
		}
	}
	if at != saved.at {
		s.broken(at.Seq, fmt.Sprintf("the snapshot of entry %d has checksum %016x, the entry %016x", at.Seq, saved.at.Checksum, at.Checksum))
	}
	for _, c := range kept.unmet {
		if !kept.replaced(c) {
			s.fault(SnapshotDisagrees, saved.at.Seq, fmt.Sprintf("entry %d gave offsets %d to %d of partition %d of topic %s to segment %s, and it says otherwise",
				c.seq, c.begin, c.end-1, c.Partition, saved.topics[c.Topic].Name, c.segment))
		}
	}
	return nil
}

// claim is what an entry says: that offsets lie in a segment. For swaps, that what lay there was replaced.
type claim struct {
	TopicPartition
	seq        Seq
	begin, end Offset
	segment    SegmentID
}

// keptClaims are those that a later snapshot does not meet, and what swaps replaced since, which may be why. Topics and
// records may have been deleted since.
type keptClaims struct {
	saved *State
	unmet []claim
	swaps map[TopicPartition][]claim
}

// commit looks for what a commit accepted.
func (k *keptClaims) commit(seq Seq, c commitSegments) {
	for i := range c.segments {
		for _, in := range c.segments[i].runs {
			for j := range in.batches {
				if b := &in.batches[j]; b.verdict == Accepted {
					k.look(claim{in.TopicPartition, seq, b.offset, b.offset + Offset(b.records), c.segments[i].id})
				}
			}
		}
	}
}

// swap looks for the new runs of a swap.
func (k *keptClaims) swap(seq Seq, c swapRuns) {
	for i := range c.swapped {
		w := &c.swapped[i]
		k.swaps[w.TopicPartition] = append(k.swaps[w.TopicPartition], claim{TopicPartition: w.TopicPartition, seq: seq, begin: w.from, end: w.end})
		for j := range w.runs {
			r := &w.runs[j]
			k.look(claim{w.TopicPartition, seq, r.base, r.end(), c.segments[r.segment].ID})
		}
	}
}

func (k *keptClaims) look(c claim) {
	p := k.saved.partition(c.TopicPartition)
	if p == nil || c.end <= p.logStart {
		return
	}
	if r, ok := k.runAt(p, c); !ok || r.Marker != nil || r.Segment != c.segment || c.end > r.End() {
		k.unmet = append(k.unmet, c)
	}
}

// runAt finds the run that holds the first offset of a claim.
func (k *keptClaims) runAt(p *partition, c claim) (Run, bool) {
	at := p.runs.find(c.begin)
	if at == p.runs.len() || p.runs.at(at).base > c.begin {
		return Run{}, false
	}
	return k.saved.export(p.runs.at(at)), true
}

// replaced tells whether a later swap replaced what was claimed: then it lies in a segment of tier 1, or is superseded.
func (k *keptClaims) replaced(c claim) bool {
	if r, ok := k.runAt(k.saved.partition(c.TopicPartition), c); ok && r.Segment.Tier() != 1 {
		return false
	}
	return slices.ContainsFunc(k.swaps[c.TopicPartition], func(swap claim) bool {
		return swap.seq > c.seq && swap.begin < c.end && c.begin < swap.end
	})
}
