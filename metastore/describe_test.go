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
	Rewritten      []segment
	Segments       map[SegmentID]segment // that the state knows for something
	Garbage        []Garbage
	NextGarbage    int64
	Partitions     map[TopicPartition]partitionDescription
	Configs        map[ConfigResource]map[string]string
	Txns           map[string]txnDescription
}

// txnDescription is a transactional id, with what it has ongoing.
type txnDescription struct {
	txn
	Started    int64
	Partitions map[TopicPartition]Offset
	Groups     map[string]struct{}
	Offsets    map[groupPartition]CommittedOffset
}

type partitionDescription struct {
	LogStart, High Offset
	CleanedTo      Offset
	Runs           []Run
	Producers      map[ProducerID]producer
	Open           []openTxnStart
	Aborted        []abortedTxn
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
	if s.configs != nil {
		d.Configs = s.configs.all()
		bytes := 0
		for of, overrides := range d.Configs {
			if len(overrides) == 0 {
				t.Fatalf("%v is there without overrides", of)
			}
			bytes += bytesOf(of.Name, overrides)
		}
		if bytes != s.configs.size() {
			t.Fatalf("overrides of %d bytes, counted as %d", bytes, s.configs.size())
		}
	}
	for name, topic := range s.names {
		d.Names[name] = topic.ID
	}
	d.Recent, d.Rewritten = s.segmentsOf(s.recent), s.segmentsOf(s.rewritten)
	d.Garbage, d.NextGarbage = s.allGarbage(), s.garbage.next
	d.Txns = describeTxns(t, s)
	producers, uses, markers := 0, make(map[uint32]segmentUse), make(map[uint32]bool)
	know := func(n uint32, as knownAs) {
		use := uses[n]
		if use.known&as != 0 {
			t.Fatalf("segment %s is there twice", s.table.at(n).id)
		}
		use.known |= as
		uses[n] = use
	}
	for _, n := range slices.Concat(s.recent, s.rewritten) {
		know(n, knownRecent)
	}
	for _, item := range s.garbage.all(0) {
		know(item.segment, knownGarbage)
	}
	for id, topic := range s.topics {
		d.Topics[id] = *topic.Topic
		if s.sharing != nil && s.numbered[topic.number] != topic {
			t.Fatalf("topic %s is not the one of its number", topic.Name)
		}
		for i := range topic.partitions {
			p := &topic.partitions[i]
			is := partitionDescription{LogStart: p.logStart, High: p.high, CleanedTo: p.cleanedTo, Producers: make(map[ProducerID]producer)}
			if s.sharing != nil { // not a view
				checkTops(t, &p.runs)
			}
			bytes, end := int64(0), Offset(0)
			for j := range p.runs.len() {
				is.Runs = append(is.Runs, s.export(p.runs.at(j)))
				r := p.runs.at(j)
				if r.base < end || r.end() <= p.logStart || r.end() > p.high {
					t.Fatalf("%s, partition %d: run %+v after %d, with watermarks %+v", topic.Name, i, *r, end, p.watermarks())
				}
				end = r.end()
				bytes += int64(r.length)
				if r.segment != markerSegment {
					use := uses[r.segment]
					use.runs++
					use.live += int64(r.length)
					uses[r.segment] = use
				} else if markers[r.position] {
					t.Fatalf("marker %d has two runs", r.position)
				} else {
					markers[r.position] = true
				}
			}
			if p.bytes != bytes {
				t.Fatalf("%s, partition %d: %d bytes, counted as %d", topic.Name, i, bytes, p.bytes)
			}
			if p.txns != nil {
				is.Open = append(is.Open, p.txns.open...)
				is.Aborted = append(is.Aborted, p.txns.aborted...)
				checkOpen(t, s, TopicPartition{id, int32(i)}, p)
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
					own := known.producer
					clear(own.batches[own.count:]) // of an epoch before
					is.Producers[known.id] = own
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
	for n := range uses {
		d.Segments[s.table.at(n).id] = *s.table.at(n)
	}
	if s.sharing != nil {
		checkTables(t, s, uses, len(markers))
	}
	return d
}

// checkTables looks at what only the state itself has, not a clone.
func checkTables(t fataler, s *State, uses map[uint32]segmentUse, markers int) {
	t.Helper()
	for _, topic := range s.dropped.topics {
		for i := range topic.partitions {
			if topic.partitions[i].runs.len() > 0 {
				t.Fatalf("deleted topic %s has runs", topic.Name)
			}
		}
	}
	runs, named, garbage := markers, 0, int64(0)
	for n, use := range uses {
		runs += int(use.runs)
		if use.runs > 0 {
			named++
		}
		if use.known&knownGarbage != 0 {
			garbage += s.table.at(n).size
		}
		if (use.runs == 0) != (use.known&knownGarbage != 0) && use.known&knownRecent == 0 {
			t.Fatalf("segment %s: %+v", s.table.at(n).id, use)
		}
	}
	written := 0
	for _, topic := range s.topics {
		for i := range topic.partitions {
			if topic.partitions[i].runs.len() > 0 {
				written++
			}
		}
	}
	if s.written != written {
		t.Fatalf("%d partitions have runs, counted are %d", written, s.written)
	}
	if markers != s.markers.count || markers != int(s.markers.used)-len(s.markers.free) {
		t.Fatalf("%d markers, counted are %d", markers, s.markers.count)
	}
	if s.runs != runs || s.table.named != named || s.garbage.bytes != garbage {
		t.Fatalf("the state has %d runs of %d segments, and %d bytes of garbage, and counts %d, %d and %d",
			runs, named, garbage, s.runs, s.table.named, s.garbage.bytes)
	}
	for n, use := range s.table.uses {
		if uses[uint32(n)] != use {
			t.Fatalf("segment %d is %+v, and counted as %+v", n, uses[uint32(n)], use)
		}
	}
	for _, n := range s.table.free {
		if use, held := uses[n]; held {
			t.Fatalf("segment %d is free and %+v", n, use)
		}
	}
	for n := range uses {
		if found, ok := s.table.find(s.table.at(n).id); !ok || found != n {
			t.Fatalf("segment %s is not found", s.table.at(n).id)
		}
	}
	if len(s.table.free)+len(uses) != int(s.table.used) || len(s.table.byID) != len(uses) {
		t.Fatalf("%d segments free, %d known and %d found, of %d", len(s.table.free), len(uses), len(s.table.byID), s.table.used)
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

func describeTxns(t fataler, s *State) map[string]txnDescription {
	t.Helper()
	all := make(map[string]txnDescription)
	bytes, pending := int64(0), 0
	for n := range s.txns.used {
		is := *s.txns.at(n)
		if is.id == "" {
			continue
		}
		x := txnDescription{txn: is}
		x.ongoing, x.raised = nil, 0 // a snapshot does not hold the latter: a broker that began with one knows a later entry
		if is.raised > s.at.Seq || is.ongoing != nil && is.ongoing.kept > s.at.Seq {
			t.Fatalf("%s was changed by entries to come: %+v", is.id, is)
		}
		if (is.ongoing != nil) != (is.state == TxnOngoing) {
			t.Fatalf("%s is in state %d and has ongoing %v", is.id, is.state, is.ongoing)
		}
		if o := is.ongoing; o != nil {
			x.Started, x.Partitions, x.Groups, x.Offsets = o.started, maps.Clone(o.partitions), maps.Clone(o.groups), maps.Clone(o.offsets)
			size, groups := int64(0), make(map[string]bool)
			for group := range o.groups {
				size += groupBytes(group)
			}
			for at, offset := range o.offsets {
				size += offsetBytes(&offset)
				groups[at.group] = true
			}
			if size != o.bytes {
				t.Fatalf("%s holds %d bytes, counted are %d", is.id, size, o.bytes)
			}
			for group := range groups {
				if s.sharing != nil && !slices.Contains(s.txns.pending[group], n) {
					t.Fatalf("%s holds offsets of %s, and is not found by it", is.id, group)
				}
			}
			bytes += size
			pending += len(groups)
		}
		if s.sharing != nil && (s.txns.byID[is.id] != n || s.txns.ofProducer(is.producer) != s.txns.at(n)) {
			t.Fatalf("%s is not found", is.id)
		}
		all[is.id] = x
	}
	for _, by := range s.txns.pending {
		pending -= len(by)
	}
	if s.sharing != nil && (len(all) != len(s.txns.byID) || len(all) != len(s.txns.byProducer) || pending != 0 || bytes != s.txns.bytes) {
		t.Fatalf("%d ids, found are %d and %d; %d bytes, counted %d; pending off by %d",
			len(all), len(s.txns.byID), len(s.txns.byProducer), bytes, s.txns.bytes, pending)
	}
	return all
}

// checkOpen looks whether what is open in a partition is so for its producers, and in order.
func checkOpen(t fataler, s *State, tp TopicPartition, p *partition) {
	t.Helper()
	last := NoOffset
	for _, o := range p.txns.open {
		if o.first <= last {
			t.Fatalf("%v: open transactions out of order: %v", tp, p.txns.open)
		}
		last = o.first
		if s.sharing == nil {
			continue
		}
		is := s.txns.ofProducer(o.producer)
		if is == nil || is.ongoing == nil || is.ongoing.partitions[tp] != o.first {
			t.Fatalf("%v: producer %d is open from %d on, but its id does not know", tp, o.producer, o.first)
		}
		if n, ok := s.producers.find(p.producers, o.producer); !ok || s.producers.at(n).epoch > is.epoch {
			t.Fatalf("%v: producer %d of an open transaction is unknown or newer", tp, o.producer)
		}
	}
}
