package recordbatch_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
)

// rules are Kafka's defaults.
func rules() recordbatch.Rules {
	return recordbatch.Rules{MaxBytes: 1048588, Now: now, BeforeMax: math.MaxInt64, AfterMax: 3_600_000, ZstdAllowed: true}
}

func TestValidateAcceptsWhatProducersSend(t *testing.T) {
	for _, c := range codecs() {
		for name, opts := range map[string]recordbatchtest.Options{
			"plain":         c.opts,
			"idempotent":    {Codec: c.opts.Codec, XerialSnappy: c.opts.XerialSnappy, ProducerID: 7, BaseSequence: 3},
			"transactional": {Codec: c.opts.Codec, XerialSnappy: c.opts.XerialSnappy, ProducerID: 7, Transactional: true},
		} {
			b := recordbatchtest.Encode(sample(30), opts)
			sent := bytes.Clone(b)
			h, err := recordbatch.Validate(b, rules())
			if err != nil {
				t.Errorf("%s, %s: %v", c.name, name, err)
			}
			if h.Records != 30 || h.Size() != len(b) || h.MaxTimestamp != now+4 || h.ProducerID != opts.ProducerID {
				t.Errorf("%s, %s: header %+v", c.name, name, h)
			}
			if !bytes.Equal(b, sent) {
				t.Errorf("%s, %s: changed", c.name, name)
			}
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	plain := recordbatchtest.Options{}.NotIdempotent()
	one := func(r recordbatch.Record) []byte {
		return recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now}, r}, plain)
	}
	edit := func(change func(b []byte)) []byte {
		b := recordbatchtest.Encode(sample(3), plain)
		change(b)
		recordbatchtest.Seal(b)
		return b
	}
	put16 := func(at int, v uint16) []byte { return edit(func(b []byte) { binary.BigEndian.PutUint16(b[at:], v) }) }
	put32 := func(at int, v int32) []byte {
		return edit(func(b []byte) { binary.BigEndian.PutUint32(b[at:], uint32(v)) })
	}
	good := recordbatchtest.Encode(sample(3), plain)
	const none = -1

	cases := []struct {
		name   string
		b      []byte
		rules  func(*recordbatch.Rules)
		reason recordbatch.Reason
		index  int32
	}{
		{"nothing", nil, nil, recordbatch.InvalidRecord, none},
		{"16 bytes", good[:16], nil, recordbatch.InvalidRecord, none},
		{"half a header", good[:40], nil, recordbatch.InvalidRecord, none},
		{"truncated", good[:len(good)-1], nil, recordbatch.InvalidRecord, none},
		{"two batches", append(bytes.Clone(good), good...), nil, recordbatch.InvalidRecord, none},
		{"a byte too many", append(bytes.Clone(good), 0), nil, recordbatch.InvalidRecord, none},
		{"magic 1", edit(func(b []byte) { b[16] = 1 }), nil, recordbatch.InvalidRecord, none},
		{"magic 0", edit(func(b []byte) { b[16] = 0 }), nil, recordbatch.InvalidRecord, none},
		{"magic 3", edit(func(b []byte) { b[16] = 3 }), nil, recordbatch.CorruptMessage, none},
		{"magic -1", edit(func(b []byte) { b[16] = 255 }), nil, recordbatch.CorruptMessage, none},
		{"length negative", put32(8, -1), nil, recordbatch.CorruptMessage, none},
		{"length largest", put32(8, math.MaxInt32), nil, recordbatch.InvalidRecord, none},
		{"shorter than a header", func() []byte { b := bytes.Clone(good[:60]); b[11] = 48; return b }(), nil, recordbatch.CorruptMessage, none},
		{"CRC", func() []byte { b := bytes.Clone(good); b[len(b)-1]++; return b }(), nil, recordbatch.CorruptMessage, none},
		{"base offset", edit(func(b []byte) { b[7] = 1 }), nil, recordbatch.InvalidRecord, none},
		{"too large", good, func(r *recordbatch.Rules) { r.MaxBytes = int32(len(good)) - 1 }, recordbatch.TooLarge, none},
		{"count 0", put32(57, 0), nil, recordbatch.InvalidRecord, none},
		{"count negative", put32(57, -1), nil, recordbatch.InvalidRecord, none},
		{"count too high", put32(57, 4), nil, recordbatch.InvalidRecord, none},
		{"last delta too high", put32(23, 3), nil, recordbatch.InvalidRecord, none},
		{"last delta negative", put32(23, -1), nil, recordbatch.InvalidRecord, none},
		{"count and delta agree on too many", edit(func(b []byte) { b[26], b[60] = 3, 4 }), nil, recordbatch.InvalidRecord, none},
		{"count and delta agree on too few", edit(func(b []byte) { b[26], b[60] = 1, 2 }), nil, recordbatch.InvalidRecord, none},
		{"2^31-1 records", edit(func(b []byte) { copy(b[23:], "\x7f\xff\xff\xfe"); copy(b[57:], "\x7f\xff\xff\xff") }), nil, recordbatch.InvalidRecord, none},
		{"control batch", put16(21, 1<<5), nil, recordbatch.InvalidRecord, none},
		{"transactional without producer", put16(21, 1<<4), nil, recordbatch.InvalidRecord, none},
		{"producer without sequence", recordbatchtest.Encode(sample(3), recordbatchtest.Options{ProducerID: 1, BaseSequence: -1}), nil, recordbatch.InvalidRecord, none},
		{"producer without epoch", recordbatchtest.Encode(sample(3), recordbatchtest.Options{ProducerID: 1, ProducerEpoch: -1}), nil, recordbatch.InvalidRecord, none},
		{"producer id -2", recordbatchtest.Encode(sample(3), recordbatchtest.Options{ProducerID: -2}), nil, recordbatch.InvalidRecord, none},
		{"codec 5", put16(21, 5), nil, recordbatch.UnsupportedCompression, none},
		{"codec 7", put16(21, 7), nil, recordbatch.UnsupportedCompression, none},
		{"claims gzip", put16(21, 1), nil, recordbatch.InvalidRecord, none},
		{"claims snappy", withBody([]byte{6, 20, 1, 2, 3, 4, 5, 6}, recordbatch.Snappy), nil, recordbatch.InvalidRecord, none},
		{"claims lz4", put16(21, 3), nil, recordbatch.InvalidRecord, none},
		{"claims zstd", put16(21, 4), nil, recordbatch.InvalidRecord, none},
		{"zstd before v7", recordbatchtest.Encode(sample(3), recordbatchtest.Options{Codec: recordbatch.Zstd}), func(r *recordbatch.Rules) { r.ZstdAllowed = false }, recordbatch.UnsupportedCompression, none},
		{"claims LogAppendTime", put16(21, 1<<3), nil, recordbatch.InvalidTimestamp, none},
		{"offset delta", edit(func(b []byte) { b[recordbatch.HeaderSize+3] = 2 }), nil, recordbatch.InvalidRecord, 0},
		{"timestamp too late", one(recordbatch.Record{Timestamp: now + 3_600_001}), nil, recordbatch.InvalidTimestamp, 1},
		{"timestamp too early", one(recordbatch.Record{Timestamp: now - 11}), func(r *recordbatch.Rules) { r.BeforeMax = 10 }, recordbatch.InvalidTimestamp, 1},
		{"timestamp lowest", one(recordbatch.Record{Timestamp: math.MinInt64 + now}), func(r *recordbatch.Rules) { r.BeforeMax = 10 }, recordbatch.InvalidTimestamp, 1},
		{"timestamp highest", one(recordbatch.Record{Timestamp: math.MaxInt64}), nil, recordbatch.InvalidTimestamp, 1},
		{"compressed timestamp too late", recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now + 3_600_001}}, recordbatchtest.Options{Codec: recordbatch.LZ4}), nil, recordbatch.InvalidTimestamp, none},
		{"compacted, no key", good, func(r *recordbatch.Rules) { r.Compacted = true }, recordbatch.InvalidRecord, 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := rules()
			if c.rules != nil {
				c.rules(&r)
			}
			_, err := recordbatch.Validate(bytes.Clone(c.b), r)
			var refusal *recordbatch.Refusal
			if !errors.As(err, &refusal) {
				t.Fatalf("error %v", err)
			}
			if refusal.Reason != c.reason || refusal.BatchIndex != c.index || refusal.Message == "" {
				t.Errorf("%v (index %d), want %v, index %d", refusal, refusal.BatchIndex, c.reason, c.index)
			}
		})
	}
}

