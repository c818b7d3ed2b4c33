package group

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

func sampleConsumerRecord() consumerRecord {
	of := func(topic byte, numbers ...int32) (set partitions) {
		for _, n := range numbers {
			set = append(set, metastore.TopicPartition{Topic: metastore.TopicID{topic}, Partition: n})
		}
		return set
	}
	return consumerRecord{
		Epoch: 300, AssignmentEpoch: 299, AssignedBy: "uniform", Metadata: 0x0102030405060708,
		Members: []consumerMember{
			{
				id: "a", rack: "r", clientID: "c", clientHost: "/127.0.0.1", regex: "t.*", assignor: "range", rebalance: 5 * time.Minute,
				names: []string{"t", "u"}, epoch: 299, previous: 298, state: memberUnrevoked,
				assigned: of(1, 0, 1, 200).with(of(2, 7)), revoking: of(1, 2), target: of(1, 0),
			},
			{
				id: "b", instance: "i", names: []string{"t", "u"}, epoch: LeaveStaticEpoch, previous: 12, assigned: of(1, 3), target: of(1, 3),
			},
			{
				id: "c", rebalance: time.Millisecond, epoch: 299, state: memberUnreleased, target: of(1, 2),
				classic: &classicSide{
					session: 10 * time.Second, version: 3,
					protocols: []Protocol{{"range", encodeSubscription(3, []string{"t"}, nil)}, {"sticky", []byte{1}}},
				},
			},
		},
	}
}

// TestConsumerRecordGolden holds the encoding against bytes that were written once: they are never regenerated.
func TestConsumerRecordGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/record-v2.hex")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	sample := sampleConsumerRecord()
	if got := sample.encode(); !bytes.Equal(got, golden) {
		t.Errorf("encoded %x, want %x", got, golden)
	}
	got, err := decodeConsumerRecord(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, sample) {
		t.Errorf("decoded %+v, want %+v", got, sample)
	}
}

