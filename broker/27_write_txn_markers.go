package broker

import (
	"context"
	"errors"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// WriteTxnMarkers (27), versions 1 and 2: how Kafka's brokers end transactions in partitions, and how administrators abort
// one that holds up a partition (KIP-664: kafka-transactions abort). Here markers come with the end of the transaction, so no
// partition is left behind; what an administrator aborts is the producer's whole transaction, as if it had timed out: the producer is
// fenced until it asks for the next epoch. If it has none that is open in the partition nothing is done, where Kafka writes a marker that ends nothing.
// Commits of single partitions are refused. The epoch of Kafka's coordinator and the transaction version (v2, KIP-1228) do
// not matter.

func (b *Broker) writeTxnMarkers(ctx context.Context, c *wire.Conn, req *kmsg.WriteTxnMarkersRequest) *kmsg.WriteTxnMarkersResponse {
	ctx, cancel := context.WithTimeout(ctx, txnWait)
	defer cancel()
	resp := respond[*kmsg.WriteTxnMarkersResponse](req)
	denied := !b.sees(c, acl.ClusterAction, acl.Cluster, acl.ClusterName) && !b.mayOnCluster(c, acl.Alter)
	fresh := !denied && b.refreshed(ctx)
	open := b.openTransactions(req.Markers)
	for _, m := range req.Markers {
		answer := kmsg.NewWriteTxnMarkersResponseMarker()
		answer.ProducerID = m.ProducerID
		for _, asked := range m.Topics {
			topic := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
			topic.Topic = asked.Topic
			for _, p := range asked.Partitions {
				row := kmsg.NewWriteTxnMarkersResponseMarkerTopicPartition()
				row.Partition = p
				row.ErrorCode = kerr.CoordinatorNotAvailable.Code
				switch {
				case denied:
					row.ErrorCode = code(errClusterDenied)
				case fresh:
					row.ErrorCode = txnCode(b.abortIn(ctx, c, m, asked.Topic, p, open), kerr.InvalidProducerEpoch)
				}
				topic.Partitions = append(topic.Partitions, row)
			}
			answer.Topics = append(answer.Topics, topic)
		}
		resp.Markers = append(resp.Markers, answer)
	}
	return resp
}

// openTransactions are those of the producers that are named.
func (b *Broker) openTransactions(markers []kmsg.WriteTxnMarkersRequestMarker) map[metastore.ProducerID]metastore.Transaction {
	named := make(map[metastore.ProducerID]bool, len(markers))
	for _, m := range markers {
		named[metastore.ProducerID(m.ProducerID)] = true
	}
	var ids []string
	b.States.Transactions(func(t *metastore.Transaction) bool {
		if t.State == metastore.TxnOngoing && named[t.Producer] {
			ids = append(ids, t.ID)
		}
		return true
	})
	open := make(map[metastore.ProducerID]metastore.Transaction, len(ids))
	for _, id := range ids {
		if t, ok := b.States.Transaction(id); ok && t.State == metastore.TxnOngoing {
			open[t.Producer] = t
		}
	}
	return open
}

var errMarkerCommits = refuse(kerr.InvalidRequest, "single partitions of a transaction cannot be committed")

// abortIn aborts the producer's transaction if it is open in the partition.
func (b *Broker) abortIn(ctx context.Context, c *wire.Conn, m kmsg.WriteTxnMarkersRequestMarker, name string, partition int32, open map[metastore.ProducerID]metastore.Transaction) error {
	topic, ok := b.Topics.Topic(name)
	if !ok || partition < 0 || partition >= topic.Partitions {
		return errNoSuchName
	}
	if m.Committed {
		return errMarkerCommits
	}
	t := open[metastore.ProducerID(m.ProducerID)]
	hangs := false
	for _, tp := range t.Partitions {
		hangs = hangs || tp == metastore.TopicPartition{Topic: topic.ID, Partition: partition}
	}
	switch {
	case !hangs:
		return nil
	case metastore.ProducerEpoch(m.ProducerEpoch) < t.Epoch:
		return metastore.ErrTxnFenced
	}
	b.Logger.Info("an administrator aborts a transaction", "transactional_id", t.ID, "producer_id", m.ProducerID, "topic", name, "partition", partition)
	results, err := b.Transactions.Transact(ctx, []metastore.TxnRequest{metastore.AbortTxn{ID: t.ID, Number: t.Number}})
	switch {
	case err != nil:
		b.mayHaveChanged(c, "WriteTxnMarkers", acl.TransactionalID.String()+":"+t.ID, err)
		return err
	case errors.Is(results[0].Err, metastore.ErrTxnMoved):
		return nil // it has ended, for one by an abort in another of the partitions
	case results[0].Err == nil:
		b.changed(c, "WriteTxnMarkers", acl.TransactionalID.String()+":"+t.ID,
			map[string]string{"state": stateNames[t.State], "producer.id": strconv.FormatInt(m.ProducerID, 10)},
			map[string]string{"state": stateNames[metastore.TxnCompleteAbort]})
	}
	return results[0].Err
}
