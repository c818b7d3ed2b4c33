package differential

import (
	"bytes"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type part struct {
	partition int32
	offset    int64
}

func fetchPartitions(parts ...part) (all []kmsg.FetchRequestTopicPartition) {
	for _, p := range parts {
		row := kmsg.NewFetchRequestTopicPartition()
		row.Partition, row.FetchOffset, row.PartitionMaxBytes = p.partition, p.offset, 1<<20
		all = append(all, row)
	}
	return all
}

func fetchRequest(topic string, id [16]byte, parts ...part) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 100, 1, 50<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID, t.Partitions = topic, id, fetchPartitions(parts...)
	req.Topics = append(req.Topics, t)
	return req
}

// filled makes a topic whose partition 0 has four batches of three records, and partition 1 one.
func (s *side) filled(topic string) (id [16]byte) {
	id = s.topic(topic, 3)
	for i := range 4 {
		s.write(topic, id, 0, s.batch(numbered(3)...).with(func(b *batch) {
			b.firstTimestamp += int64(i) * 10_000
			b.maxTimestamp += int64(i) * 10_000
		}))
	}
	s.write(topic, id, 1, s.batch(record{value: bytes.Repeat([]byte("large"), 1000)}))
	return id
}

var fetchScripts = []script{{"fetch", func(s *side) {
	id := s.filled("fetch")
	s.each(kmsg.Fetch, func(v int16) {
		get := func(label string, change func(r *kmsg.FetchRequest), parts ...part) {
			req := fetchRequest("fetch", id, parts...)
			change(req)
			ask[*kmsg.FetchResponse](s, label, v, req)
		}
		as := func(*kmsg.FetchRequest) {}
		get("beginning", as, part{0, 0})
		get("inside a batch", as, part{0, 4})
		get("last record", as, part{0, 11})
		get("log end", as, part{0, 12})
		get("log end of an empty partition", as, part{2, 0})
		get("past the end", as, part{0, 13})
		get("far past the end", as, part{0, 1 << 60})
		get("past the end of an empty partition", as, part{2, 1})
		get("negative offset", as, part{0, -1})
		get("very negative offset", as, part{0, -99})
		get("unknown partition", as, part{3, 0}, part{-1, 0}, part{0, 12})
		get("three partitions", as, part{0, 9}, part{1, 0}, part{2, 0})
		get("same partition twice", as, part{0, 9}, part{0, 0})
		get("no partitions", as)
		get("read committed", func(r *kmsg.FetchRequest) { r.IsolationLevel = 1 }, part{0, 9}, part{2, 0})
		get("unknown isolation level", func(r *kmsg.FetchRequest) { r.IsolationLevel = 7 }, part{0, 9})
		get("max bytes 1", func(r *kmsg.FetchRequest) { r.MaxBytes = 1 }, part{0, 0}, part{1, 0})
		get("max bytes 0", func(r *kmsg.FetchRequest) { r.MaxBytes = 0 }, part{0, 0})
		get("max bytes -1", func(r *kmsg.FetchRequest) { r.MaxBytes = -1 }, part{0, 0})
		get("max bytes for two batches", func(r *kmsg.FetchRequest) { r.MaxBytes = 250 }, part{0, 0}, part{1, 0})
		for _, most := range []int32{1, 0, -1, 99, 150, 250, 340} {
			get(fmt.Sprint("partition max bytes ", most), func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].PartitionMaxBytes = most }, part{0, 0})
		}
		get("second partition of 1 byte", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[1].PartitionMaxBytes = 1 }, part{0, 9}, part{1, 0})
		get("second partition of 0 bytes", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[1].PartitionMaxBytes = 0 }, part{0, 9}, part{1, 0})
		get("min bytes not reached", func(r *kmsg.FetchRequest) { r.MinBytes = 1 << 20 }, part{0, 9})
		get("min bytes 0", func(r *kmsg.FetchRequest) { r.MinBytes = 0 }, part{0, 12})
		get("max wait 0", func(r *kmsg.FetchRequest) { r.MaxWaitMillis = 0 }, part{0, 12})
		get("max wait -1", func(r *kmsg.FetchRequest) { r.MaxWaitMillis = -1 }, part{0, 12})
		get("leader epoch 0", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = 0 }, part{0, 9})
		get("leader epoch 5", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = 5 }, part{0, 9})
		get("leader epoch -2", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = -2 }, part{0, 9})
		get("last fetched epoch 0", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].LastFetchedEpoch = 0 }, part{0, 9})
		get("last fetched epoch 5", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].LastFetchedEpoch = 5 }, part{0, 9})
		get("last fetched epoch -2", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].LastFetchedEpoch = -2 }, part{0, 9})
		get("last fetched epoch 0 past the end", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].LastFetchedEpoch = 0 }, part{0, 20})
		get("last fetched epoch 0 at a negative offset", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].LastFetchedEpoch = 0 }, part{0, -5})
		get("unknown topic", func(r *kmsg.FetchRequest) { r.Topics[0].Topic, r.Topics[0].TopicID = "fetch-unknown", madeUpID }, part{0, 0})
		get("empty topic", func(r *kmsg.FetchRequest) { r.Topics[0].Topic, r.Topics[0].TopicID = "", [16]byte{} }, part{0, 0})
		get("no topics", func(r *kmsg.FetchRequest) { r.Topics = nil })
	})
}}}

