package metastore

import (
	"maps"
	"slices"
)

// description is what a state says, whatever numbers it uses inside.
type description struct {
	At             Position
	Time           int64
	NextProducerID ProducerID
	Topics         map[TopicID]Topic
	Names          map[string]TopicID
	Recent         []segment
	Segments       map[SegmentID]segment
	Partitions     map[TopicPartition]partitionDescription
}

type partitionDescription struct {
	LogStart, High Offset
	Runs           []Run
	Producers      map[ProducerID]producer
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// describe also checks that what the state holds twice agrees.
func describe(t fataler, s *State) description {
	t.Helper()
	d := description{
		At: s.at, Time: s.time, NextProducerID: s.nextProducerID,
		Topics: make(map[TopicID]Topic), Names: make(map[string]TopicID), Segments: make(map[SegmentID]segment),
		Partitions: make(map[TopicPartition]partitionDescription),
	}
	for name, topic := range s.names {
		d.Names[name] = topic.ID
	}
	for _, n := range s.recent {
		d.Recent = append(d.Recent, *s.table.at(n))
	}
	for id, g := range s.segments {
		d.Segments[id] = *g
	}
	producers, refs := 0, make(map[uint32]uint32)
	for _, n := range s.recent {
		refs[n]++
	}
	for id, topic := range s.topics {
		d.Topics[id] = *topic.Topic
		if s.sharing != nil && s.numbered[topic.number] != topic {
			t.Fatalf("topic %s is not the one of its number", topic.Name)
		}
		for i := range topic.partitions {
			p := &topic.partitions[i]
			is := partitionDescription{LogStart: p.logStart, High: p.high, Producers: make(map[ProducerID]producer)}
			if s.sharing != nil { // not a view
				checkTops(t, &p.runs)
			}
			bytes := int64(0)
			for j := range p.runs.len() {
				is.Runs = append(is.Runs, s.export(p.runs.at(j)))
				refs[p.runs.at(j).segment]++
				bytes += int64(p.runs.at(j).length)
			}
			if p.bytes != bytes {
				t.Fatalf("%s, partition %d: %d bytes, counted as %d", topic.Name, i, bytes, p.bytes)
			}
			if x := p.producers; x != nil {
				for _, place := range x.places {
					if place == 0 {
						continue
					}
					known := s.producers.at(place - 1)
					if n, ok := s.producers.find(x, known.id); !ok || n != place-1 || known.topic != topic.number || known.partition != int32(i) {
						t.Fatalf("producer %d of %s, partition %d, is not found where it is", known.id, topic.Name, i)
					}
					is.Producers[known.id] = known.producer
				}
				if len(is.Producers) != x.used || x.used == 0 {
					t.Fatalf("%d producers, %d counted", len(is.Producers), x.used)
				}
				producers += x.used
			}
			d.Partitions[TopicPartition{id, int32(i)}] = is
		}
	}
	if producers != s.producers.count {
		t.Fatalf("the state has %d producers and counts %d", producers, s.producers.count)
	}
	if s.sharing != nil {
		checkTables(t, s, refs)
	}
	return d
}

// checkTables looks at what only the state itself has, not a clone.
func checkTables(t fataler, s *State, refs map[uint32]uint32) {
	t.Helper()
	for _, topic := range s.dropped.topics {
		for i := range topic.partitions {
			for j := range topic.partitions[i].runs.len() {
				refs[topic.partitions[i].runs.at(j).segment]++
			}
		}
	}
	held, named := maps.Clone(refs), uint32(0)
	for _, n := range refs {
		named += n
	}
	written := 0
	for _, topics := range [][]*topicState{slices.Collect(maps.Values(s.topics)), s.dropped.topics} {
		for _, topic := range topics {
			for i := range topic.partitions {
				if topic.partitions[i].runs.len() > 0 {
					written++
				}
			}
		}
	}
	if s.written != written {
		t.Fatalf("%d partitions have runs, counted are %d", written, s.written)
	}
	if want := int(named) - len(s.recent); s.runs != want {
		t.Fatalf("the state has %d runs and counts %d", want, s.runs)
	}
	for n, count := range s.table.refs {
		if refs[uint32(n)] != count {
			t.Fatalf("segment %d is named %d times, and counted %d times", n, refs[uint32(n)], count)
		}
	}
	for _, n := range s.table.free {
		if held[n] != 0 {
			t.Fatalf("segment %d is free and named %d times", n, held[n])
		}
	}
	if len(s.table.free)+len(held) != int(s.table.used) {
		t.Fatalf("%d segments free and %d named, of %d", len(s.table.free), len(held), s.table.used)
	}
	for i := range s.producers.chunks() {
		chunk := s.producers.chunk(i)
		oldest := noProducer.lastSeen
		for j := range chunk {
			oldest = min(oldest, chunk[j].lastSeen)
		}
		if s.producers.oldest[i] != oldest {
			t.Fatalf("oldest of chunk %d is %d, not %d", i, oldest, s.producers.oldest[i])
		}
	}
}
