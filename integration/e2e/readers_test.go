package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/witness"
)

// readers read partitions with raw requests to brokers of their choice, through whatever happens to them, and tell a
// witness of every answer.
type readers struct {
	witness    *witness.Witness
	partitions []witness.Partition
	ids        map[string][16]byte // of topics
	names      map[[16]byte]string

	fixed   []*witness.Reader // that stay with their brokers
	stop    context.CancelFunc
	running sync.WaitGroup
}

// startReaders reads topics of three partitions from every broker: in long polls, in fetch sessions with read_committed,
// and with readers that go from broker to broker.
func startReaders(t *testing.T, w *witness.Witness, brokers []*member, topics ...string) *readers {
	t.Helper()
	found, err := admin(t, through(brokers[0].Broker)...).ListTopics(harness.Soon(t), topics...)
	if err != nil {
		t.Fatal(err)
	}
	rs := &readers{witness: w, ids: make(map[string][16]byte), names: make(map[[16]byte]string)}
	for _, topic := range found.Sorted() {
		rs.ids[topic.Topic], rs.names[topic.ID] = topic.ID, topic.Topic
		for _, p := range topic.Partitions.Numbers() {
			rs.partitions = append(rs.partitions, witness.Partition{Topic: topic.Topic, Number: p})
		}
	}
	var ctx context.Context
	ctx, rs.stop = context.WithCancel(context.Background())
	t.Cleanup(rs.finish)
	for _, b := range brokers {
		plain, session := w.Reader("long polls of "+b.Addr), w.Reader("session of "+b.Addr)
		rs.fixed = append(rs.fixed, plain, session)
		// Fetch 11 names topics, 13 and later have their ids.
		named, identified := connect(t, b, kgo.MaxVersions(kversion.V2_4_0())), connect(t, b)
		rs.running.Go(func() { rs.poll(ctx, named, plain) })
		rs.running.Go(func() { rs.follow(ctx, identified, session) })
	}
	for i := range 2 {
		var sources []*source
		for _, b := range brokers {
			sources = append(sources, connect(t, b))
		}
		rs.running.Go(func() { rs.wander(ctx, sources, w.Reader(fmt.Sprint("wanderer ", i)), int32(i)-1) })
	}
	return rs
}

// finish stops all readers.
func (rs *readers) finish() {
	rs.stop()
	rs.running.Wait()
}

// await waits until the readers of each broker have come to where any broker says that the partitions end.
func (rs *readers) await(t *testing.T, within time.Duration) {
	t.Helper()
	ends := make(map[witness.Partition]int64)
	for _, p := range rs.partitions {
		ends[p] = rs.witness.High(p)
	}
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		behind := rs.behind(ends)
		if behind == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s\nverdict so far: %v", within, behind, rs.witness.Err())
		}
	}
}

// behind names a reader that has not come to one of the ends, "" if all have.
func (rs *readers) behind(ends map[witness.Partition]int64) string {
	for _, r := range rs.fixed {
		for p, end := range ends {
			if next := r.Next(p); next < end {
				return fmt.Sprintf("%v is at %d of %v, which ends at %d", r, next, p, end)
			}
		}
	}
	return ""
}

// source is one broker as a reader sees it.
type source struct {
	name   string
	client *kgo.Client
}

func connect(t *testing.T, b *member, opts ...kgo.Opt) *source {
	t.Helper()
	client, err := harness.Client(t, append(opts, kgo.SeedBrokers(b.Addr))...)
	if err != nil {
		t.Fatal(err)
	}
	return &source{b.Addr, client}
}

// ask sends a request to the broker. nil: there is no answer, and a while has passed.
func ask[Resp kmsg.Response](ctx context.Context, s *source, req kmsg.Request) (resp Resp, answered bool) {
	any, err := s.client.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		backOff(ctx)
		return resp, false
	}
	return any.(Resp), true
}

// backOff is what clients do before they ask again.
func backOff(ctx context.Context) {
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
	}
}

// questions are what is asked of each partition in one request.
type questions map[witness.Partition]witness.Question

func (rs *readers) questions(s *source) questions {
	qs := make(questions, len(rs.partitions))
	for _, p := range rs.partitions {
		qs[p] = rs.witness.Ask(s.name, p)
	}
	return qs
}

// fetchRequest asks for partitions from where the reader is. epoch is the one of the last record that it claims to have
// read; -1 for none.
func (rs *readers) fetchRequest(r *witness.Reader, partitions []witness.Partition, wait time.Duration, epoch int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = int32(wait.Milliseconds()), 1, 1<<20
	req.SessionEpoch = -1
	for _, p := range partitions {
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic, topic.TopicID = p.Topic, rs.ids[p.Topic]
		partition := kmsg.NewFetchRequestTopicPartition()
		partition.Partition, partition.FetchOffset, partition.PartitionMaxBytes = p.Number, r.Next(p), 1<<18
		partition.CurrentLeaderEpoch, partition.LastFetchedEpoch = 0, epoch
		topic.Partitions = append(topic.Partitions, partition)
		req.Topics = append(req.Topics, topic)
	}
	return req
}

// take tells the witness of an answer, and whether no partition was refused.
func (rs *readers) take(qs questions, r *witness.Reader, req *kmsg.FetchRequest, resp *kmsg.FetchResponse) (served bool) {
	served = true
	for i := range resp.Topics {
		topic := &resp.Topics[i]
		name := topic.Topic
		if resp.Version >= 13 {
			name = rs.names[topic.TopicID]
		}
		for j := range topic.Partitions {
			row := &topic.Partitions[j]
			p := witness.Partition{Topic: name, Number: row.Partition}
			rs.takeRow(qs[p], r, p, req.IsolationLevel == 1, row)
			served = served && row.ErrorCode == 0
		}
	}
	return served
}

