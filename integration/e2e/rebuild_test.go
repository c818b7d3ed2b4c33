package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/broker/node"
	"github.com/runnel-io/runnel/integration/harness"
)

// rebuiltReport is what the test looks at of `runnel rebuild --json`.
type rebuiltReport struct {
	Finished    bool   `json:"finished"`
	Written     bool   `json:"written"`
	Losses      bool   `json:"losses"`
	Index       string `json:"index"`
	LostCluster string `json:"lost_cluster"`
	Beyond      int64  `json:"offsets_beyond_index"`
	Missing     []any  `json:"missing"`
	Unrecorded  struct {
		Objects int `json:"objects"`
	} `json:"unrecorded"`

	text string // all of it
}

func rebuild(t *testing.T, stores harness.Stores, flags ...string) (r rebuiltReport, code int) {
	t.Helper()
	out, errOut, code := stores.Run(t, append([]string{"rebuild", "--json"}, flags...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil || !r.Finished {
		t.Fatalf("exit %d, %v:\n%s%s", code, err, out, errOut)
	}
	r.text = out
	return r, code
}

// loseDatabase drops the database, and returns stores with another one, which is empty.
func loseDatabase(t *testing.T, s harness.Stores) harness.Stores {
	t.Helper()
	lost, err := url.Parse(s.Metastore)
	if err != nil {
		t.Fatal(err)
	}
	server := *lost
	server.Path = "/postgres"
	conn, err := pgx.Connect(harness.Soon(t), server.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(harness.Soon(t))
	name := strings.TrimPrefix(lost.Path, "/")
	for _, sql := range []string{"DROP DATABASE " + name + " WITH (FORCE)", "CREATE DATABASE " + name + "_anew"} {
		if _, err := conn.Exec(harness.Soon(t), sql); err != nil {
			t.Fatal(err)
		}
	}
	lost.Path = "/" + name + "_anew"
	s.Metastore = lost.String()
	s.Migrate(t)
	return s
}

// transactions makes some of one record in each partition, every third of which is aborted, and returns the values of the others.
func transactions(t *testing.T, c *kgo.Client, topic string, partitions int32, from, to int) (committed []string) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		end := kgo.TransactionEndTry(i%3 != 0)
		for p := range partitions {
			value := fmt.Sprintf("%d in %d", i, p)
			if err := c.ProduceSync(harness.Soon(t), &kgo.Record{Topic: topic, Partition: p, Value: []byte(value)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if end == kgo.TryCommit {
				committed = append(committed, value)
			}
		}
		if err := c.EndTransaction(harness.Soon(t), end); err != nil {
			t.Fatal(err)
		}
	}
	return committed
}

// lastOnes puts a record behind the last transaction of each partition, and returns their values. What ends a transaction is rewritten
// with the records before it only if it is as old as they have to be, else with what comes: so nothing would ever tell of it but the log.
func lastOnes(t *testing.T, topic string, partitions int32, seeds kgo.Opt) (values []string) {
	t.Helper()
	c, err := harness.Client(t, seeds, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for p := range partitions {
		r := &kgo.Record{Topic: topic, Partition: p, Value: fmt.Append(nil, "last in ", p)}
		if err := c.ProduceSync(harness.Soon(t), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		values = append(values, string(r.Value))
	}
	return values
}

// TestALostDatabaseIsMadeAnew: brokers copy to the bucket what the metastore knows and rewrite what they have stored; the
// database is dropped; it is made anew, in another one, from the bucket alone; and everything is read and goes on.
func TestALostDatabaseIsMadeAnew(t *testing.T) {
	t.Parallel()
	stores := harness.NewStores(t)
	broker, stop := hastyBroker(t, stores)
	const topic, partitions, each = "kept", int32(3), 30
	seeds := kgo.SeedBrokers(broker)
	client := admin(t, seeds)
	if _, err := client.CreateTopic(harness.Soon(t), partitions, 1, map[string]*string{"retention.ms": kadm.StringPtr("-1")}, topic); err != nil {
		t.Fatal(err)
	}
	transactional := func(seeds kgo.Opt) *kgo.Client {
		c, err := harness.Client(t, seeds, kgo.TransactionalID("app"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	producer := transactional(seeds)
	want := transactions(t, producer, topic, partitions, 0, each)
	producer.Close()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 1, 17, -1)
	if err := client.CommitAllOffsets(harness.Soon(t), "group", offsets); err != nil {
		t.Fatal(err)
	}
	stop()

	// Another broker writes one index object when it starts, and no more.
	before := stores.Objects(t)
	broker, stop = hastyBroker(t, stores, func(l *node.LifecycleOptions) { l.IndexEvery = time.Hour })
	eventually(t, "an index is written", time.Minute, func() bool {
		for key := range stores.Objects(t) {
			if _, old := before[key]; !old && strings.HasPrefix(key, "index/") {
				return true
			}
		}
		return false
	})
	seeds = kgo.SeedBrokers(broker)
	producer = transactional(seeds)
	want = append(want, transactions(t, producer, topic, partitions, each, 2*each)...)
	producer.Close()
	want = append(want, lastOnes(t, topic, partitions, seeds)...)
	last := make(map[int32]int64)
	ends, err := admin(t, seeds).ListEndOffsets(harness.Soon(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) { last[o.Partition] = o.Offset - 1 })
	eventually(t, "all is in tier 1, and what it was made of is deleted", time.Minute, func() bool {
		for key := range stores.Objects(t) {
			if strings.HasPrefix(key, "t0/") {
				return false
			}
		}
		return true
	})
	stop()

	stores = loseDatabase(t, stores)
	if _, errOut, code := stores.Run(t, "rebuild"); code != 2 || !strings.Contains(errOut, "was written to the bucket") {
		t.Errorf("at once: exit %d: %s", code, errOut)
	}
	dry, code := rebuild(t, stores, "--settle", "0", "--dry-run")
	if code != 0 || dry.Written || dry.Losses {
		t.Errorf("dry run: exit %d, %s", code, dry.text)
	}
	r, code := rebuild(t, stores, "--settle", "0")
	if code != 0 || !r.Written || r.Losses || len(r.Missing) > 0 || r.Unrecorded.Objects > 0 || r.Beyond == 0 || r.Index != dry.Index {
		t.Fatalf("exit %d, %s", code, r.text)
	}
	if _, errOut, code := stores.Run(t, "rebuild", "--settle", "0"); code != 2 || !strings.Contains(errOut, "the metastore is not empty") {
		t.Errorf("again: exit %d: %s", code, errOut)
	}

	broker, _ = hastyBroker(t, stores)
	seeds = kgo.SeedBrokers(broker)
	consumer, err := harness.Client(t, seeds, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	left := make(map[string]bool, len(want))
	for _, value := range want {
		left[value] = true
	}
	for len(left) > 0 {
		fetches := consumer.PollFetches(harness.Soon(t))
		if err := fetches.Err(); err != nil {
			t.Fatalf("%v; %d records are missing", err, len(left))
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			if !left[string(rec.Value)] {
				t.Errorf("partition %d, offset %d: %q was not committed, or comes twice", rec.Partition, rec.Offset, rec.Value)
			}
			delete(left, string(rec.Value))
		})
	}
	client = admin(t, seeds)
	fetched, err := client.FetchOffsets(harness.Soon(t), "group")
	if at, ok := fetched.Lookup(topic, 1); err != nil || !ok || at.At != 17 {
		t.Errorf("the group is at %+v, %v", at, err)
	}
	now, err := client.ListEndOffsets(harness.Soon(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	now.Each(func(o kadm.ListedOffset) {
		if o.Offset <= last[o.Partition] {
			t.Errorf("partition %d ends at %d, and had offset %d", o.Partition, o.Offset, last[o.Partition])
		}
	})
	producer = transactional(seeds)
	defer producer.Close()
	if more := transactions(t, producer, topic, partitions, 2*each, 2*each+2); len(more) == 0 {
		t.Error("nothing was committed")
	}
	if f, code := fsck(t, stores, "--deep"); code != 0 || f.Errors != 0 {
		t.Errorf("fsck ends with %d: %+v", code, f.Findings)
	}
}