func TestValidateBounds(t *testing.T) {
	r := rules()
	r.BeforeMax, r.AfterMax = 10, 20
	for ts, want := range map[int64]bool{now - 11: false, now - 10: true, now: true, now + 20: true, now + 21: false, -1: true} {
		b := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: ts}}, recordbatchtest.Options{}.NotIdempotent())
		if _, err := recordbatch.Validate(b, r); (err == nil) != want {
			t.Errorf("now%+d: %v", ts-now, err)
		}
		appendTime := r
		appendTime.LogAppendTime = true
		if _, err := recordbatch.Validate(b, appendTime); err != nil {
			t.Errorf("now%+d where the broker sets the time: %v", ts-now, err)
		}
	}
}

func TestValidateLooksForKeysInCompressedBatchesOfCompactedTopics(t *testing.T) {
	r := rules()
	r.Compacted = true
	for _, c := range codecs() {
		records := sample(10)
		records[3].Key = nil
		_, err := recordbatch.Validate(recordbatchtest.Encode(records, c.opts), r)
		var refusal *recordbatch.Refusal
		if !errors.As(err, &refusal) || refusal.BatchIndex != 3 || !slices.Equal(refusal.Others, []int32{9}) {
			t.Errorf("%s: %v", c.name, err)
		}
		records[3].Key, records[9].Key = []byte{}, []byte("k")
		if _, err := recordbatch.Validate(recordbatchtest.Encode(records, c.opts), r); err != nil {
			t.Errorf("%s, all keyed: %v", c.name, err)
		}
	}
	for _, c := range codecs()[1:] {
		b := recordbatchtest.Encode(sample(10), c.opts)
		for i := len(b) / 2; i < len(b); i++ {
			b[i] = 0xff
		}
		recordbatchtest.Seal(b)
		var refusal *recordbatch.Refusal
		if _, err := recordbatch.Validate(b, r); !errors.As(err, &refusal) || refusal.Reason != recordbatch.InvalidRecord {
			t.Errorf("%s, damaged before the CRC was made: %v", c.name, err)
		}
	}
}

