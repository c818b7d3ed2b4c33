package broker

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// TxnOffsetCommit (28), versions 0 to 5: positions of a group that count when the transaction is committed. It goes to the
// coordinator of the group, which validates the member (v3, KIP-447); whether the producer may is decided with the
// transaction. v2 has leader epochs (KIP-320); v4 (KIP-890) TRANSACTION_ABORTABLE; v5 is transaction version 2: the group
// is added to the transaction, and the transaction begun, if need be. A producer with an old epoch is told
// INVALID_PRODUCER_EPOCH at all versions, as in Kafka, whose partitions of offsets say so.

func (b *Broker) txnOffsetCommit(ctx context.Context, c *wire.Conn, req *kmsg.TxnOffsetCommitRequest) *kmsg.TxnOffsetCommitResponse {
	ctx, cancel := context.WithTimeout(ctx, txnWait)
	defer cancel()
	resp := respond[*kmsg.TxnOffsetCommitResponse](req)
	commit := group.CommitRequest{GroupID: req.Group, Generation: group.NoGeneration}
	if req.Version >= 3 {
		commit.MemberID, commit.InstanceID, commit.Generation = req.MemberID, deref(req.InstanceID), group.Generation(req.Generation)
	}
	type place struct{ topic, partition int }
	var places []place // places[i] is the answer to commit.Offsets[i]
	denied := b.mayCommitIn(c, req)
	reads := b.permits(c, acl.Read, acl.Topic)
	for _, asked := range req.Topics {
		topic := kmsg.NewTxnOffsetCommitResponseTopic()
		topic.Topic = asked.Topic
		t, err := b.topicOf(false, asked.Topic, asked.TopicID)
		for _, p := range asked.Partitions {
			answer := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			answer.Partition = p.Partition
			switch {
			case denied != nil:
				answer.ErrorCode = code(denied)
			case !reads.allow(asked.Topic):
				answer.ErrorCode = code(errTopicDenied)
			case err != nil || p.Partition < 0 || p.Partition >= t.Partitions:
				answer.ErrorCode = kerr.UnknownTopicOrPartition.Code
			default:
				places = append(places, place{len(resp.Topics), len(topic.Partitions)})
				commit.Offsets = append(commit.Offsets, group.CommitOffset{
					TopicPartition: metastore.TopicPartition{Topic: t.ID, Partition: p.Partition}, TopicName: t.Name,
					Offset: metastore.Offset(p.Offset), LeaderEpoch: p.LeaderEpoch, Metadata: deref(p.Metadata),
				})
			}
			topic.Partitions = append(topic.Partitions, answer)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	if len(places) == 0 {
		return resp
	}
	outcomes, err := b.commitInTransaction(ctx, req, commit)
	for i, at := range places {
		outcome := err
		if err == nil && outcomes != nil {
			outcome = outcomes[i]
		}
		resp.Topics[at.topic].Partitions[at.partition].ErrorCode = txnCommitCode(outcome, req.Version)
	}
	return resp
}

// mayCommitIn tells whether the client may commit offsets of the group in the transaction at all.
func (b *Broker) mayCommitIn(c *wire.Conn, req *kmsg.TxnOffsetCommitRequest) error {
	switch {
	case !b.may(c, acl.Write, acl.TransactionalID, req.TransactionalID):
		return errTxnDenied
	case !b.may(c, acl.Read, acl.Group, req.Group):
		return errGroupDenied
	}
	return nil
}

func (b *Broker) commitInTransaction(ctx context.Context, req *kmsg.TxnOffsetCommitRequest, commit group.CommitRequest) ([]error, error) {
	if req.TransactionalID == "" {
		return nil, errNoTxnID
	}
	return b.Groups.CommitInTransaction(ctx, commit, func(ctx context.Context, claim metastore.GroupEpoch, offsets []metastore.CommittedOffset) error {
		_, err := b.transact(ctx, req.TransactionalID, func(t metastore.Transaction) (metastore.TxnRequest, error) {
			return metastore.CommitTxnOffsets{
				ID: req.TransactionalID, Producer: metastore.ProducerID(req.ProducerID), Epoch: metastore.ProducerEpoch(req.ProducerEpoch),
				Group: req.Group, Claim: claim, Offsets: offsets, Implicit: req.Version >= 5, Number: t.Number, AsOf: t.AsOf,
			}, nil
		})
		return err
	})
}

func txnCommitCode(err error, version int16) int16 {
	switch {
	case errors.Is(err, metastore.ErrTxnState):
		return notInTransaction(version >= 4).Code
	case errors.Is(err, metastore.ErrTxnTooLarge):
		return kerr.InvalidCommitOffsetSize.Code
	}
	code := txnCode(err, kerr.InvalidProducerEpoch)
	if version < 2 && code == kerr.CoordinatorLoadInProgress.Code {
		return kerr.CoordinatorNotAvailable.Code // what producers before 2.0 retry
	}
	return code
}
