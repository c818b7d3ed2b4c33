package metastore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
)

// The versions of the snapshot format; see FORMAT.md. The plain one is written when there is nothing to put in a section, so
// that brokers which do not know sections read it.
const (
	plainSnapshot    = 1
	snapshotSections = 2
)

// clone makes a view that can be encoded while the state moves on, until it is given back to thaw. The state must be
// locked for writing. Lists of runs are views by themselves; producers, segments and their indexes are shared until they
// change, and copied then. So it copies the partitions themselves and a pointer for every 256
// producers or segments.
func (s *State) clone() *State {
	c := *s
	c.topics = make(map[TopicID]*topicState, len(s.topics))
	for id, t := range s.topics {
		own := *t
		own.partitions = slices.Clone(t.partitions)
		c.topics[id] = &own
	}
	c.names, c.numbered, c.dropped = nil, nil, droppedTopics{}
	c.sharing, c.decisions = nil, nil
	c.table, c.producers = s.table.view(), s.producers.view()
	c.txns, c.markers = s.txns.view(), s.markers.view()
	s.sharing.freeze()
	return &c
}

// thaw takes a clone back, which must not be used any more. The state must be locked for writing.
func (s *State) thaw() { s.sharing.thaw() }

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
			was, is := &t.partitions[i], &later.partitions[i]
			if is.high < was.high || is.logStart < was.logStart || is.stable() < was.stable() || is.cleanedTo < was.cleanedTo {
				return fmt.Errorf("snapshot at %d lost records of topic %s, partition %d: %w", next.at.Seq, t.Name, i, ErrRegressed)
			}
		}
	}
	return nil
}

// encode writes a clone; equal states may differ in the order of topics, producers and transactional ids.
func (s *State) encode() []byte { return s.encodeAs(false) }