var sessionScripts = []script{{"fetch-sessions", func(s *side) {
	s.at(kmsg.Fetch, []int16{7, 12, 13, 18}, func(v int16) {
		topic := s.named("topic")
		id := s.filled(topic)
		get := func(label string, session, epoch int32, change func(r *kmsg.FetchRequest), parts ...part) int32 {
			req := fetchRequest(topic, id, parts...)
			req.SessionID, req.SessionEpoch, req.MaxWaitMillis = session, epoch, 50
			if len(parts) == 0 {
				req.Topics = nil
			}
			change(req)
			return ask[*kmsg.FetchResponse](s, label, v, req).SessionID
		}
		as := func(*kmsg.FetchRequest) {}
		forget := func(partitions ...int32) func(r *kmsg.FetchRequest) {
			return func(r *kmsg.FetchRequest) {
				r.ForgottenTopics = append(r.ForgottenTopics, kmsg.FetchRequestForgottenTopic{Topic: topic, TopicID: id, Partitions: partitions})
			}
		}
		get("sessionless", 0, -1, as, part{0, 9})
		session := get("full", 0, 0, as, part{0, 9}, part{1, 0}, part{2, 0})
		get("incremental, nothing new said", session, 1, as)
		get("incremental, offsets moved", session, 2, as, part{0, 12}, part{1, 1})
		get("incremental, nothing new there", session, 3, as)
		s.write(topic, id, 2, s.batch(numbered(1)...))
		get("incremental, one has something", session, 4, as)
		get("incremental, forgotten", session, 5, forget(2))
		get("incremental, without the forgotten", session, 6, as)
		get("incremental, forgotten twice", session, 7, forget(2))
		get("incremental, an unknown partition", session, 8, as, part{7, 0})
		get("incremental, unknown partition again", session, 9, as)
		get("incremental, unknown forgotten", session, 10, forget(7))
		get("incremental, out of range", session, 11, as, part{0, 99})
		get("incremental, still out of range", session, 12, as)
		get("incremental, back in range", session, 13, as, part{0, 12})
		get("wrong epoch", session, 99, as)
		get("epoch again", session, 13, as)
		get("right epoch after the wrong", session, 14, as)
		get("unknown session", 123456789, 1, as)
		get("epoch 0 with a session", session, 0, as, part{0, 9})
		get("old session after that", session, 15, as)
		again := get("full again", 0, 0, as, part{0, 9})
		get("closed", again, -1, as, part{0, 9})
		get("after closing", again, 1, as)
		get("close what is unknown", 987654321, -1, as, part{0, 9})
		get("full, no partitions", 0, 0, as)
		get("full, unknown topic", 0, 0, func(r *kmsg.FetchRequest) { r.Topics[0].Topic, r.Topics[0].TopicID = s.named("unknown"), madeUpID }, part{0, 0})
		get("full, forgetting", 0, 0, forget(0), part{0, 12}, part{1, 1})
		get("no session, epoch 5", 0, 5, as, part{0, 9})
		get("epoch -2", 0, -2, as, part{0, 9})
		empty := get("full, to be emptied", 0, 0, as, part{2, 1})
		get("emptied", empty, 1, forget(2))
		get("after it was emptied", empty, 2, as)
	})
}}}

