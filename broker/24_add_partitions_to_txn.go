package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// AddPartitionsToTxn (24), versions 0 to 5: registers partitions with a producer's transaction before it writes to them, and
// begins the transaction (transaction version 1). All or nothing: if one partition is unknown, or not the client's to write to,
// the others are not attempted.
// v2 (KIP-588) has PRODUCER_FENCED. v4 (KIP-890) is for Kafka's brokers: several transactions at once, and a question
// whether partitions are in a transaction. No client sends it, and no broker of ours; it is served for who tries it out.

func (b *Broker) addPartitionsToTxn(ctx context.Context, c *wire.Conn, req *kmsg.AddPartitionsToTxnRequest) *kmsg.AddPartitionsToTxnResponse {
	ctx, cancel := context.WithTimeout(ctx, txnWait)
	defer cancel()
	resp := respond[*kmsg.AddPartitionsToTxnResponse](req)
	look := oneLook{broker: b}
	if req.Version >= 4 {
		if !b.mayOnCluster(c, acl.ClusterAction) {
			resp.ErrorCode = code(errClusterDenied)
			return resp
		}
		for _, t := range req.Transactions {
			topics := make([]kmsg.AddPartitionsToTxnRequestTopic, len(t.Topics))
			for i, topic := range t.Topics {
				topics[i] = kmsg.AddPartitionsToTxnRequestTopic{Topic: topic.Topic, Partitions: topic.Partitions}
			}
			answer := kmsg.NewAddPartitionsToTxnResponseTransaction()
			answer.TransactionalID = t.TransactionalID
			for _, topic := range b.addPartitions(ctx, nil, &look, req.Version, t, topics) {
				row := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
				row.Topic = topic.Topic
				for _, p := range topic.Partitions {
					row.Partitions = append(row.Partitions, kmsg.AddPartitionsToTxnResponseTransactionTopicPartition(p))
				}
				answer.Topics = append(answer.Topics, row)
			}
			resp.Transactions = append(resp.Transactions, answer)
		}
		return resp
	}
	single := kmsg.NewAddPartitionsToTxnRequestTransaction()
	single.TransactionalID, single.ProducerID, single.ProducerEpoch = req.TransactionalID, req.ProducerID, req.ProducerEpoch
	if !b.may(c, acl.Write, acl.TransactionalID, req.TransactionalID) {
		resp.Topics = addedPartitions(req.Topics, func(string, int32) int16 { return code(errTxnDenied) })
		return resp
	}
	writes, denied := b.permits(c, acl.Write, acl.Topic), make(map[string]bool)
	for _, t := range req.Topics {
		denied[t.Topic] = !writes.allow(t.Topic)
	}
	resp.Topics = b.addPartitions(ctx, denied, &look, req.Version, single, req.Topics)
	return resp
}

// addPartitions answers for one transaction, to which topics that are denied are not added.
func (b *Broker) addPartitions(ctx context.Context, denied map[string]bool, look *oneLook, version int16, t kmsg.AddPartitionsToTxnRequestTransaction, topics []kmsg.AddPartitionsToTxnRequestTopic) []kmsg.AddPartitionsToTxnResponseTopic {
	partitions, unknown := b.partitionsOf(ctx, denied, look, topics)
	outcome := func(topic string, p int32) int16 { return 0 }
	switch {
	case len(unknown) > 0:
		outcome = func(topic string, p int32) int16 {
			if denied[topic] {
				return code(errTopicDenied)
			}
			if unknown[namedPartition{topic, p}] {
				return kerr.UnknownTopicOrPartition.Code
			}
			return kerr.OperationNotAttempted.Code
		}
	case t.VerifyOnly:
		code := b.verifyPartitions(ctx, look, version, t, partitions)
		outcome = func(string, int32) int16 { return code }
	case len(partitions) > 0:
		_, err := b.addToTxn(ctx, t.TransactionalID, t.ProducerID, t.ProducerEpoch, partitions, nil)
		code := txnCode(err, fencedSince(2, version))
		outcome = func(string, int32) int16 { return code }
	}
	return addedPartitions(topics, outcome)
}