func (rs *readers) takeRow(q witness.Question, r *witness.Reader, p witness.Partition, committed bool, row *kmsg.FetchResponseTopicPartition) {
	next := r.Next(p)
	switch err := kerr.ErrorForCode(row.ErrorCode); {
	case err != nil:
		q.Refused(err, next)
		return
	case row.DivergingEpoch.EndOffset != -1:
		q.Refused(fmt.Errorf("diverging at %d, although nothing is ever truncated", row.DivergingEpoch.EndOffset), next)
		return
	}
	q.Marks(witness.Marks{High: row.HighWatermark, Stable: row.LastStableOffset, LogStart: row.LogStartOffset})
	below := row.HighWatermark
	if committed {
		below = row.LastStableOffset
	}
	fetched, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: next, Topic: p.Topic, Partition: p.Number},
		row, kgo.DefaultDecompressor(), nil)
	if fetched.Err != nil {
		q.Refused(fetched.Err, next)
	}
	r.Take(q, below, fetched.Records)
}

const pollWait = 500 * time.Millisecond

// poll reads from one broker in long polls without a session.
func (rs *readers) poll(ctx context.Context, s *source, r *witness.Reader) {
	defer s.client.Close()
	for ctx.Err() == nil {
		req := rs.fetchRequest(r, rs.partitions, pollWait, -1)
		qs := rs.questions(s)
		if resp, ok := ask[*kmsg.FetchResponse](ctx, s, req); ok && !rs.take(qs, r, req, resp) {
			backOff(ctx)
		}
	}
}

// follow reads from one broker in a fetch session with read_committed, and begins another when it is lost.
func (rs *readers) follow(ctx context.Context, s *source, r *witness.Reader) {
	defer s.client.Close()
	var id, epoch int32
	var told map[witness.Partition]int64 // the offsets that the session knows of
	for ctx.Err() == nil {
		if epoch == 0 {
			id, told = 0, make(map[witness.Partition]int64)
		}
		var news []witness.Partition
		for _, p := range rs.partitions {
			if at, known := told[p]; !known || at != r.Next(p) {
				news = append(news, p)
				told[p] = r.Next(p)
			}
		}
		req := rs.fetchRequest(r, news, pollWait, -1)
		req.IsolationLevel, req.SessionID, req.SessionEpoch = 1, id, epoch
		qs := rs.questions(s)
		resp, ok := ask[*kmsg.FetchResponse](ctx, s, req)
		if !ok || resp.ErrorCode != 0 || resp.SessionID == 0 {
			epoch = 0
			continue
		}
		id, epoch = resp.SessionID, epoch+1
		if !rs.take(qs, r, req, resp) {
			backOff(ctx)
		}
	}
}

// patience is how long a reader that goes from broker to broker waits for one of them.
const patience = 1500 * time.Millisecond

// wander reads from one broker after the other, and asks each where the partitions end.
func (rs *readers) wander(ctx context.Context, sources []*source, r *witness.Reader, epoch int32) {
	for _, s := range sources {
		defer s.client.Close()
	}
	for i := 0; ctx.Err() == nil; i++ {
		rs.visit(ctx, sources[i%len(sources)], r, epoch)
	}
}

func (rs *readers) visit(ctx context.Context, s *source, r *witness.Reader, epoch int32) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req := rs.fetchRequest(r, rs.partitions, 20*time.Millisecond, epoch)
	qs := rs.questions(s)
	resp, ok := ask[*kmsg.FetchResponse](ctx, s, req)
	if !ok {
		return
	}
	rs.take(qs, r, req, resp)
	if rs.listOffsets(ctx, s) {
		rs.endOfEpoch(ctx, s)
	}
}

func (rs *readers) listOffsets(ctx context.Context, s *source) (answered bool) {
	req := kmsg.NewPtrListOffsetsRequest()
	for _, p := range rs.partitions {
		topic := kmsg.NewListOffsetsRequestTopic()
		topic.Topic = p.Topic
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = p.Number, -1
		topic.Partitions = append(topic.Partitions, partition)
		req.Topics = append(req.Topics, topic)
	}
	qs := rs.questions(s)
	resp, ok := ask[*kmsg.ListOffsetsResponse](ctx, s, req)
	if !ok {
		return false
	}
	for _, topic := range resp.Topics {
		for _, row := range topic.Partitions {
			qs.end(witness.Partition{Topic: topic.Topic, Number: row.Partition}, row.ErrorCode, row.Offset)
		}
	}
	return true
}

func (rs *readers) endOfEpoch(ctx context.Context, s *source) {
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID = -1
	for _, p := range rs.partitions {
		topic := kmsg.NewOffsetForLeaderEpochRequestTopic()
		topic.Topic = p.Topic
		partition := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		partition.Partition, partition.CurrentLeaderEpoch = p.Number, 0
		topic.Partitions = append(topic.Partitions, partition)
		req.Topics = append(req.Topics, topic)
	}
	qs := rs.questions(s)
	resp, ok := ask[*kmsg.OffsetForLeaderEpochResponse](ctx, s, req)
	if !ok {
		return
	}
	for _, topic := range resp.Topics {
		for _, row := range topic.Partitions {
			qs.end(witness.Partition{Topic: topic.Topic, Number: row.Partition}, row.ErrorCode, row.EndOffset)
		}
	}
}

// end tells the witness of an answer that says where a partition ends.
func (qs questions) end(p witness.Partition, code int16, offset int64) {
	if err := kerr.ErrorForCode(code); err != nil {
		qs[p].Refused(err, -1)
		return
	}
	qs[p].End(offset)
}
