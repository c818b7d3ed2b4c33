package metastore

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
)

// compare looks for differences between what the entries give and the snapshot of the same position.
func (s *Survey) compare(saved *State) {
	disagrees := func(format string, args ...any) {
		s.fault(SnapshotDisagrees, saved.at.Seq, fmt.Sprintf(format, args...))
	}
	is := s.state
	if is.at != saved.at {
		disagrees("its checksum is %016x, that of the entries %016x", saved.at.Checksum, is.at.Checksum)
	}
	if is.time != saved.time {
		disagrees("its time is %d ms, that of the entries %d", saved.time, is.time)
	}
	if is.nextProducerID != saved.nextProducerID {
		disagrees("its next producer id is %d, that of the entries %d", saved.nextProducerID, is.nextProducerID)
	}
	if !slices.Equal(is.recentSegments(), saved.recentSegments()) {
		disagrees("it has %d segments whose commit may be asked for again, which are not the %d of the entries", len(saved.recent), len(is.recent))
	}
	if !bytes.Equal(is.configs.bytesOrNone(), saved.configs.bytesOrNone()) {
		disagrees("its settings of brokers, groups or metrics are not those of the entries")
	}
	compareTxns(is, saved, disagrees)
	for id, t := range saved.topics {
		if is.topics[id] == nil {
			disagrees("it has topic %s (%s), the entries have not", t.Name, id)
		}
	}
	for id, t := range is.topics {
		other := saved.topics[id]
		if other == nil {
			disagrees("it lacks topic %s (%s)", t.Name, id)
			continue
		}
		if !sameTopic(t.Topic, other.Topic) || len(t.partitions) != len(other.partitions) {
			disagrees("its topic %s is not as the entries made it", t.Name)
			continue
		}
		for i := range t.partitions {
			if what := is.partitionDiffers(&t.partitions[i], saved, &other.partitions[i]); what != "" {
				disagrees("partition %d of topic %s: %s", i, t.Name, what)
			}
		}
	}
}

func (s *State) recentSegments() []segment {
	list := make([]segment, len(s.recent))
	for i, n := range s.recent {
		list[i] = *s.table.at(n)
	}
	return list
}

func (o *configOverrides) bytesOrNone() []byte {
	if o.empty() {
		return nil
	}
	return o.encode()
}

func sameTopic(a, b *Topic) bool {
	return a.Name == b.Name && a.Partitions == b.Partitions && a.ReplicationFactor == b.ReplicationFactor &&
		maps.Equal(a.Configs, b.Configs) && a.CreatedAt.Equal(b.CreatedAt)
}

// partitionDiffers says how a partition differs from the same one of the snapshot; "" if it does not.
func (s *State) partitionDiffers(p *partition, saved *State, other *partition) string {
	switch {
	case p.logStart != other.logStart || p.high != other.high:
		return fmt.Sprintf("it goes from %d to %d, by the entries from %d to %d", other.logStart, other.high, p.logStart, p.high)
	case p.runs.len() != other.runs.len():
		return fmt.Sprintf("it has %d runs, by the entries %d", other.runs.len(), p.runs.len())
	}
	for i := range p.runs.len() {
		if is, was := s.export(p.runs.at(i)), saved.export(other.runs.at(i)); !sameRun(is, was) {
			return fmt.Sprintf("its run of offset %d is %s, by the entries %s of offset %d", was.Base, runText(was), runText(is), is.Base)
		}
	}
	if !maps.EqualFunc(s.producersByID(p), saved.producersByID(other), producer.same) {
		return "what it knows of its producers is not what the entries say"
	}
	var open, aborted = p.txns.lists()
	if wasOpen, wasAborted := other.txns.lists(); !slices.Equal(open, wasOpen) || !slices.Equal(aborted, wasAborted) {
		return "its open or aborted transactions are not those of the entries"
	}
	return ""
}

func sameRun(a, b Run) bool {
	if (a.Marker == nil) != (b.Marker == nil) || a.Marker != nil && *a.Marker != *b.Marker {
		return false
	}
	a.Marker, b.Marker = nil, nil
	return a == b
}

func runText(r Run) string {
	if r.Marker != nil {
		return fmt.Sprintf("the end of a transaction of producer %d", r.Marker.Producer)
	}
	return fmt.Sprintf("%d records in bytes %d to %d of segment %s", r.Records, r.Position, uint64(r.Position)+uint64(r.Length), r.Segment)
}

func (s *State) producersByID(p *partition) map[ProducerID]producer {
	if p.producers == nil || p.producers.used == 0 {
		return nil
	}
	all := make(map[ProducerID]producer, p.producers.used)
	for _, place := range p.producers.places {
		if place != 0 {
			known := s.producers.at(place - 1)
			all[known.id] = known.producer
		}
	}
	return all
}

func (p producer) same(as producer) bool {
	return p.epoch == as.epoch && p.lastSeen == as.lastSeen &&
		slices.Equal(p.batches[:p.count], as.batches[:as.count])
}

func (t *partitionTxns) lists() (open []openTxnStart, aborted []abortedTxn) {
	if t == nil {
		return nil, nil
	}
	return t.open, t.aborted
}

func compareTxns(is, saved *State, disagrees func(format string, args ...any)) {
	if len(is.txns.byID) != len(saved.txns.byID) {
		disagrees("it has %d transactional ids, the entries %d", len(saved.txns.byID), len(is.txns.byID))
	}
	for id := range is.txns.byID {
		if other := saved.txns.find(id); other == nil || !is.txns.find(id).same(other) {
			disagrees("its transactional id %q is not as the entries made it", id)
		}
	}
}

func (t *txn) same(as *txn) bool {
	a, b := *t, *as
	a.ongoing, b.ongoing, a.raised, b.raised = nil, nil, 0, 0
	if a != b || (t.ongoing == nil) != (as.ongoing == nil) {
		return false
	}
	return t.ongoing == nil || t.ongoing.started == as.ongoing.started && maps.Equal(t.ongoing.partitions, as.ongoing.partitions) &&
		maps.Equal(t.ongoing.groups, as.ongoing.groups) && maps.EqualFunc(t.ongoing.offsets, as.ongoing.offsets, sameCommitted)
}

func sameCommitted(a, b CommittedOffset) bool {
	at := a.CommittedAt.Equal(b.CommittedAt)
	a.CommittedAt = b.CommittedAt
	return at && a == b
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
