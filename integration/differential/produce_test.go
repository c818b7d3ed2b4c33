package differential

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func produceRequest(acks int16, topic string, id [16]byte, partitions ...kmsg.ProduceRequestTopicPartition) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = acks, 10_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID, t.Partitions = topic, id, partitions
	req.Topics = append(req.Topics, t)
	return req
}

func to(partition int32, batches ...[]byte) kmsg.ProduceRequestTopicPartition {
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, slices.Concat(batches...)
	return p
}

// write writes a good batch, quietly.
func (s *side) write(topic string, id [16]byte, partition int32, b *batch) {
	resp := quiet[*kmsg.ProduceResponse](s, 13, produceRequest(-1, topic, id, to(partition, b.bytes()))).Topics[0].Partitions[0]
	if resp.ErrorCode != 0 {
		s.fatalf("produce: %s", errorName(resp.ErrorCode))
	}
}

var produceScripts = []script{{"produce", func(s *side) {
	s.each(kmsg.Produce, func(v int16) {
		topic := s.named("topic")
		id := s.topic(topic, 3, "max.message.bytes", "5000")
		good := func() *batch { return s.batch(numbered(3)...) }
		send := func(label string, acks int16, partitions ...kmsg.ProduceRequestTopicPartition) {
			ask[*kmsg.ProduceResponse](s, label, v, produceRequest(acks, topic, id, partitions...))
		}
		one := func(label string, b *batch) { send(label, -1, to(0, b.bytes())) }
		bad := func(label string, change func(b *batch)) { one(label, good().with(change)) }
		// What Kafka takes and the broker does not, or the other way round, goes where it moves no offsets of the rest.
		odd := func(label string, b *batch) { send("odd: "+label, -1, to(2, b.bytes())) }

		one("good", good())
		send("acks 1", 1, to(0, good().bytes()))
		send("acks 5", 5, to(0, good().bytes()))
		send("acks -2", -2, to(0, good().bytes()), to(9, good().bytes()))
		send("two partitions", -1, to(0, good().bytes()), to(1, good().bytes()))
		send("unknown partition", -1, to(3, good().bytes()), to(-1, good().bytes()), to(1, good().bytes()))
		send("odd: same partition twice", -1, to(2, good().bytes()), to(2, good().bytes()))
		send("two batches", -1, to(0, good().bytes(), good().bytes()))
		send("empty records field", -1, kmsg.ProduceRequestTopicPartition{Partition: 0, Records: []byte{}})
		send("records cut off", -1, to(0, good().bytes()[:70]))
		send("header cut off", -1, to(0, good().bytes()[:20]))
		send("zeros", -1, to(0, make([]byte, 100)))
		send("odd: trailing zeros", -1, to(2, good().bytes(), make([]byte, 5)))
		send("no partitions", -1)
		unknown := produceRequest(-1, s.named("unknown"), madeUpID, to(0, good().bytes()))
		ask[*kmsg.ProduceResponse](s, "unknown topic", v, unknown)
		ask[*kmsg.ProduceResponse](s, "bad topic name", v, produceRequest(-1, "a b", madeUpID, to(0, good().bytes())))
		ask[*kmsg.ProduceResponse](s, "acks 5 to an unknown topic", v, produceRequest(5, s.named("unknown"), madeUpID, to(0, good().bytes())))
		ask[*kmsg.ProduceResponse](s, "empty topic name", v, produceRequest(-1, "", [16]byte{}, to(0, good().bytes())))
		ask[*kmsg.ProduceResponse](s, "no topics", v, &kmsg.ProduceRequest{Acks: -1, TimeoutMillis: 1000})
		ask[*kmsg.ProduceResponse](s, "one good, one unknown", v, func() *kmsg.ProduceRequest {
			req := produceRequest(-1, topic, id, to(1, good().bytes()))
			req.Topics = append(req.Topics, unknown.Topics...)
			return req
		}())

		bad("wrong checksum", func(b *batch) { b.spoilCRC = true })
		for _, magic := range []int8{0, 1, 3, -1} {
			bad(fmt.Sprint("magic ", magic), func(b *batch) { b.magic = magic })
		}
		bad("base offset", func(b *batch) { b.baseOffset = 7 })
		bad("negative base offset", func(b *batch) { b.baseOffset = -7 })
		bad("leader epoch", func(b *batch) { b.leaderEpoch = 7 })
		bad("count too high", func(b *batch) { b.count++ })
		bad("count too low", func(b *batch) { b.count-- })
		bad("count and delta too high", func(b *batch) { b.count++; b.lastOffsetDelta++ })
		bad("count and delta too low", func(b *batch) { b.count--; b.lastOffsetDelta-- })
		bad("delta too high", func(b *batch) { b.lastOffsetDelta++ })
		bad("negative delta", func(b *batch) { b.lastOffsetDelta = -1 })
		bad("negative count", func(b *batch) { b.count = -1 })
		bad("huge count", func(b *batch) { b.count, b.lastOffsetDelta = 1<<31-1, 1<<31-2 })
		bad("no records", func(b *batch) { b.count, b.lastOffsetDelta, b.records = 0, -1, nil })
		bad("no records, delta 0", func(b *batch) { b.count, b.lastOffsetDelta, b.records = 0, 0, nil })
		bad("length too long", func(b *batch) { b.lengthen = 10 })
		bad("length too short", func(b *batch) { b.lengthen = -3 })
		bad("length tiny", func(b *batch) { b.lengthen = -1000 })
		bad("control batch", func(b *batch) { b.attributes |= 1 << 5 })
		bad("transactional, without a producer", func(b *batch) { b.attributes |= 1 << 4 })
		odd("log append time claimed", good().with(func(b *batch) { b.attributes |= 1 << 3 }))
		bad("delete horizon", func(b *batch) { b.attributes |= 1 << 6 })
		bad("reserved bit", func(b *batch) { b.attributes |= 1 << 9 })
		for codec := int16(1); codec < 8; codec++ {
			odd(fmt.Sprint("codec claimed ", codec), good().with(func(b *batch) { b.attributes |= codec }))
		}
		odd("offset deltas out of order", s.batch(record{value: []byte("a"), deltaOffset: 1}, record{value: []byte("b"), deltaOffset: 0}))
		odd("offset deltas with a gap", s.batch(record{value: []byte("a")}, record{value: []byte("b"), deltaOffset: 2}).with(func(b *batch) { b.lastOffsetDelta = 2 }))
		odd("offset deltas repeated", s.batch(record{value: []byte("a")}, record{value: []byte("b")}))
		bad("record cut off", func(b *batch) { b.records = b.records[:len(b.records)-2] })
		bad("bytes after the records", func(b *batch) { b.records = append(b.records, 0, 0) })
		bad("record attributes", func(b *batch) { b.records[1] = 0x7f })
		bad("wrong max timestamp", func(b *batch) { b.maxTimestamp = b.firstTimestamp + 77 })
		big := func(n int) *batch { return s.batch(record{value: bytes.Repeat([]byte("x"), n)}) }
		one("as large as allowed", big(5000-len(big(5000).bytes())+5000))
		one("too large", big(5000-len(big(5000).bytes())+5001))
		one("compressed to a size that is allowed", big(20_000).compressed(kgo.GzipCompression(), 1))
		one("gzip", good().compressed(kgo.GzipCompression(), 1))
		one("snappy", good().compressed(kgo.SnappyCompression(), 2))
		one("lz4", good().compressed(kgo.Lz4Compression(), 3))
		one("zstd", good().compressed(kgo.ZstdCompression(), 4))
		bad("null key and value", func(b *batch) { *b = *s.batch(record{}) })
		ask[*kmsg.ListOffsetsResponse](s, "where the log ends now", 7, listOffsets(topic, 0, -1))
		if v < 13 {
			txn := produceRequest(-1, topic, id, to(0, good().bytes()))
			txn.TransactionID = text("t")
			ask[*kmsg.ProduceResponse](s, "transactional id, plain batch", v, txn)
		}
		zero := s.dial()
		zero.send(v, produceRequest(0, topic, id, to(1, good().bytes())))
		zero.waiting = nil
		askOn[*kmsg.MetadataResponse](zero, "after acks 0", 9, metadataFor(topic))
		zero.send(v, produceRequest(0, topic, id, to(7, good().bytes())))
		zero.waiting = nil
		askOn[*kmsg.MetadataResponse](zero, "after acks 0 that is refused", 9, metadataFor(topic))
	})
	s.at(kmsg.Produce, []int16{3, 6, 7, 9}, func(v int16) {
		topic := s.named("compacted")
		id := s.topic(topic, 1, "cleanup.policy", "compact")
		one := func(label string, b *batch) {
			ask[*kmsg.ProduceResponse](s, label, v, produceRequest(-1, topic, id, to(0, b.bytes())))
		}
		mixed := []record{{key: []byte("k"), value: []byte("v")}, {value: []byte("v"), deltaOffset: 1}, {value: []byte("w"), deltaOffset: 2}}
		one("keys", s.batch(numbered(2)...))
		one("null keys", s.batch(mixed...))
		one("null key in gzip", s.batch(mixed...).compressed(kgo.GzipCompression(), 1))
		one("null key in snappy", s.batch(mixed...).compressed(kgo.SnappyCompression(), 2))
		one("null key in lz4", s.batch(mixed...).compressed(kgo.Lz4Compression(), 3))
		one("empty key", s.batch(record{key: []byte{}, value: []byte("v")}))
		one("tombstone", s.batch(record{key: []byte("k")}))
		one("zstd", s.batch(numbered(2)...).compressed(kgo.ZstdCompression(), 4))
	})
}}}

