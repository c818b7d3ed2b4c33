package metastore

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

// snapshotVersion is the version of the snapshot format that this package writes. See FORMAT.md.
const snapshotVersion = 1

// clone copies what changes in place, so that the copy can be encoded while the state moves on. Runs are only ever
// appended, so their slices are shared.
func (s *State) clone() *State {
	c := *s
	c.topics = make(map[TopicID]*topicState, len(s.topics))
	for id, t := range s.topics {
		own := &topicState{
			Topic: t.Topic, partitions: slices.Clone(t.partitions),
			frozen: make([][]frozenProducer, len(t.partitions)),
		}
		for i := range own.partitions {
			p := &own.partitions[i]
			p.runs = p.runs[:len(p.runs):len(p.runs)]
			own.frozen[i] = freeze(p.producers)
			p.producers = nil
		}
		c.topics[id] = own
	}
	c.names, c.segments = nil, nil
	return &c
}

// frozenProducer is a producer in a clone: a list is copied in a fraction of the time that a map takes.
type frozenProducer struct {
	id ProducerID
	producer
}

func freeze(producers map[ProducerID]*producer) []frozenProducer {
	frozen := make([]frozenProducer, 0, len(producers))
	for id, from := range producers {
		frozen = append(frozen, frozenProducer{id, *from})
	}
	return frozen
}

// mayBecome returns ErrRegressed if next, of a later position, cannot have grown out of s. What lies between was
// trimmed, so there is no checksum to compare; but records and producer ids that were given never go away.
func (s *State) mayBecome(next *State) error {
	if next.nextProducerID < s.nextProducerID {
		return fmt.Errorf("snapshot at %d lost producer ids: %w", next.at.Seq, ErrRegressed)
	}
	for id, t := range s.topics {
		later, ok := next.topics[id]
		if !ok {
			continue // deleted
		}
		if len(later.partitions) < len(t.partitions) {
			return fmt.Errorf("snapshot at %d lost partitions of topic %s: %w", next.at.Seq, t.Name, ErrRegressed)
		}
		for i := range t.partitions {
			if was, is := &t.partitions[i], &later.partitions[i]; is.high < was.high || is.logStart < was.logStart {
				return fmt.Errorf("snapshot at %d lost records of topic %s, partition %d: %w", next.at.Seq, t.Name, i, ErrRegressed)
			}
		}
	}
	return nil
}

// encode writes a clone; equal states may differ in the order of topics and producers.
func (s *State) encode() []byte {
	b := []byte{snapshotVersion}
	b = binary.AppendVarint(b, s.time)
	b = binary.AppendUvarint(b, uint64(s.nextProducerID))
	segments, index := s.segmentTable()
	b = binary.AppendUvarint(b, uint64(len(segments)))
	for _, g := range segments {
		b = append(b, g.id[:]...)
		b = binary.AppendUvarint(b, uint64(g.size))
		b = binary.AppendUvarint(b, uint64(g.before.Seq))
		b = binary.BigEndian.AppendUint64(b, g.before.Checksum)
	}
	b = binary.AppendUvarint(b, uint64(len(s.recent)))
	for _, g := range s.recent {
		b = binary.AppendUvarint(b, uint64(index[g]))
	}
	b = binary.AppendUvarint(b, uint64(len(s.topics)))
	for _, t := range s.topics {
		b = createTopic{t.ID, t.Name, t.Partitions, t.ReplicationFactor, t.Configs}.append(b)
		b = binary.AppendVarint(b, t.CreatedAt.UnixMilli())
		for i := range t.partitions {
			b = t.partitions[i].encode(b, index, t.frozen[i])
		}
	}
	return b
}

// segmentTable lists the segments that runs or the recent list name.
func (s *State) segmentTable() ([]*segment, map[*segment]int) {
	var segments []*segment
	index := make(map[*segment]int)
	add := func(g *segment) {
		if _, ok := index[g]; !ok {
			index[g] = len(segments)
			segments = append(segments, g)
		}
	}
	for _, g := range s.recent {
		add(g)
	}
	for _, t := range s.topics {
		for i := range t.partitions {
			for j := range t.partitions[i].runs {
				add(t.partitions[i].runs[j].segment)
			}
		}
	}
	return segments, index
}