var listOffsetsScripts = []script{{"list-offsets", func(s *side) {
	s.filled("list-offsets")
	s.topic("list-offsets-empty", 1)
	gz := s.topic("list-offsets-zipped", 1)
	s.write("list-offsets-zipped", gz, 0, s.batch(numbered(5)...).compressed(kgo.GzipCompression(), 1))
	s.write("list-offsets-zipped", gz, 0, s.batch(
		record{value: []byte("a"), deltaTimestamp: 50_000}, record{value: []byte("b"), deltaOffset: 1, deltaTimestamp: 20_000},
		record{value: []byte("c"), deltaOffset: 2, deltaTimestamp: 50_000}, record{value: []byte("d"), deltaOffset: 3, deltaTimestamp: 1000},
	).compressed(kgo.ZstdCompression(), 4))
	s.write("list-offsets-zipped", gz, 0, s.batch(numbered(2)...))
	s.at(kmsg.ListOffsets, []int16{1, 2, 4, 6, 7, 8, 9, 10, 11}, func(v int16) {
		list := func(label string, topic string, partition int32, timestamp int64, change func(r *kmsg.ListOffsetsRequest)) {
			req := listOffsets(topic, partition, timestamp)
			req.TimeoutMillis = 5000
			change(req)
			ask[*kmsg.ListOffsetsResponse](s, label, v, req)
		}
		as := func(*kmsg.ListOffsetsRequest) {}
		for _, topic := range []string{"list-offsets", "list-offsets-zipped", "list-offsets-empty"} {
			for _, special := range []int64{-1, -2, -3, -4, -5, -6, -7, -99} {
				list(fmt.Sprint(topic, " special ", special), topic, 0, special, as)
				list(fmt.Sprint(topic, " committed, special ", special), topic, 0, special, func(r *kmsg.ListOffsetsRequest) { r.IsolationLevel = 1 })
			}
			for i, at := range []int64{0, s.past(-1), s.past(0), s.past(1), s.past(999), s.past(1000), s.past(1001), s.past(2000), s.past(4000),
				s.past(4001), s.past(10_000), s.past(19_999), s.past(20_001), s.past(32_000), s.past(50_000), s.past(50_001), 1<<63 - 1} {
				list(fmt.Sprint(topic, " at ", i), topic, 0, at, as)
			}
		}
		list("unknown topic", "list-offsets-unknown", 0, -1, as)
		list("unknown partition", "list-offsets", 9, -1, as)
		list("negative partition", "list-offsets", -1, -1, as)
		list("bad topic", "a b", 0, -1, as)
		list("leader epoch 0", "list-offsets", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = 0 })
		list("leader epoch 5", "list-offsets", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = 5 })
		list("leader epoch -2", "list-offsets", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = -2 })
		list("twice", "list-offsets", 0, -1, func(r *kmsg.ListOffsetsRequest) {
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, listOffsets("", 0, -2).Topics[0].Partitions...)
		})
		list("replica -2", "list-offsets", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.ReplicaID = -2 })
		list("nothing", "list-offsets", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.Topics = nil })
	})
}}}

var epochScripts = []script{{"leader-epoch", func(s *side) {
	s.filled("leader-epoch")
	s.each(kmsg.OffsetForLeaderEpoch, func(v int16) {
		for _, partition := range []int32{0, 2, 9, -1} {
			for _, epochs := range [][2]int32{{-1, 0}, {0, 0}, {5, 0}, {-1, 5}, {-1, -1}, {0, -2}, {-2, 0}} {
				req := kmsg.NewPtrOffsetForLeaderEpochRequest()
				t := kmsg.NewOffsetForLeaderEpochRequestTopic()
				t.Topic = "leader-epoch"
				p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
				p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = partition, epochs[0], epochs[1]
				t.Partitions = append(t.Partitions, p)
				req.Topics = append(req.Topics, t)
				ask[*kmsg.OffsetForLeaderEpochResponse](s, fmt.Sprint("partition ", partition, " epochs ", epochs), v, req)
			}
		}
		for _, topic := range []string{"leader-epoch-unknown", "", "a b"} {
			req := kmsg.NewPtrOffsetForLeaderEpochRequest()
			t := kmsg.NewOffsetForLeaderEpochRequestTopic()
			t.Topic, t.Partitions = topic, []kmsg.OffsetForLeaderEpochRequestTopicPartition{kmsg.NewOffsetForLeaderEpochRequestTopicPartition()}
			req.Topics = append(req.Topics, t)
			ask[*kmsg.OffsetForLeaderEpochResponse](s, "topic "+topic, v, req)
		}
	})
}}}
