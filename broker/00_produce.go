package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/planted"
)

// Produce (0), versions 3 to 13; 0 to 2 are advertised and refused, because librdkafka compresses only if it sees them
// (KAFKA-18659). Every partition of a request carries one record batch of format 2. Batches are checked without being
// decompressed (see recordbatch.Validate), unless the topic wants another codec (recompress.go), and appended in the order
// of the request. They are answered when they are
// durable and sequenced, with acks=1 as with acks=all: nothing else is an acknowledgement here. acks=0 has no answer;
// as in Kafka, a batch that is refused then closes the connection. A broker that has handed its partitions over refuses
// batches with NOT_LEADER_OR_FOLLOWER; those of acks=0 it takes, and tells the producer to hang up.
//
// Transactional batches are taken as part of their producer's ongoing transaction, which must have the partition; from v12
// on they begin it and add the partition, if need be (KIP-890). produce_transaction.go checks what they need of the request.
//
// v3 brings the transactional id; v5 the log start offset; v7 allows zstd (KIP-110); v8 names the records at fault
// (KIP-467); v10 could name the new leader (KIP-951), and does not: see moved in placement.go; v11 knows
// TRANSACTION_ABORTABLE; v13 has topic ids (KIP-516).

// Appender takes validated batches, those of one call together and in order; batching.Writer does.
type Appender interface {
	Append(source *batching.Source, batches []batching.Batch) (*batching.Pending, error)
}

// leastProduceTimeout keeps a client that asks for (almost) none, which Kafka can keep with a single replica, from
// being told that every request timed out.
const leastProduceTimeout = time.Second

// production is a Produce request on its way. Once it is appended it holds nothing of the request's frame, which is
// used again.
type production struct {
	acks    int16
	timeout time.Duration
	version int16
	resp    *kmsg.ProduceResponse
	now     time.Time
	batches []batching.Batch // until they are appended
	admits  []admittedBatch  // admits[i] is of batches[i]
	refused error            // any of the refusals
	writes  permits          // of topics
	retire  bool             // acks=0, and other brokers have the partitions

	recompressing chan struct{} // has a place for each request that may recompress
	recompresses  bool          // this one has a place
	remade        int           // bytes of batches that were recompressed
}

// admittedBatch is what is remembered of a batch until its answer.
type admittedBatch struct {
	row           *kmsg.ProduceResponseTopicPartition // answers it
	stamp         int64                               // LogAppendTime, or -1
	transactional bool
}

func (b *Broker) production(c *wire.Conn, req *kmsg.ProduceRequest) *production {
	return &production{
		writes: *b.permits(c, acl.Write, acl.Topic),
		acks:   req.Acks, timeout: time.Duration(req.TimeoutMillis) * time.Millisecond, version: req.Version,
		resp: respond[*kmsg.ProduceResponse](req), now: b.Now(), recompressing: b.recompressing,
	}
}

func (b *Broker) produce(ctx context.Context, c *wire.Conn, request kmsg.Request) wire.Pending {
	req := request.(*kmsg.ProduceRequest)
	p := b.production(c, req)
	b.learn(ctx, &p.writes, req)
	if err := b.checkTransaction(ctx, c, req); err != nil {
		p.refuseAll(req, err)
	} else {
		b.admit(ctx, p, req)
	}
	pending, err := b.Writer.Append(attached(c).source, p.batches)
	p.batches = nil
	p.release()
	if err != nil {
		p.failAppended(err)
		pending = nil
	}
	return func(ctx context.Context) kmsg.Response {
		if pending != nil {
			p.await(ctx, pending)
		}
		if p.acks != 0 {
			return p.resp
		}
		if p.refused != nil && ctx.Err() == nil {
			c.Abort(fmt.Errorf("refused what was produced without acknowledgement: %w", p.refused))
		}
		if p.retire {
			c.Retire()
		}
		return nil
	}
}

// learn looks for what this broker has not heard of, and another broker may have made a moment ago. A producer that sends
// its first batches to such a topic would have the first refused and, when the topic is known by then, the
// second taken; the first would never get in. Nobody can make it look by naming topics that are not theirs.
func (b *Broker) learn(ctx context.Context, writes *permits, req *kmsg.ProduceRequest) {
	for i := range req.Topics {
		if req.Version < 13 && !writes.allow(req.Topics[i].Topic) {
			continue
		}
		topic, err := b.topicByNameOrID(req.Topics[i].Topic, req.Topics[i].TopicID, req.Version >= 13)
		known := err == nil
		for j := range req.Topics[i].Partitions {
			known = known && req.Topics[i].Partitions[j].Partition < topic.Partitions
		}
		if known {
			continue
		}
		b.refreshed(ctx)
		return
	}
}

