package broker

import (
	"cmp"
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// DescribeTransactions (65), version 0 (KIP-664): what transactional ids are doing. Any broker knows; one that hands over
// answers NOT_COORDINATOR, as for everything about them. The partitions of deleted topics are left out, and so are those of
// Kafka's own topic of offsets, which does not exist here. A transaction that has ended has no start.

func (b *Broker) describeTransactions(ctx context.Context, c *wire.Conn, req *kmsg.DescribeTransactionsRequest) *kmsg.DescribeTransactionsResponse {
	resp := respond[*kmsg.DescribeTransactionsResponse](req)
	fresh := b.refreshed(ctx)
	shown := b.sights(c, acl.Describe, acl.Topic)
	for _, id := range once(req.TransactionalIDs, func(id string) string { return id }) {
		state := kmsg.NewDescribeTransactionsResponseTransactionState()
		state.TransactionalID = id
		t, known := b.States.Transaction(id)
		switch {
		case !b.may(c, acl.Describe, acl.TransactionalID, id):
			state.ErrorCode = code(errTxnDenied)
		case id == "":
			state.ErrorCode = kerr.InvalidRequest.Code
		case b.Membership.Elsewhere():
			state.ErrorCode = kerr.NotCoordinator.Code
		case !fresh:
			state.ErrorCode = kerr.CoordinatorNotAvailable.Code
		case !known:
			state.ErrorCode = kerr.TransactionalIDNotFound.Code
		default:
			b.describeTransaction(&state, &t, shown)
		}
		resp.TransactionStates = append(resp.TransactionStates, state)
	}
	return resp
}

// started is when an ongoing transaction began, in milliseconds, else -1.
func started(t *metastore.Transaction) int64 {
	if t.StartedAt.IsZero() {
		return -1
	}
	return t.StartedAt.UnixMilli()
}

func (b *Broker) describeTransaction(state *kmsg.DescribeTransactionsResponseTransactionState, t *metastore.Transaction, shown *permits) {
	state.State = stateNames[t.State]
	state.TimeoutMillis = int32(t.Timeout.Milliseconds())
	state.ProducerID, state.ProducerEpoch = int64(t.Producer), int16(t.Epoch)
	state.StartTimestamp = started(t)
	partitions := make(map[string][]int32)
	for _, tp := range t.Partitions {
		if topic, ok := b.Topics.TopicByID(tp.Topic); ok && shown.allow(topic.Name) {
			partitions[topic.Name] = append(partitions[topic.Name], tp.Partition)
		}
	}
	for name, numbers := range partitions {
		slices.Sort(numbers)
		topic := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
		topic.Topic, topic.Partitions = name, numbers
		state.Topics = append(state.Topics, topic)
	}
	slices.SortFunc(state.Topics, func(x, y kmsg.DescribeTransactionsResponseTransactionStateTopic) int {
		return cmp.Compare(x.Topic, y.Topic)
	})
}