var timestampScripts = []script{{"timestamps", func(s *side) {
	const hour = 3600_000
	s.each(kmsg.Produce, func(v int16) {
		for _, kind := range []string{"CreateTime", "LogAppendTime"} {
			topic := s.named(kind)
			id := s.topic(topic, 1, "message.timestamp.type", kind, "message.timestamp.before.max.ms", "36000000", "message.timestamp.after.max.ms", "3600000")
			one := func(label string, b *batch) {
				ask[*kmsg.ProduceResponse](s, kind+" "+label, v, produceRequest(-1, topic, id, to(0, b.bytes())))
			}
			shifted := func(by int64) *batch {
				return s.batch(numbered(3)...).with(func(b *batch) { b.firstTimestamp += by; b.maxTimestamp += by })
			}
			one("good", shifted(0))
			one("too old", shifted(-20*hour))
			one("too new", shifted(20*hour))
			one("negative", s.batch(record{value: []byte("v")}).with(func(b *batch) { b.firstTimestamp, b.maxTimestamp = -1, -1 }))
			one("very negative", s.batch(record{value: []byte("v")}).with(func(b *batch) { b.firstTimestamp, b.maxTimestamp = -99, -99 }))
			one("one record of three too old", s.batch(record{value: []byte("v")}, record{value: []byte("v"), deltaOffset: 1, deltaTimestamp: -20 * hour},
				record{value: []byte("v"), deltaOffset: 2}))
			one("one record of three too new", s.batch(record{value: []byte("v")}, record{value: []byte("v"), deltaOffset: 1, deltaTimestamp: 20 * hour},
				record{value: []byte("v"), deltaOffset: 2}))
			one("max too new, records not", shifted(0).with(func(b *batch) { b.maxTimestamp += 20 * hour }))
			one("max too old, records not", shifted(0).with(func(b *batch) { b.maxTimestamp -= 20 * hour }))
			one("compressed, too old", shifted(-20*hour).compressed(kgo.GzipCompression(), 1))
			one("compressed, too new", shifted(20*hour).compressed(kgo.GzipCompression(), 1))
			one("compressed", shifted(0).compressed(kgo.GzipCompression(), 1))
			ask[*kmsg.FetchResponse](s, kind+" fetched", 11, fetchRequest(topic, id, part{0, 0}))
			for i, at := range []int64{-1, -2, s.past(0), s.past(1), -3} {
				if at == -3 && kind == "LogAppendTime" {
					continue // depends on which batches were appended in the same millisecond
				}
				ask[*kmsg.ListOffsetsResponse](s, fmt.Sprint(kind, " offset ", i), 7, listOffsets(topic, 0, at))
			}
			one("log append time claimed", shifted(0).with(func(b *batch) { b.attributes |= 1 << 3 }))
		}
	})
}}}

