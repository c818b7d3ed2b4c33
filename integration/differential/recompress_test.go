package differential

import (
	"bytes"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What the brokers compress differs in its bytes, for their libraries do; what they decompress must not.
var recompressScripts = []script{{"compression-type", func(s *side) {
	const hour = 3600_000
	s.at(kmsg.Produce, []int16{3, 9, 13}, func(v int16) {
		for _, setting := range []string{"uncompressed", "gzip", "snappy", "lz4", "zstd"} {
			topic := s.named(setting)
			id := s.topic(topic, 1, "compression.type", setting, "max.message.bytes", "5000",
				"message.timestamp.before.max.ms", "36000000", "message.timestamp.after.max.ms", "3600000")
			one := func(label string, b *batch) {
				ask[*kmsg.ProduceResponse](s, setting+" "+label, v, produceRequest(-1, topic, id, to(0, b.bytes())))
			}
			good := func() *batch { return s.batch(numbered(3)...) }
			codecs := []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression()}
			one("plain", good())
			for i, codec := range codecs {
				one(fmt.Sprint("from codec ", i+1), good().compressed(codec, int16(i+1)))
			}
			if v >= 7 {
				one("from zstd", good().compressed(kgo.ZstdCompression(), 4))
			}
			one("wrong max timestamp", good().with(func(b *batch) { b.maxTimestamp += 77 }).compressed(kgo.Lz4Compression(), 3))
			other, number := kgo.GzipCompression(), int16(1)
			if setting == "gzip" {
				other, number = kgo.Lz4Compression(), 3
			}
			one("too old", good().with(func(b *batch) { b.firstTimestamp -= 20 * hour; b.maxTimestamp -= 20 * hour }).compressed(other, number))
			one("one record too new", s.batch(record{value: []byte("v")}, record{value: []byte("v"), deltaOffset: 1, deltaTimestamp: 20 * hour}).compressed(other, number))
			one("a record is missing", good().with(func(b *batch) { b.count, b.lastOffsetDelta = 4, 3 }).compressed(other, number))
			one("broken", good().compressed(other, number).with(func(b *batch) { b.records = b.records[:len(b.records)-9] }))
			if setting == "uncompressed" {
				one("too large in the end", s.batch(record{value: bytes.Repeat([]byte("x"), 6000)}).compressed(other, number))
				ask[*kmsg.FetchResponse](s, "fetched", 11, fetchRequest(topic, id, part{0, 0}))
			}
			ask[*kmsg.ListOffsetsResponse](s, setting+" end", 7, listOffsets(topic, 0, -1))
		}
	})
}}}