// encodeAs is encode; sorted, equal states are equal bytes, however they came to be. That takes twice the time.
func (s *State) encodeAs(sorted bool) []byte {
	b := append(make([]byte, 0, s.sizeHint()), plainSnapshot)
	b = binary.AppendVarint(b, s.time)
	b = binary.AppendUvarint(b, uint64(s.nextProducerID))
	topics := slices.Collect(maps.Values(s.topics))
	if sorted {
		slices.SortFunc(topics, func(a, b *topicState) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	}
	segments, index := s.namedSegments(topics)
	var markers, producers []uint32 // markers by their place among all runs
	b = binary.AppendUvarint(b, uint64(len(segments)))
	for _, n := range segments {
		g := s.table.at(n)
		b = append(b, g.id[:]...)
		b = binary.AppendUvarint(b, uint64(g.size))
		b = binary.AppendUvarint(b, uint64(g.before.Seq))
		b = binary.BigEndian.AppendUint64(b, g.before.Checksum)
	}
	b = binary.AppendUvarint(b, uint64(len(s.recent)))
	for _, n := range s.recent {
		b = binary.AppendUvarint(b, uint64(index[n]))
	}
	b = binary.AppendUvarint(b, uint64(len(s.topics)))
	for _, t := range topics {
		b = createTopic{t.ID, t.Name, t.Partitions, t.ReplicationFactor, t.Configs}.append(b)
		b = binary.AppendVarint(b, t.CreatedAt.UnixMilli())
		for i := range t.partitions {
			p := &t.partitions[i]
			b, markers = s.encodeRuns(b, p, index, len(segments), markers)
			producers = s.producerNumbers(producers, p, sorted)
			b = s.encodeProducers(b, producers)
		}
	}
	return s.encodeSections(b, topics, index, markers, sorted)
}

// sizeHint is about how long the encoding will be.
func (s *State) sizeHint() int {
	size := 1024 + 40*int(s.table.used) + 40*s.producers.count + 64*int(s.txns.used) + 8*s.markers.count + 2*s.configs.size()
	for _, t := range s.topics {
		for i := range t.partitions {
			size += 16 + 12*t.partitions[i].runs.len()
		}
	}
	return size
}

// namedSegments lists the segments that the state knows, and where in the list each number is.
func (s *State) namedSegments(topics []*topicState) (segments, index []uint32) {
	const absent = math.MaxUint32
	index = make([]uint32, s.table.used)
	for i := range index {
		index[i] = absent
	}
	add := func(n uint32) {
		if index[n] == absent {
			index[n] = uint32(len(segments))
			segments = append(segments, n)
		}
	}
	for _, n := range s.recent {
		add(n)
	}
	for _, t := range topics {
		for i := range t.partitions {
			for _, r := range t.partitions[i].runs.all(0) {
				if r.segment != markerSegment {
					add(r.segment)
				}
			}
		}
	}
	for _, n := range s.rewritten {
		add(n)
	}
	for _, item := range s.garbage.all(0) {
		add(item.segment)
	}
	return segments, index
}

// encodeRuns begins a partition. It writes a marker as a run of the segment after the last, and adds its number to markers.
func (s *State) encodeRuns(b []byte, p *partition, index []uint32, segments int, markers []uint32) ([]byte, []uint32) {
	b = binary.AppendUvarint(b, uint64(p.logStart))
	b = binary.AppendUvarint(b, uint64(p.high))
	b = binary.AppendUvarint(b, uint64(p.runs.len()))
	next, timestamp := Offset(0), int64(0)
	for _, r := range p.runs.all(0) {
		b = binary.AppendUvarint(b, uint64(r.base-next))
		b = binary.AppendUvarint(b, uint64(r.records))
		if r.segment == markerSegment {
			markers = append(markers, r.position)
			b = append(binary.AppendUvarint(b, uint64(segments)), 0)
		} else {
			b = binary.AppendUvarint(b, uint64(index[r.segment]))
			b = binary.AppendUvarint(b, uint64(r.position))
		}
		b = binary.AppendUvarint(b, uint64(r.length))
		b = binary.AppendVarint(b, r.maxTimestamp-timestamp)
		next, timestamp = r.end(), r.maxTimestamp
	}
	return b, markers
}

// producerNumbers replaces list by the numbers of a partition's producers; sorted, in the order of their ids.
func (s *State) producerNumbers(list []uint32, p *partition, sorted bool) []uint32 {
	list = list[:0]
	if p.producers == nil {
		return list
	}
	for _, n := range p.producers.places {
		if n != 0 {
			list = append(list, n-1)
		}
	}
	if sorted {
		slices.SortFunc(list, func(a, b uint32) int { return cmp.Compare(s.producers.at(a).id, s.producers.at(b).id) })
	}
	return list
}

// encodeProducers ends a partition.
func (s *State) encodeProducers(b []byte, numbers []uint32) []byte {
	b = binary.AppendUvarint(b, uint64(len(numbers)))
	for _, n := range numbers {
		from := s.producers.at(n)
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
	version := d.byte()
	if d.err == nil && version != plainSnapshot && version != snapshotSections {
		return nil, fmt.Errorf("%w: snapshot version %d", ErrNewerFormat, version)
	}
	s := NewState()
	s.at = snapshot.Position
	s.time = d.varint()
	s.nextProducerID = ProducerID(d.uvarintMax(math.MaxInt64, "producer id"))
	for range d.count(26, "segments") {
		s.table.add(segment{
			id: d.uuid(), size: int64(d.uvarintMax(math.MaxInt64, "segment size")),
			before: Position{Seq: Seq(d.uvarintMax(math.MaxInt64, "seq")), Checksum: d.uint64()},
		})
	}
	for range d.count(1, "recent segments") {
		if i := d.segment(s); d.err == nil {
			s.table.mark(i, knownRecent)
			s.recent = append(s.recent, i)
		}
	}
	for range d.count(20, "topics") {
		d.topic(s)
	}
	err := error(nil)
	if version == snapshotSections {
		err = d.sections(s)
	}
	if end := d.end(); err == nil {
		err = end
	}
	if err == nil && s.markers.count != int(s.markers.used) {
		err = fmt.Errorf("%w: markers without contents", ErrCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot at %d: %w", snapshot.Seq, err)
	}
	s.dropBelowLogStarts()
	return s, nil
}

// dropBelowLogStarts drops runs that snapshots of earlier versions hold, which were to stay until they were retired. Their
// segments do not become garbage: brokers that folded the entries numbered them, and the numbers would not be the same.
// Objects of which nothing is left are found as those that the log does not know.
func (s *State) dropBelowLogStarts() {
	for _, t := range s.topics {
		for i := range t.partitions {
			p := &t.partitions[i]
			if n := p.runs.find(p.logStart); n > 0 {
				s.replaceRuns(p, 0, n, nil, func(uint32) {})
			}
		}
	}
	for i := range s.table.uses {
		s.table.releaseUnused(uint32(i))
	}
}

// segment reads a reference to a segment.
func (d *decoder) segment(s *State) uint32 {
	n := d.uvarint()
	if n >= uint64(s.table.used) {
		d.fail("segment reference")
		return 0
	}
	return uint32(n)
}

// place reads where a run lies. Markers get their numbers in the order in which they come.
func (d *decoder) place(s *State) (segment, position uint32) {
	if n, at := uint64(s.table.used), d.at; d.uvarint() == n && d.err == nil {
		d.uvarintMax(0, "position of a marker")
		return markerSegment, s.markers.take()
	} else if d.err == nil {
		d.at = at
	}
	return d.segment(s), uint32(d.uvarintMax(math.MaxUint32, "position"))
}

func (d *decoder) topic(s *State) {
	c := decodeCreateTopic(d)
	at := d.varint()
	if d.err != nil || int(c.partitions) > d.left() { // a partition takes four bytes or more
		d.fail("topic")
		return
	}
	t := s.addTopic(c, at)
	for i := range c.partitions {
		d.partition(s, t, i)
	}
}

func (d *decoder) partition(s *State, t *topicState, number int32) {
	p := &t.partitions[number]
	p.logStart = Offset(d.uvarintMax(math.MaxInt64, "log start"))
	p.high = Offset(d.uvarintMax(math.MaxInt64, "high watermark"))
	next, timestamp := Offset(0), int64(0)
	for range d.count(6, "runs") {
		var r run
		r.base = next + Offset(d.uvarintMax(math.MaxInt64, "offset"))
		r.records = int32(d.uvarintMax(math.MaxInt32, "record count"))
		r.segment, r.position = d.place(s)
		r.length = uint32(d.uvarintMax(math.MaxUint32, "length"))
		r.maxTimestamp = timestamp + d.varint()
		if d.err != nil {
			return
		}
		s.addRun(p, r)
		next, timestamp = r.end(), r.maxTimestamp
	}
	for range d.count(5, "producers") {
		d.producer(s, t, number)
	}
}

func (d *decoder) producer(s *State, t *topicState, number int32) {
	id := ProducerID(d.uvarintMax(math.MaxInt64, "producer id"))
	p := &t.partitions[number]
	if _, twice := s.producers.find(p.producers, id); twice {
		d.fail("producer: there twice")
		return
	}
	n := s.producers.add(p, t.number, number, id)
	from := s.producers.change(n)
	was := from.lastSeen
	from.epoch = ProducerEpoch(d.uvarintMax(math.MaxInt16, "producer epoch"))
	from.lastSeen = d.varint()
	from.count = d.byte()
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
	s.producers.seen(n, was)
}