func addedPartitions(topics []kmsg.AddPartitionsToTxnRequestTopic, outcome func(topic string, p int32) int16) []kmsg.AddPartitionsToTxnResponseTopic {
	var answers []kmsg.AddPartitionsToTxnResponseTopic
	for _, asked := range topics {
		answer := kmsg.NewAddPartitionsToTxnResponseTopic()
		answer.Topic = asked.Topic
		for _, p := range asked.Partitions {
			row := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
			row.Partition, row.ErrorCode = p, outcome(asked.Topic, p)
			answer.Partitions = append(answer.Partitions, row)
		}
		answers = append(answers, answer)
	}
	return answers
}

func (b *Broker) addToTxn(ctx context.Context, id string, producer int64, epoch int16, partitions []metastore.TopicPartition, groups []string) (metastore.TxnResult, error) {
	if id == "" {
		return metastore.TxnResult{}, errNoTxnID
	}
	return b.transact(ctx, id, func(t metastore.Transaction) (metastore.TxnRequest, error) {
		return metastore.AddToTxn{
			ID: id, Producer: metastore.ProducerID(producer), Epoch: metastore.ProducerEpoch(epoch),
			Partitions: partitions, Groups: groups, Number: t.Number,
		}, nil
	})
}

// oneLook is a look at the log that is taken at most once for a request: it shows all that was there when the request came,
// and the next one would have to wait.
type oneLook struct {
	broker *Broker
	taken  bool
	caught bool // up with the log
}

func (l *oneLook) take(ctx context.Context) bool {
	if !l.taken {
		l.taken, l.caught = true, l.broker.refreshed(ctx)
	}
	return l.caught
}

type namedPartition struct {
	topic     string
	partition int32
}

// partitionsOf finds the partitions by name, each once, and those that there are not, not even after a look at the log. What is
// denied counts as unknown, and is not looked for.
func (b *Broker) partitionsOf(ctx context.Context, denied map[string]bool, look *oneLook, topics []kmsg.AddPartitionsToTxnRequestTopic) (found []metastore.TopicPartition, unknown map[namedPartition]bool) {
	for {
		missing, behind := false, !look.taken
		found, unknown = nil, make(map[namedPartition]bool)
		seen := make(map[metastore.TopicPartition]bool)
		for _, asked := range topics {
			topic, ok := b.Topics.Topic(asked.Topic)
			for _, p := range asked.Partitions {
				if denied[asked.Topic] || !ok || p < 0 || p >= topic.Partitions {
					missing = missing || !denied[asked.Topic]
					unknown[namedPartition{asked.Topic, p}] = true
					continue
				}
				if tp := (metastore.TopicPartition{Topic: topic.ID, Partition: p}); !seen[tp] {
					seen[tp] = true
					found = append(found, tp)
				}
			}
		}
		if !missing || !behind || !look.take(ctx) {
			return found, unknown
		}
	}
}

// verifyPartitions tells whether all partitions are in the producer's ongoing transaction.
func (b *Broker) verifyPartitions(ctx context.Context, look *oneLook, version int16, asked kmsg.AddPartitionsToTxnRequestTransaction, partitions []metastore.TopicPartition) int16 {
	if !look.take(ctx) {
		return kerr.CoordinatorNotAvailable.Code
	}
	t, known := b.States.Transaction(asked.TransactionalID)
	switch {
	case !known || int64(t.Producer) != asked.ProducerID:
		return kerr.InvalidProducerIDMapping.Code
	case int16(t.Epoch) != asked.ProducerEpoch:
		return kerr.ProducerFenced.Code
	}
	registered := make(map[metastore.TopicPartition]bool, len(t.Partitions))
	for _, tp := range t.Partitions {
		registered[tp] = true
	}
	for _, tp := range partitions {
		if t.State != metastore.TxnOngoing || !registered[tp] {
			return notInTransaction(version >= 5).Code
		}
	}
	return 0
}

// notInTransaction is what a producer is told that writes without having said so, which it can only abort.
func notInTransaction(knowsAbortable bool) *kerr.Error {
	if knowsAbortable {
		return kerr.TransactionAbortable
	}
	return kerr.InvalidTxnState
}