func TestValidateCorrectsTheMaxTimestamp(t *testing.T) {
	b := recordbatchtest.Encode(sample(10), recordbatchtest.Options{}.NotIdempotent())
	right := bytes.Clone(b)
	binary.BigEndian.PutUint64(b[35:], 0)
	recordbatchtest.Seal(b)
	h, err := recordbatch.Validate(b, rules())
	if err != nil || h.MaxTimestamp != now+4 || !bytes.Equal(b, right) {
		t.Fatalf("%+v, %v", h, err)
	}
}

func TestSetBaseOffsetLeavesTheCRC(t *testing.T) {
	b := recordbatchtest.Encode(sample(3), recordbatchtest.Options{})
	recordbatch.SetBaseOffset(b, 1<<40, 5)
	h, err := recordbatch.ParseHeader(b)
	if err != nil || h.BaseOffset != 1<<40 || h.LeaderEpoch != 5 || h.CRC != recordbatch.Checksum(b) || h.LastOffset() != 1<<40+2 {
		t.Fatalf("%+v, %v", h, err)
	}
}

func TestValidateDoesNotAllocate(t *testing.T) {
	for _, c := range codecs() {
		b := recordbatchtest.Encode(sample(300), c.opts)
		r := rules()
		if n := testing.AllocsPerRun(10, func() {
			if _, err := recordbatch.Validate(b, r); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, c := range codecs() {
		b.Run(c.name, func(b *testing.B) {
			batch := recordbatchtest.Encode(sample(1000), c.opts)
			r := rules()
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := recordbatch.Validate(batch, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkStamps(b *testing.B) {
	for _, c := range codecs() {
		b.Run(c.name, func(b *testing.B) {
			batch := recordbatchtest.Encode(sample(1000), c.opts)
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				if err := drainStamps(batch, 1<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
