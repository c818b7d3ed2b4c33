package ecosystem

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/mover"
)

// TestSaramaTransactions: sarama speaks the older protocol, in Go.
func TestSaramaTransactions(t *testing.T) {
	onTargets(t, func(t *testing.T, bootstrap string) {
		t.Run("commits and aborts over partitions", func(t *testing.T) { saramaCommitsAndAborts(t, bootstrap) })
		t.Run("a zombie is fenced", func(t *testing.T) { saramaIsFenced(t, bootstrap) })
		t.Run("consumes, transforms and produces in a group", func(t *testing.T) { saramaMoves(t, bootstrap) })
	})
}

func saramaConfig(id string) *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Net.MaxOpenRequests = 1
	config.Producer.Idempotent = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Transaction.ID = id
	config.Producer.Transaction.Timeout = 10 * time.Second
	config.Consumer.IsolationLevel = sarama.ReadCommitted
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	return config
}

func saramaProducer(t *testing.T, bootstrap, id string) sarama.SyncProducer {
	t.Helper()
	p, err := sarama.NewSyncProducer([]string{bootstrap}, saramaConfig(id))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func saramaSend(p sarama.SyncProducer, topic string, partition int32, value string) error {
	_, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: topic, Partition: partition, Value: sarama.StringEncoder(value)})
	return err
}

func saramaCommitsAndAborts(t *testing.T, bootstrap string) {
	const partitions, transactions = 4, 9
	createTopic(t, bootstrap, "sarama-commit", partitions)
	p := saramaProducer(t, bootstrap, "sarama-commit")
	kept := 0
	for i := range transactions {
		if err := p.BeginTxn(); err != nil {
			t.Fatal(err)
		}
		abort := i%3 == 1
		for range partitions {
			r := mover.Record("sarama-commit", kept, partitions)
			if abort {
				r.Value = []byte("aborted")
				r.Partition = int32(i % partitions)
			} else {
				kept++
			}
			if err := saramaSend(p, r.Topic, r.Partition, string(r.Value)); err != nil {
				t.Fatal(err)
			}
		}
		end := p.CommitTxn
		if abort {
			end = p.AbortTxn
		}
		if err := end(); err != nil {
			t.Fatalf("end of transaction %d: %v", i, err)
		}
	}
	out := follow(t, bootstrap, "sarama-commit")
	out.await(t, "sarama-commit", kept, 30*time.Second)
	if err := mover.Check(out.of("sarama-commit"), kept, partitions); err != nil {
		t.Error(err)
	}
	_, admin := client(t, bootstrap)
	ends, err := admin.ListEndOffsets(harness.Soon(t), "sarama-commit")
	if err != nil {
		t.Fatal(err)
	}
	stored := int64(0)
	ends.Each(func(o kadm.ListedOffset) { stored += o.Offset })
	// Each transaction has as many records as there are partitions, and a marker in each partition that it touched: all
	// of them, or one if it is aborted.
	if want := int64(transactions*partitions + 6*partitions + 3); stored != want {
		t.Errorf("%d offsets are taken, want %d", stored, want)
	}
}

func saramaIsFenced(t *testing.T, bootstrap string) {
	createTopic(t, bootstrap, "sarama-fenced", 1)
	zombie := saramaProducer(t, bootstrap, "sarama-fenced")
	err := errors.Join(zombie.BeginTxn(), saramaSend(zombie, "sarama-fenced", 0, "of the zombie"))
	if err != nil {
		t.Fatal(err)
	}
	next := saramaProducer(t, bootstrap, "sarama-fenced")
	err = zombie.CommitTxn()
	if !errors.Is(err, sarama.ErrProducerFenced) && !errors.Is(err, sarama.ErrInvalidProducerEpoch) {
		t.Errorf("the zombie's commit: %v", err)
	}
	if err := errors.Join(next.BeginTxn(), saramaSend(next, "sarama-fenced", 0, "of the next"), next.CommitTxn()); err != nil {
		t.Fatal(err)
	}
	out := follow(t, bootstrap, "sarama-fenced")
	out.await(t, "sarama-fenced", 1, 30*time.Second)
	if got := string(out.of("sarama-fenced")[0].Value); got != "of the next" {
		t.Errorf("%q is committed", got)
	}
}

// saramaMover is the handler of a consumer group that moves each record in a transaction of its own.
type saramaMover struct {
	producer sarama.SyncProducer
	failed   error // valid once the session ended
}

func (*saramaMover) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*saramaMover) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *saramaMover) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case <-session.Context().Done():
			return nil
		case message, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			member := &sarama.ConsumerGroupMetadata{GroupID: "sarama-movers", GenerationID: session.GenerationID(), MemberID: session.MemberID()}
			err := errors.Join(m.producer.BeginTxn(), saramaSend(m.producer, "sarama-to", message.Partition, string(message.Value)),
				m.producer.AddMessageToTxnWithGroupMetadata(message, member, nil), m.producer.CommitTxn())
			if err != nil {
				m.failed = err
				return err
			}
		}
	}
}

func saramaMoves(t *testing.T, bootstrap string) {
	const records = 60
	createTopic(t, bootstrap, "sarama-from", 1)
	createTopic(t, bootstrap, "sarama-to", 1)
	c, admin := client(t, bootstrap)
	for n := range records {
		if err := c.ProduceSync(harness.Soon(t), mover.Record("sarama-from", n, 1)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	out := follow(t, bootstrap, "sarama-to")
	for _, until := range []int{records / 2, records} { // a second member goes on where the first was
		saramaMove(t, bootstrap, func() bool { return out.count("sarama-to") >= until })
	}
	if err := mover.Check(out.of("sarama-to"), records, 1); err != nil {
		t.Error(err)
	}
	eventually(t, "the group's offset is at the end", 30*time.Second, func() bool {
		offsets, err := admin.FetchOffsets(harness.Soon(t), "sarama-movers")
		at, ok := offsets.Lookup("sarama-from", 0)
		return err == nil && ok && at.At == records
	})
}

// saramaMove moves records as a member of the group until it is enough.
func saramaMove(t *testing.T, bootstrap string, enough func() bool) {
	t.Helper()
	group, err := sarama.NewConsumerGroup([]string{bootstrap}, "sarama-movers", saramaConfig(""))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	handler := &saramaMover{producer: saramaProducer(t, bootstrap, "sarama-move")}
	go func() { ended <- group.Consume(ctx, []string{"sarama-from"}, handler) }()
	for deadline := time.Now().Add(time.Minute); !enough(); {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ended:
			stop()
			t.Fatalf("the group's session ended by itself: %v", handler.failed)
		}
		if time.Now().After(deadline) {
			stop()
			t.Fatal("not moved within a minute")
		}
	}
	stop()
	if err := errors.Join(<-ended, group.Close()); err != nil {
		t.Errorf("leave the group: %v", err)
	}
	if err := handler.failed; err != nil {
		t.Errorf("move records: %v", err)
	}
}
