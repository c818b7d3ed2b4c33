package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/broker/node"
	"github.com/runnel-io/runnel/integration/harness"
)

// TestPoliciesAllowWhatIsNeededAndNoMore: behind somebody who enforces the policies that `runnel generate iam-policy` writes, a broker
// takes and serves records, rewrites, copies the metastore and deletes; fsck checks; and a lost database is made anew. Nothing is
// refused, and there is nothing in a policy that was not needed.
func TestPoliciesAllowWhatIsNeededAndNoMore(t *testing.T) {
	t.Parallel()
	guard, stores := guarded(t, harness.NewStores(t))
	guard.allow(t, "broker")
	address, stop := hastyBroker(t, stores)
	seeds := kgo.SeedBrokers(address)
	client := admin(t, seeds)
	const topic, partitions = "kept", int32(3)
	for name, retention := range map[string]string{topic: "-1", "short": "1000"} {
		if _, err := client.CreateTopic(harness.Soon(t), partitions, 1, map[string]*string{"retention.ms": kadm.StringPtr(retention)}, name); err != nil {
			t.Fatal(err)
		}
	}
	producer := transactional(t, seeds)
	want, made := 0, 0
	produce := func(n int) {
		want += len(transactions(t, producer, topic, partitions, made, made+n))
		made += n
	}
	produce(3)
	plain, err := harness.Client(t, seeds)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	// Marks are written every ten seconds, and old ones deleted then.
	eventually(t, "everything is done for which a broker may do something", 3*time.Minute, func() bool {
		produce(1)
		if err := plain.ProduceSync(harness.Soon(t), &kgo.Record{Topic: "short", Value: []byte("soon gone")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if made%10 == 0 {
			readCommitted(t, seeds, topic, want)
		}
		_, unused := guard.needed(t)
		return len(unused) == 0
	})
	// What a copy of the metastore names, and retention deletes after it, rebuild has to call missing: nothing is left that it could.
	eventually(t, "all that is old has left", time.Minute, func() bool {
		starts, err := client.ListStartOffsets(harness.Soon(t), "short")
		ends, errEnds := client.ListEndOffsets(harness.Soon(t), "short")
		if err := errors.Join(err, errEnds, starts.Error(), ends.Error()); err != nil {
			t.Fatal(err)
		}
		left := int64(0)
		ends.Each(func(end kadm.ListedOffset) {
			start, _ := starts.Lookup("short", end.Partition)
			left += end.Offset - start.Offset
		})
		return left == 0 && len(ends["short"]) == int(partitions)
	})
	used, _ := guard.needed(t)
	t.Logf("a broker: %s", strings.Join(used, ", "))
	producer.Close()
	stop()

	address, stop = hastyBroker(t, stores, func(l *node.LifecycleOptions) { l.CompactionEvery, l.IndexEvery = time.Hour, time.Hour })
	producer = transactional(t, kgo.SeedBrokers(address))
	produce(3) // which stays in tier 0
	producer.Close()
	stop()
	guard.allow(t, "fsck")
	if r, code := fsck(t, stores, "--deep"); code != 0 || r.Errors != 0 {
		t.Errorf("fsck ends with %d: %+v", code, r.Findings)
	}
	used, unused := guard.needed(t)
	t.Logf("fsck: %s", strings.Join(used, ", "))
	if len(unused) > 0 {
		t.Errorf("fsck does not need %q", unused)
	}

	// What is in tier 1 after the last copy of the metastore is found by what the objects say of themselves.
	guard.allow(t, "broker")
	before := guard.real.Objects(t)
	address, stop = hastyBroker(t, stores, func(l *node.LifecycleOptions) { l.IndexEvery = time.Hour })
	eventually(t, "an index is written", time.Minute, func() bool {
		return slices.ContainsFunc(slices.Collect(maps.Keys(guard.real.Objects(t))), func(key string) bool {
			_, old := before[key]
			return !old && strings.HasPrefix(key, "index/")
		})
	})
	producer = transactional(t, kgo.SeedBrokers(address))
	produce(3)
	producer.Close()
	want += len(lastOnes(t, topic, partitions, kgo.SeedBrokers(address)))
	eventually(t, "all is in tier 1, and what it was made of is deleted", time.Minute, func() bool {
		return !slices.ContainsFunc(slices.Collect(maps.Keys(guard.real.Objects(t))), func(key string) bool { return strings.HasPrefix(key, "t0/") })
	})
	stop()
	guard.allow(t, "rebuild")
	stores = loseDatabase(t, stores)
	if r, code := rebuild(t, stores, "--settle", "0"); code != 0 || !r.Written || r.Beyond == 0 {
		t.Fatalf("rebuild ends with %d: %s", code, r.text)
	}
	used, unused = guard.needed(t)
	t.Logf("rebuild: %s", strings.Join(used, ", "))
	// Objects that overlap, as after a metastore that went back in time, are read in tier 0, and cut in tier 1.
	if want := []string{"s3:GetObject t0", "s3:PutObject t1"}; !slices.Equal(unused, want) {
		t.Errorf("rebuild does not need %q; of that only %q is for other times", unused, want)
	}
	guard.allow(t, "broker")
	address, _ = hastyBroker(t, stores)
	readCommitted(t, kgo.SeedBrokers(address), topic, want)
	guard.needed(t)
}

func transactional(t *testing.T, seeds kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := harness.Client(t, seeds, kgo.TransactionalID("app"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// readCommitted reads so many committed records of a topic.
func readCommitted(t *testing.T, seeds kgo.Opt, topic string, want int) {
	t.Helper()
	c, err := harness.Client(t, seeds, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for got := 0; got < want; {
		fetches := c.PollFetches(harness.Soon(t))
		if err := fetches.Err(); err != nil {
			t.Fatalf("%v after %d of %d", err, got, want)
		}
		got += fetches.NumRecords()
	}
}

// TestTheGatekeeperRefuses: what stands between the test above and nothing.
func TestTheGatekeeperRefuses(t *testing.T) {
	g := &gatekeeper{bucket: "my-bucket", prefix: "runnel/"}
	g.allow(t, "broker")
	const b = "http://s3/my-bucket"
	for _, tt := range []struct {
		method, url string
		allowed     bool
	}{
		{"GET", b + "/runnel/t0/00/x?x-id=GetObject", true},
		{"PUT", b + "/runnel/index/c/x", true},
		{"GET", b + "?list-type=2&prefix=runnel%2Ft0", true},
		{"GET", b + "?list-type=2&prefix=runnel%2F&max-keys=1", true},
		{"GET", b + "?list-type=2", true}, // the price; see docs/bucket.md
		{"GET", b + "?list-type=2&prefix=", false},
		{"GET", b + "?list-type=2&prefix=runnel", false},
		{"GET", b + "/runnel/index/c/x", false},
		{"GET", b + "/runnel/t0x/y", false},
		{"GET", b + "/other/t0/00/x", false},
		{"PUT", b + "/runnel/t2/x", false},
		{"DELETE", b + "/other", false},
		{"HEAD", b + "/runnel/t0/00/x", false},
		{"GET", b + "/runnel/t0/00/x?versionId=1", false},
		{"GET", b + "?versioning", false},
		{"POST", b + "/runnel/t0/x?uploads", false},
		{"PUT", "http://s3/my-bucket-2/runnel/t0/x", false},
	} {
		r, err := http.NewRequest(tt.method, tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		all, err := g.actions(r)
		allowed := err == nil && len(all) > 0 && !slices.ContainsFunc(all, func(a asked) bool { return !g.permits(a) })
		if allowed != tt.allowed {
			t.Errorf("%s %s: %v, %v", tt.method, tt.url, allowed, err)
		}
	}
	for body, want := range map[string]string{
		"<Delete><Object><Key>runnel/t0/a</Key></Object><Object><Key>runnel/t1/b</Key></Object></Delete>": "[{s3:DeleteObject runnel/t0/a <nil>} {s3:DeleteObject runnel/t1/b <nil>}] <nil>",
		"<Delete><Object><Key>a</Key><VersionId>1</VersionId></Object></Delete>":                          "[] a version is deleted: a",
	} {
		r, err := http.NewRequest("POST", b+"?delete", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		all, err := g.actions(r)
		if got := fmt.Sprint(all, err); got != want {
			t.Errorf("%s: %s", body, got)
		}
	}
}