func (p *partition) encode(b []byte, segments map[*segment]int, producers []frozenProducer) []byte {
	b = binary.AppendUvarint(b, uint64(p.logStart))
	b = binary.AppendUvarint(b, uint64(p.high))
	b = binary.AppendUvarint(b, uint64(len(p.runs)))
	next, timestamp := Offset(0), int64(0)
	for i := range p.runs {
		r := &p.runs[i]
		b = binary.AppendUvarint(b, uint64(r.base-next))
		b = binary.AppendUvarint(b, uint64(r.records))
		b = binary.AppendUvarint(b, uint64(segments[r.segment]))
		b = binary.AppendUvarint(b, uint64(r.position))
		b = binary.AppendUvarint(b, uint64(r.length))
		b = binary.AppendVarint(b, r.maxTimestamp-timestamp)
		next, timestamp = r.base+Offset(r.records), r.maxTimestamp
	}
	b = binary.AppendUvarint(b, uint64(len(producers)))
	for i := range producers {
		from := &producers[i]
		b = binary.AppendUvarint(b, uint64(from.id))
		b = binary.AppendUvarint(b, uint64(from.epoch))
		b = binary.AppendVarint(b, from.lastSeen)
		b = append(b, from.count)
		for _, x := range from.batches[:from.count] {
			b = binary.AppendUvarint(b, uint64(x.first))
			b = binary.AppendUvarint(b, uint64(x.last))
			b = binary.AppendUvarint(b, uint64(x.offset))
		}
	}
	return b
}

// decodeState reads what encode wrote.
func decodeState(snapshot Snapshot) (*State, error) {
	d := &decoder{b: snapshot.State}
	if version := d.byte(); d.err == nil && version != snapshotVersion {
		return nil, fmt.Errorf("%w: snapshot version %d", ErrNewerFormat, version)
	}
	s := NewState()
	s.at = snapshot.Position
	s.time = d.varint()
	s.nextProducerID = ProducerID(d.uvarintMax(math.MaxInt64, "producer id"))
	segments := make([]*segment, d.count(26, "segments"))
	for i := range segments {
		segments[i] = &segment{
			id: d.uuid(), size: int64(d.uvarintMax(math.MaxInt64, "segment size")),
			before: Position{Seq: Seq(d.uvarintMax(math.MaxInt64, "seq")), Checksum: d.uint64()},
		}
	}
	for range d.count(1, "recent segments") {
		if i := d.uvarint(); i < uint64(len(segments)) {
			s.recent = append(s.recent, segments[i])
			s.segments[segments[i].id] = segments[i]
		} else {
			d.fail("recent segment")
		}
	}
	for range d.count(20, "topics") {
		d.topic(s, segments)
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("snapshot at %d: %w", snapshot.Seq, err)
	}
	return s, nil
}

func (d *decoder) topic(s *State, segments []*segment) {
	c := decodeCreateTopic(d)
	at := d.varint()
	if d.err != nil || int(c.partitions) > len(d.b) { // a partition takes four bytes or more
		d.fail("topic")
		return
	}
	t := &topicState{
		Topic: &Topic{
			ID: c.id, Name: c.name, Partitions: c.partitions, ReplicationFactor: c.replicationFactor,
			Configs: c.configs, CreatedAt: time.UnixMilli(at),
		},
		partitions: make([]partition, c.partitions),
	}
	for i := range t.partitions {
		d.partition(&t.partitions[i], segments)
	}
	s.topics[c.id], s.names[c.name] = t, t
}

func (d *decoder) partition(p *partition, segments []*segment) {
	p.logStart = Offset(d.uvarintMax(math.MaxInt64, "log start"))
	p.high = Offset(d.uvarintMax(math.MaxInt64, "high watermark"))
	if n := d.count(6, "runs"); n > 0 {
		p.runs = make([]run, n)
	}
	next, timestamp := Offset(0), int64(0)
	for i := range p.runs {
		r := &p.runs[i]
		r.base = next + Offset(d.uvarintMax(math.MaxInt64, "offset"))
		r.records = int32(d.uvarintMax(math.MaxInt32, "record count"))
		if g := d.uvarint(); g < uint64(len(segments)) {
			r.segment = segments[g]
		} else {
			d.fail("segment reference")
			return
		}
		r.position = uint32(d.uvarintMax(math.MaxUint32, "position"))
		r.length = uint32(d.uvarintMax(math.MaxUint32, "length"))
		r.maxTimestamp = timestamp + d.varint()
		next, timestamp = r.base+Offset(r.records), r.maxTimestamp
	}
	producers := d.count(5, "producers")
	if producers > 0 {
		p.producers = make(map[ProducerID]*producer, producers)
	}
	for range producers {
		id := ProducerID(d.uvarintMax(math.MaxInt64, "producer id"))
		from := &producer{epoch: ProducerEpoch(d.uvarintMax(math.MaxInt16, "producer epoch")), lastSeen: d.varint(), count: d.byte()}
		if from.count > rememberedBatches {
			d.fail("remembered batches")
			return
		}
		for i := range from.batches[:from.count] {
			from.batches[i] = producerBatch{
				first:  int32(d.uvarintMax(math.MaxInt32, "sequence")),
				last:   int32(d.uvarintMax(math.MaxInt32, "sequence")),
				offset: Offset(d.uvarintMax(math.MaxInt64, "offset")),
			}
		}
		p.producers[id] = from
	}
}