// admit makes a row of the answer for every partition, and a batch to append for every one that is not refused.
func (b *Broker) admit(ctx context.Context, p *production, req *kmsg.ProduceRequest) {
	p.resp.Topics = make([]kmsg.ProduceResponseTopic, len(req.Topics))
	moved := b.moved() != nil // once for all: batches of a request to one partition stay together
	// Nobody would send again what is refused without an answer. Any broker can append it.
	p.retire = moved && p.acks == 0
	written := copies{Broker: b}
	defaults := b.Settings.Load()
	for i := range req.Topics {
		from, to := &req.Topics[i], &p.resp.Topics[i]
		to.Topic, to.TopicID = from.Topic, from.TopicID
		to.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(from.Partitions))
		topic, err := b.topicByNameOrID(from.Topic, from.TopicID, p.version >= 13)
		var rules recordbatch.Rules
		var set settings.Topic
		if name := nameOf(topic, from.Topic); name != "" && !p.writes.allow(name) {
			err = errTopicDenied
		}
		if err == nil {
			set = defaults.Topic(topic.Configs)
			rules = produceRules(set, p.now, p.version)
		}
		for j := range from.Partitions {
			row := &to.Partitions[j]
			*row = kmsg.NewProduceResponseTopicPartition()
			row.Partition, row.BaseOffset = from.Partitions[j].Partition, -1
			if err != nil {
				p.refuse(row, err)
				continue
			}
			if moved && !p.retire {
				if !written.find(ctx, row, topic, rules, from.Partitions[j].Records) {
					p.refuse(row, errMoved)
				}
				continue
			}
			p.admit(ctx, row, topic, &set, rules, from.Partitions[j].Records)
		}
	}
}

// topicByNameOrID finds a topic the way the version of a request names it.
func (b *Broker) topicByNameOrID(name string, id [16]byte, byID bool) (*metastore.Topic, error) {
	if byID {
		if topic, ok := b.Topics.TopicByID(id); ok {
			return topic, nil
		}
		return nil, refuse(kerr.UnknownTopicID, "no topic has the id "+metastore.TopicID(id).String())
	}
	if topic, ok := b.Topics.Topic(name); ok {
		return topic, nil
	}
	if settings.ValidTopicName(name) != nil { // 32 KiB of it, perhaps, for each partition
		return nil, refuse(kerr.UnknownTopicOrPartition, "no topic has such a name")
	}
	return nil, refuse(kerr.UnknownTopicOrPartition, fmt.Sprintf("no topic %q", name))
}

// nameOf is the name of the topic that a request is about: of the topic that was found, or as the request has it, "" if it has
// an id that no topic has.
func nameOf(t *metastore.Topic, asked string) string {
	if t != nil {
		return t.Name
	}
	return asked
}

func produceRules(set settings.Topic, now time.Time, version int16) recordbatch.Rules {
	return recordbatch.Rules{
		MaxBytes:      set.MaxMessageBytes,
		LogAppendTime: set.TimestampType == settings.LogAppendTime,
		Now:           now.UnixMilli(),
		BeforeMax:     set.TimestampBeforeMax,
		AfterMax:      set.TimestampAfterMax,
		Compacted:     set.Compacted,
		ZstdAllowed:   version >= 7,
	}
}

// admit checks the records of one partition and takes them up.
func (p *production) admit(ctx context.Context, row *kmsg.ProduceResponseTopicPartition, topic *metastore.Topic, set *settings.Topic, rules recordbatch.Rules, records []byte) {
	if row.Partition < 0 || row.Partition >= topic.Partitions {
		p.refuse(row, refuse(kerr.UnknownTopicOrPartition, fmt.Sprintf("topic has %d partitions", topic.Partitions)))
		return
	}
	if p.acks < -1 || p.acks > 1 {
		p.refuse(row, refuse(kerr.InvalidRequiredAcks, fmt.Sprintf("acks is %d, must be -1, 0 or 1", p.acks)))
		return
	}
	h, err := recordbatch.Validate(records, rules)
	switch {
	case err != nil:
		p.refuse(row, err)
		return
	case len(records) > int(set.SegmentBytes):
		p.refuse(row, tooLargeForSegment(len(records), set))
		return
	}
	if records, h, err = p.recompress(ctx, records, h, rules, set); err != nil {
		p.refuse(row, err)
		return
	}
	stamp := int64(-1)
	if rules.LogAppendTime {
		stamp = rules.Now
		recordbatch.SetLogAppendTime(records, stamp)
		h.MaxTimestamp = stamp
	}
	tp := metastore.TopicPartition{Topic: topic.ID, Partition: row.Partition}
	p.batches = append(p.batches, batching.Batch{TopicPartition: tp, Bytes: records, Header: h, MaxLinger: p.maxLinger(set), Implicit: p.version >= implicitVersion})
	p.admits = append(p.admits, admittedBatch{row, stamp, h.Transactional()})
}

// maxLinger is the topic's latency class as the Writer has it: 0 is the broker's, negative is none. It leaves half of the
// request's time-out for the rest: a client must not be told that a batch timed out which waits here by choice.
func (p *production) maxLinger(set *settings.Topic) time.Duration {
	switch set.LingerMaxMs {
	case -1:
		return 0
	case 0:
		return -1
	}
	return min(time.Duration(set.LingerMaxMs)*time.Millisecond, p.patience()/2)
}