func TestConsumerRecordRefusesWhatIsNotARecord(t *testing.T) {
	sample := sampleConsumerRecord()
	good := sample.encode()
	for i := range good {
		if _, err := decodeConsumerRecord(good[:i]); !errors.Is(err, errCorrupt) {
			t.Errorf("first %d bytes: %v", i, err)
		}
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if _, err := decodeConsumerRecord(bad); !errors.Is(err, errCorrupt) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for name, spoil := range map[string]func(*consumerRecord){
		"member twice":   func(r *consumerRecord) { r.Members[1].id = r.Members[0].id },
		"instance twice": func(r *consumerRecord) { r.Members[0].instance = r.Members[1].instance },
		"no member id":   func(r *consumerRecord) { r.Members[0].id = "" },
		"two owners":     func(r *consumerRecord) { r.Members[2].assigned = r.Members[0].revoking },
		"not sorted": func(r *consumerRecord) {
			r.Members[1].target = partitions{r.Members[0].assigned[3], r.Members[0].assigned[0]}
		},
		"no session":        func(r *consumerRecord) { r.Members[2].classic.session = 0 },
		"no protocol":       func(r *consumerRecord) { r.Members[2].classic.protocols = nil },
		"state":             func(r *consumerRecord) { r.Members[0].state = 3 },
		"epoch":             func(r *consumerRecord) { r.Members[0].epoch = -3 },
		"epoch below":       func(r *consumerRecord) { r.Epoch = -1 },
		"assigned too soon": func(r *consumerRecord) { r.AssignmentEpoch = 301 },
	} {
		r := sampleConsumerRecord()
		spoil(&r)
		if _, err := decodeConsumerRecord(r.encode()); !errors.Is(err, errCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecodeConsumerRecord looks for bytes that make the decoder, or a machine restored from its result, panic.
func FuzzDecodeConsumerRecord(f *testing.F) {
	sample, empty := sampleConsumerRecord(), consumerRecord{}
	f.Add(sample.encode())
	f.Add(empty.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decodeConsumerRecord(b)
		// Most inputs fail the checksum: also try with a right one.
		r, err := decodeConsumerRecord(binary.LittleEndian.AppendUint32(bytes.Clone(b), crc32.Checksum(b, castagnoli)))
		if err != nil {
			return
		}
		again, err := decodeConsumerRecord(r.encode())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v came back as %+v, %v", r, again, err)
		}
		m := newConsumerMachine(consumerLimits{assignors: DefaultAssignors()})
		m.restore(time.Unix(0, 0), r)
		m.assign(time.Unix(0, 0))
		m.tick(time.Unix(1e9, 0))
	})
}

// FuzzDecodeSubscription looks for bytes that make the decoders of the consumers' own encoding panic or allocate more than there
// is.
func FuzzDecodeSubscription(f *testing.F) {
	owned := []topicPartitions{{"t", []int32{0, 1}}}
	for v := range int16(4) {
		f.Add(encodeSubscription(v, []string{"t", "u"}, owned))
	}
	f.Add(encodeAssignment(1, owned))
	f.Add([]byte{0, 1, 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSubscription(b)
		if err == nil && len(s.topics) > len(b) {
			t.Fatal("more topics than bytes")
		}
		if wanted, ok := readSubscription(b); err == nil && (!ok || !slices.Equal(wanted, s.topics)) {
			t.Fatalf("topics %q, and by the other reader %q (%v)", s.topics, wanted, ok)
		}
		all, err := decodeAssignment(b)
		if err != nil {
			return
		}
		again, err := decodeAssignment(encodeAssignment(1, all))
		if err != nil || len(again) != len(all) || len(all) > 0 && !reflect.DeepEqual(again, all) {
			t.Fatalf("%v came back as %v, %v", all, again, err)
		}
	})
}

// TestSubscriptionsToTopicsWithoutANameAreNone: both readers say so, whichever looks at the members of a group.
func TestSubscriptionsToTopicsWithoutANameAreNone(t *testing.T) {
	for _, length := range []string{"\xff\xff", "\xf4\x30", "\x80\x00"} {
		b := []byte("\x00\x00\x00\x00\x00\x01" + length + "\xff\xff\xff\xff")
		if s, err := decodeSubscription(b); err == nil {
			t.Errorf("%x: topics %q", length, s.topics)
		}
		if topics, ok := readSubscription(b); ok {
			t.Errorf("%x: topics %q by the other reader", length, topics)
		}
		if all, err := decodeAssignment([]byte("\x00\x00\x00\x00\x00\x01" + length + "\x00\x00\x00\x00\xff\xff\xff\xff")); err == nil {
			t.Errorf("%x: assigned %v", length, all)
		}
	}
	long := "\x00\x00\x00\x00\x00\x01\xf4\x30" + strings.Repeat("x", 0xf430) + "\xff\xff\xff\xff"
	if topics, ok := readSubscription([]byte(long)); ok {
		t.Errorf("%d topics with a name longer than names can be", len(topics))
	}
}

// TestSubscriptionsAreReadAtEveryVersion: also later ones, of which what was appended is not looked at.
func TestSubscriptionsAreReadAtEveryVersion(t *testing.T) {
	for v := range int16(5) {
		b := encodeSubscription(v, []string{"t", "u"}, []topicPartitions{{"t", []int32{3}}})
		if v > maxConsumerVersion {
			b = append(b, 1, 2, 3)
		}
		s, err := decodeSubscription(b)
		if err != nil || len(s.topics) != 2 || (v >= 1) != (len(s.owned) == 1) || (v >= 3) != (s.rack == "r") {
			t.Errorf("version %d: %+v, %v", v, s, err)
		}
		if _, err := decodeSubscription(b[:len(b)-4]); v <= maxConsumerVersion && err == nil {
			t.Errorf("version %d: cut short, and taken", v)
		}
	}
	for name, b := range map[string][]byte{"nothing": nil, "negative": {0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}, "huge": {0, 0, 0x7f, 0xff, 0xff, 0xff}} {
		if _, err := decodeSubscription(b); !errors.Is(err, errNotConsumerProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// largeGroup has 1,000 members, each with 10 of 10,000 partitions.
func largeGroup() *consumerMachine {
	m := newConsumerMachine(consumerLimits{assignors: DefaultAssignors()})
	var topics []*metastore.Topic
	var names []string
	for i := range 10 {
		name := fmt.Sprintf("topic-number-%d", i)
		topics, names = append(topics, &metastore.Topic{ID: metastore.TopicID{byte(i), 9}, Name: name, Partitions: 1000}), append(names, name)
	}
	m.observe(newTopicView(topics), ConsumerTimes{5 * time.Second, 45 * time.Second, 0})
	for i := range 1000 {
		mb := &consumerMember{
			id: fmt.Sprintf("%08x-0000-4000-8000-000000000000", i), clientID: "consumer-of-something", clientHost: "/10.0.0.1", rebalance: time.Minute,
			names: names,
		}
		m.insert(mb)
	}
	m.lookAtTopics(time.Unix(0, 0), true)
	m.epoch++
	m.assign(time.Unix(0, 0))
	for _, mb := range m.order {
		m.reconcile(time.Unix(0, 0), mb, nil)
	}
	return m
}

// BenchmarkEncodeLargeGroup is what a write of a group of 1,000 members costs the processor.
func BenchmarkEncodeLargeGroup(b *testing.B) {
	m := largeGroup()
	size := 0
	for b.Loop() {
		r := m.record()
		size = len(r.encode())
	}
	b.ReportMetric(float64(size), "bytes")
}

// BenchmarkBeatInLargeGroup is a heartbeat that changes nothing.
func BenchmarkBeatInLargeGroup(b *testing.B) {
	m := largeGroup()
	m.finish()
	m.persisted(time.Time{}, m.lastTicket)
	now := time.Unix(1, 0)
	for b.Loop() {
		m.consumerHeartbeat(now, 1, ConsumerHeartbeatRequest{MemberID: m.order[500].id, Epoch: 1, RebalanceTimeout: -1}, "")
		m.takeEffects()
	}
}
