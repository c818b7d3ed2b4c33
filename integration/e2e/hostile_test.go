package e2e

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/harness"
)

// hostileTarget is a broker with an empty topic "target". If RUNNEL_TEST_KAFKA names
// an Apache Kafka broker, it is that one: these tests say what Kafka does, and must pass there.
func hostileTarget(t *testing.T) (addr string, alive func()) {
	t.Helper()
	addr = os.Getenv("RUNNEL_TEST_KAFKA")
	var b *harness.Broker
	if addr == "" {
		b = harness.Dev(t, harness.DevOptions{})
		addr = b.Addr
	}
	topic := fmt.Sprintf("probe-%d", rand.Uint32())
	createTopic(t, topic, 1, kgo.SeedBrokers(addr))
	written := 0
	return addr, func() {
		t.Helper()
		produce(t, topic, written, 1, kgo.SeedBrokers(addr))
		written++
		if got := readAll(t, topic, kgo.SeedBrokers(addr)); len(got) != written {
			t.Errorf("after it, %d records of %d are read", len(got), written)
		}
		if b != nil && strings.Contains(b.Log(), "panic") {
			t.Errorf("the broker panicked")
		}
	}
}

// TestHostileFrames sends what is no request; the broker closes the connection and serves on.
func TestHostileFrames(t *testing.T) {
	t.Parallel()
	size := func(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	header := func(key, version int16) []byte {
		b := binary.BigEndian.AppendUint16(nil, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		b = append(b, 0, 0, 0, 1, 0xff, 0xff)
		return append(size(int32(len(b))), b...)
	}
	garbage := make([]byte, 4096)
	for i, rng := 0, rand.New(rand.NewPCG(1, 2)); i < len(garbage); i++ {
		garbage[i] = byte(rng.Uint32()) | 0x80 // a negative size whatever comes
	}
	cases := []struct {
		name      string
		bytes     []byte
		hangingUp bool // the client closes its side after it
	}{
		{"a frame over the limit", append(size(1<<31-1), "whatever"...), false},
		{"a frame just over the limit", size(100<<20 + 1), false},
		{"a negative size", append(size(-1), "whatever"...), false},
		{"a size of zero", append(size(0), "whatever"...), false},
		{"a frame shorter than a header", append(size(3), 0, 18, 0), false},
		{"a truncated frame", append(size(1000), header(3, 1)...), true},
		{"half a size", []byte{0, 0}, true},
		{"an unknown key", header(9999, 0), false},
		{"a negative key", header(-1, 0), false},
		{"an unknown version", header(3, 99), false},
		{"a negative version", header(3, -1), false},
		{"a request without its body", header(0, 9), false},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), false},
		{"TLS", []byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, true},
		{"noise", garbage, false},
		{"an array of two billion topics", hugeArray(), false},
	}
	addr, alive := hostileTarget(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, addr)
			conn.write(t, c.bytes)
			if c.hangingUp {
				_ = conn.Conn.(interface{ CloseWrite() error }).CloseWrite()
			}
			conn.closed(t)
			alive()
		})
	}
}