var errMoved = refuse(kerr.NotLeaderForPartition, "the broker is about to stop: others lead its partitions")

// patience is for how long the client wants to wait for the answer.
func (p *production) patience() time.Duration { return max(p.timeout, leastProduceTimeout) }

// refuse answers one partition with an error.
func (p *production) refuse(row *kmsg.ProduceResponseTopicPartition, err error) {
	p.refused = err
	text := brief(err.Error())
	row.ErrorCode, row.ErrorMessage = produceError(err).Code, &text
	var bad *recordbatch.Refusal
	if !errors.As(err, &bad) {
		return
	}
	row.ErrorMessage = &bad.Message
	if bad.BatchIndex < 0 {
		return
	}
	for _, at := range append([]int32{bad.BatchIndex}, bad.Others...) {
		row.ErrorRecords = append(row.ErrorRecords, kmsg.ProduceResponseTopicPartitionErrorRecord{RelativeOffset: at, ErrorMessage: &bad.Message})
	}
}

// failAppended answers all partitions that were not refused before.
func (p *production) failAppended(err error) {
	for i := range p.admits {
		p.refuse(p.admits[i].row, err)
	}
}

// await fills in what became of the batches.
func (p *production) await(ctx context.Context, pending *batching.Pending) {
	if p.acks != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.patience())
		defer cancel()
	}
	results, err := pending.Wait(ctx)
	if err != nil {
		p.failAppended(err)
		if planted.Is(planted.OffsetZeroOnError) {
			for i := range p.admits {
				p.admits[i].row.ErrorCode, p.admits[i].row.BaseOffset = 0, 0
			}
		}
		return
	}
	for i, res := range results {
		batch := &p.admits[i]
		row := batch.row
		taken := res.Verdict == metastore.Accepted || res.Verdict == metastore.Duplicate
		// From a log start beyond what it was acknowledged, franz-go concludes that the partition forgot the producer, and
		// asks for a new epoch. In a transaction that aborts what the transaction has so far, and the rest is committed.
		if taken || !batch.transactional {
			row.LogStartOffset = int64(res.LogStart)
		}
		if !taken {
			p.refuse(row, verdictError(res.Verdict, p.version, batch.transactional))
			continue
		}
		row.BaseOffset, row.LogAppendTime = int64(res.Offset), batch.stamp
	}
}

// verdictError says why a batch was not sequenced.
func verdictError(v metastore.Verdict, version int16, transactional bool) error {
	switch v {
	case metastore.InvalidTxnState, metastore.UnknownTxnProducer:
		return txnVerdictError(v, version, transactional)
	case metastore.OutOfOrderSequence:
		return refuse(kerr.OutOfOrderSequenceNumber, "the batch does not follow the producer's last one")
	case metastore.StaleProducerEpoch:
		return refuse(kerr.InvalidProducerEpoch, "the partition knows a newer epoch of the producer")
	case metastore.UnknownPartition:
		if version >= 13 {
			return refuse(kerr.UnknownTopicID, "the topic was deleted")
		}
		return refuse(kerr.UnknownTopicOrPartition, "the topic was deleted")
	case metastore.SegmentTooOld:
		return refuse(kerr.KafkaStorageError, "storing the batch took too long; it was not written")
	default:
		return refuse(kerr.UnknownServerError, fmt.Sprintf("verdict %d", v))
	}
}

// produceError is Kafka's error for what can go wrong with a batch. Where it was certainly not written, and may well be
// later or elsewhere, the error is one that producers retry.
func produceError(err error) *kerr.Error {
	var bad *recordbatch.Refusal
	switch {
	case errors.As(err, &bad):
		return reasonError(bad.Reason)
	case errors.Is(err, batching.ErrStorage):
		return kerr.KafkaStorageError
	case errors.Is(err, batching.ErrOverloaded):
		return kerr.NotEnoughReplicas
	case errors.Is(err, batching.ErrClosed):
		return kerr.NotLeaderForPartition // ask for metadata and go to a broker that is not shutting down
	case errors.Is(err, batching.ErrUnknownOutcome):
		return kerr.RequestTimedOut
	case errors.Is(err, metastore.ErrInvalidCommit):
		return kerr.UnknownServerError
	}
	return kafkaError(err)
}

func reasonError(r recordbatch.Reason) *kerr.Error {
	switch r {
	case recordbatch.CorruptMessage:
		return kerr.CorruptMessage
	case recordbatch.InvalidRecord:
		return kerr.InvalidRecord
	case recordbatch.TooLarge:
		return kerr.MessageTooLarge
	case recordbatch.InvalidTimestamp:
		return kerr.InvalidTimestamp
	case recordbatch.UnsupportedCompression:
		return kerr.UnsupportedCompressionType
	}
	return kerr.UnknownServerError
}