var idempotenceScripts = []script{{"idempotence", func(s *side) {
	s.each(kmsg.InitProducerID, func(v int16) {
		initialize := func(label string, change func(r *kmsg.InitProducerIDRequest)) *kmsg.InitProducerIDResponse {
			req := kmsg.NewPtrInitProducerIDRequest()
			change(req)
			return ask[*kmsg.InitProducerIDResponse](s, label, v, req)
		}
		first := initialize("first", func(*kmsg.InitProducerIDRequest) {})
		initialize("second", func(*kmsg.InitProducerIDRequest) {})
		initialize("timeout 0", func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = 0 })
		initialize("timeout -5", func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = -5 })
		initialize("with the id it has", func(r *kmsg.InitProducerIDRequest) {
			r.ProducerID, r.ProducerEpoch = first.ProducerID, first.ProducerEpoch
		})
		initialize("with an id and no epoch", func(r *kmsg.InitProducerIDRequest) { r.ProducerID = first.ProducerID })
		initialize("with an epoch and no id", func(r *kmsg.InitProducerIDRequest) { r.ProducerEpoch = 3 })
		initialize("with an id from nowhere", func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = madeUpProducer, 7 })
		initialize("empty transactional id", func(r *kmsg.InitProducerIDRequest) { r.TransactionalID = text("") })
	})
	s.each(kmsg.Produce, func(v int16) {
		topic := s.named("topic")
		id := s.topic(topic, 2)
		const p = madeUpProducer
		three := func(epoch int16, sequence int32) []byte {
			return s.batch(numbered(3)...).from(p, epoch, sequence).bytes()
		}
		send := func(label string, b []byte) {
			ask[*kmsg.ProduceResponse](s, label, v, produceRequest(-1, topic, id, to(0, b)))
		}
		send("first", three(0, 0))
		send("duplicate", three(0, 0))
		send("next", three(0, 3))
		send("gap", three(0, 9))
		send("before the first", three(0, 1))
		for i := range int32(6) {
			send("more", three(0, 6+3*i))
		}
		send("duplicate of the last", three(0, 21))
		send("duplicate of the fifth last", three(0, 9))
		send("duplicate of the sixth last", three(0, 6))
		send("part of a duplicate", s.batch(numbered(2)...).from(p, 0, 21).bytes())
		send("overlap", three(0, 22))
		send("new epoch, sequence not 0", three(1, 24))
		send("new epoch", three(1, 0))
		send("stale epoch", three(0, 24))
		send("stale epoch, duplicate", three(0, 21))
		send("epoch skipped", three(7, 0))
		send("highest epoch", three(32767, 0))
		send("no sequence", s.batch(numbered(1)...).from(p, 32767, -1).bytes())
		send("no epoch", s.batch(numbered(1)...).from(p, -1, 3).bytes())
		send("negative epoch", s.batch(numbered(1)...).from(p, -2, 3).bytes())
		send("sequence -2", s.batch(numbered(1)...).from(p, 32767, -2).bytes())
		send("sequence without a producer", s.batch(numbered(1)...).from(-1, -1, 5).bytes())
		send("epoch without a producer", s.batch(numbered(1)...).from(-1, 5, -1).bytes())
		send("unknown producer, sequence not 0", s.batch(numbered(1)...).from(p+1, 0, 17).bytes())
		send("unknown producer goes on", s.batch(numbered(1)...).from(p+1, 0, 18).bytes())
		send("to the highest sequence", s.batch(numbered(3)...).from(p+2, 0, 1<<31-4).bytes())
		send("the highest sequence", s.batch(numbered(1)...).from(p+2, 0, 1<<31-1).bytes())
		send("wrap", s.batch(numbered(1)...).from(p+2, 0, 0).bytes())
		send("across the wrap", s.batch(numbered(4)...).from(p+3, 0, 1<<31-2).bytes())
		send("after the wrap", s.batch(numbered(1)...).from(p+3, 0, 2).bytes())
		send("duplicate across the wrap", s.batch(numbered(4)...).from(p+3, 0, 1<<31-2).bytes())
		ask[*kmsg.ProduceResponse](s, "twice in a request", v,
			produceRequest(-1, topic, id, to(1, s.batch(numbered(1)...).from(p, 0, 0).bytes()), to(0, s.batch(numbered(1)...).from(p+4, 0, 0).bytes())))
		send("transactional, no transaction", s.batch(numbered(1)...).from(p+5, 0, 0).with(func(b *batch) { b.attributes |= 1 << 4 }).bytes())
		ask[*kmsg.FetchResponse](s, "fetched", 11, fetchRequest(topic, id, part{0, 0}))
		send("producer -2", s.batch(numbered(1)...).from(-2, 0, 0).bytes())
	})
}}}