// hugeArray is a Metadata request that announces 2^31-1 topics and brings none.
func hugeArray() []byte {
	body := []byte{0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// TestUnknownVersionOfApiVersions is answered in version 0 with the versions that are known, not with silence: that is
// how a newer client finds a common language.
func TestUnknownVersionOfApiVersions(t *testing.T) {
	t.Parallel()
	addr, alive := hostileTarget(t)
	conn := dial(t, addr)
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = 3
	b := frame(req, 1)
	binary.BigEndian.PutUint16(b[6:], 127)
	conn.correlation = 1
	conn.write(t, b)
	resp := kmsg.NewPtrApiVersionsResponse()
	if err := resp.ReadFrom(conn.payload(t)); err != nil {
		t.Fatal(err)
	}
	if resp.ErrorCode != kerr.UnsupportedVersion.Code || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 {
		t.Errorf("the answer: %+v", resp)
	}
	// The connection stays: the client asks again in a version that the answer names.
	req.ClientSoftwareName, req.ClientSoftwareVersion = "hostile", "1"
	conn.send(t, req)
	if resp := conn.receive(t, req).(*kmsg.ApiVersionsResponse); resp.ErrorCode != 0 || len(resp.ApiKeys) < 10 {
		t.Errorf("the second answer: %+v", resp)
	}
	alive()
}

// TestHalfAFrameHoldsUpNobody: a client that stops in the middle of a request keeps its connection and disturbs no
// other; when it goes on, it is answered.
func TestHalfAFrameHoldsUpNobody(t *testing.T) {
	t.Parallel()
	addr, alive := hostileTarget(t)
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 9
	b := frame(req, 1)
	var slow []*rawConn
	for i := range 20 {
		conn := dial(t, addr)
		conn.correlation = 1
		conn.write(t, b[:1+i%(len(b)-1)])
		slow = append(slow, conn)
	}
	alive()
	for i, conn := range slow {
		conn.write(t, b[1+i%(len(b)-1):])
		conn.receive(t, req)
	}
	alive()
}

// TestBadBatchesAreRefused: each gets the error that Kafka gives, at offset -1, and nothing of it is stored.
func TestBadBatchesAreRefused(t *testing.T) {
	t.Parallel()
	addr, alive := hostileTarget(t)
	seed := kgo.SeedBrokers(addr)
	topic := fmt.Sprintf("target-%d", rand.Uint32())
	createTopic(t, topic, 1, seed)
	good := record("good")
	// Kafka trips over these while it decompresses and says UNKNOWN_SERVER_ERROR; the others say more.
	undecodable := []*kerr.Error{kerr.UnknownServerError, kerr.CorruptMessage, kerr.InvalidRecord, kerr.UnsupportedCompressionType}
	cases := []struct {
		name    string
		records []byte
		want    []*kerr.Error // one of these
		acks    int16         // 0 is -1
	}{
		{name: "a wrong checksum", records: flip(batch(good), 21+40), want: []*kerr.Error{kerr.CorruptMessage}},
		{name: "magic 1", records: set(batch(good), 16, 1), want: []*kerr.Error{kerr.InvalidRecord, kerr.CorruptMessage, kerr.UnsupportedForMessageFormat}},
		{name: "magic 3", records: set(batch(good), 16, 3), want: []*kerr.Error{kerr.InvalidRecord, kerr.CorruptMessage}},
		{name: "a truncated batch", records: batch(good)[:65], want: []*kerr.Error{kerr.CorruptMessage, kerr.InvalidRecord}},
		{name: "a batch shorter than a header", records: batch(good)[:30], want: []*kerr.Error{kerr.CorruptMessage, kerr.InvalidRecord}},
		{name: "two batches", records: append(batch(good), batch(good)...), want: []*kerr.Error{kerr.InvalidRecord}},
		{name: "a negative length", records: batch(good, func(b *kmsg.RecordBatch) { b.Length = -5 }), want: []*kerr.Error{kerr.CorruptMessage, kerr.InvalidRecord}},
		{name: "a count of zero", records: batch(good, func(b *kmsg.RecordBatch) { b.NumRecords = 0 }), want: []*kerr.Error{kerr.InvalidRecord}},
		{name: "a negative count", records: batch(good, func(b *kmsg.RecordBatch) { b.NumRecords = -1 }), want: []*kerr.Error{kerr.InvalidRecord}},
		{name: "a count that the offsets deny", records: batch(good, func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 5, 2 }), want: []*kerr.Error{kerr.InvalidRecord}},
		{name: "a control batch", records: batch(good, func(b *kmsg.RecordBatch) { b.Attributes = 0x20 }), want: []*kerr.Error{kerr.InvalidRecord}},
		{name: "a producer without a sequence", records: batch(good, func(b *kmsg.RecordBatch) { b.ProducerID, b.ProducerEpoch = 1, 0 }), want: []*kerr.Error{kerr.InvalidRecord}},
		{name: "a base offset of the client's", records: batch(good, func(b *kmsg.RecordBatch) { b.FirstOffset = 7 }), want: []*kerr.Error{kerr.InvalidRecord}},
		{name: "a count that the content denies", records: batch(good, func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 5, 4 }), want: []*kerr.Error{kerr.InvalidRecord}},
		{name: "gzip that is none", records: batch(good, func(b *kmsg.RecordBatch) { b.Attributes = 1 }), want: undecodable},
		{name: "zstd that is none", records: batch(good, func(b *kmsg.RecordBatch) { b.Attributes = 4 }), want: undecodable},
		{name: "a codec that does not exist", records: batch(good, func(b *kmsg.RecordBatch) { b.Attributes = 6 }), want: undecodable},
		{name: "records that are noise", records: batch([]byte("these are no records at all")), want: []*kerr.Error{kerr.InvalidRecord}},
		{name: "bytes after the last record", records: batch(append(record("x"), "more"...)), want: []*kerr.Error{kerr.InvalidRecord}},
		{name: "more than max.message.bytes", records: batch(record(strings.Repeat("x", 1<<20+100))), want: []*kerr.Error{kerr.MessageTooLarge}},
		{name: "acks of 2", records: batch(good), acks: 2, want: []*kerr.Error{kerr.InvalidRequiredAcks}},
		{name: "a timestamp from the far future", records: batch(good, func(b *kmsg.RecordBatch) {
			b.FirstTimestamp += 48 * time.Hour.Milliseconds()
			b.MaxTimestamp = b.FirstTimestamp
		}), want: []*kerr.Error{kerr.InvalidTimestamp}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, addr)
			req := produceRequest(topic, c.records)
			req.Acks = cmp.Or(c.acks, -1)
			conn.send(t, req)
			p := conn.receive(t, req).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
			ok := false
			for _, want := range c.want {
				ok = ok || p.ErrorCode == want.Code
			}
			if !ok {
				t.Errorf("the error is %v, want %v", kerr.ErrorForCode(p.ErrorCode), c.want)
			}
			if p.BaseOffset != -1 {
				t.Errorf("the offset beside the error is %d", p.BaseOffset)
			}
			if stored := readAll(t, topic, seed); len(stored) != 0 {
				t.Fatalf("it is stored: %v", stored)
			}
		})
	}
	alive()
}

func flip(b []byte, at int) []byte {
	b[at] ^= 1
	return b
}

func set(b []byte, at int, v byte) []byte {
	b[at] = v
	return b
}
