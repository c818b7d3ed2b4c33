package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

func TestQuantilesAreExactUpToTheLimit(t *testing.T) {
	l := NewLatencies(1000)
	for _, i := range rand.Perm(1000) {
		l.Add(time.Duration(i+1) * time.Millisecond)
	}
	want := Quantiles{Count: 1000, P50: 500 * time.Millisecond, P99: 990 * time.Millisecond, P999: 999 * time.Millisecond,
		Max: time.Second, Exact: true}
	if q := l.Quantiles(); q != want {
		t.Errorf("got %+v, want %+v", q, want)
	}
}

func TestQuantilesBeyondTheLimitAreOfAUniformSample(t *testing.T) {
	l := NewLatencies(10_000)
	for i := range 200_000 { // rising, so that a sample of the first or the last alone would be far off
		l.Add(time.Duration(i) * time.Microsecond)
	}
	q := l.Quantiles()
	if q.Exact || q.Count != 200_000 || q.Max != 199_999*time.Microsecond {
		t.Errorf("got %+v", q)
	}
	if q.P50 < 95*time.Millisecond || q.P50 > 105*time.Millisecond || q.P99 < 196*time.Millisecond {
		t.Errorf("p50 %v, p99 %v of a ramp to 200 ms", q.P50, q.P99)
	}
}

func TestQuantilesOfFewSamples(t *testing.T) {
	l := NewLatencies(10)
	if q := l.Quantiles(); q != (Quantiles{Exact: true}) {
		t.Errorf("of none: %+v", q)
	}
	l.Add(-time.Second)
	l.Add(3 * time.Millisecond)
	if q := l.Quantiles(); q.P50 != 0 || q.P99 != 3*time.Millisecond || q.P999 != 3*time.Millisecond {
		t.Errorf("of two: %+v", q)
	}
}

func TestPaceCountsFromWhenEventsWereDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		second := NewPace(start, 100, 1, 2) // two senders, together 100 a second
		for i, want := range []time.Duration{10 * time.Millisecond, 30 * time.Millisecond} {
			due, err := second.Wait(t.Context(), int64(i))
			if err != nil || due.Sub(start) != want || time.Since(start) != want {
				t.Errorf("event %d due at %v, now %v (%v); want %v", i, due.Sub(start), time.Since(start), err, want)
			}
		}
		time.Sleep(time.Second) // a stall
		if due, _ := second.Wait(t.Context(), 2); due.Sub(start) != 50*time.Millisecond {
			t.Errorf("after a stall, due at %v", due.Sub(start))
		}
		if due, _ := NewPace(start, 0, 0, 1).Wait(t.Context(), 5); !due.Equal(time.Now()) {
			t.Error("without a rate an event was not due at once")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := second.Wait(ctx, 1<<20); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

const metricsText = `# TYPE runnel_objstore_requests_total counter
runnel_objstore_requests_total{op="put",outcome="ok"} 10
runnel_objstore_requests_total{op="put",outcome="error"} 2
runnel_objstore_requests_total{op="get",outcome="ok"} 7
runnel_objstore_requests_total{op="get_suffix",outcome="ok"} 1
runnel_objstore_requests_total{op="list",outcome="ok"} 99
# TYPE runnel_objstore_bytes_total counter
runnel_objstore_bytes_total{op="put"} 4.0e+06
runnel_objstore_bytes_total{op="get"} 123
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 3.5
# TYPE runnel_batching_commit_seconds histogram
runnel_batching_commit_seconds_bucket{le="+Inf"} 8
runnel_batching_commit_seconds_sum 1
runnel_batching_commit_seconds_count 8
`

func TestScrapeAddsUpBrokers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(metricsText)) }))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	got, err := Scrape(t.Context(), []string{address, address})
	want := Counters{CPUSeconds: 7, Puts: 24, Gets: 16, ObjectsPut: 20, BytesPut: 8e6, Commits: 16}
	if err != nil || got != want {
		t.Errorf("got %+v (%v), want %+v", got, err, want)
	}
}

func TestScrapeSaysWhatIsWrong(t *testing.T) {
	for name, text := range map[string]string{
		"another program": "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1\n",
		"no metrics":      "<html>",
	} {
		var c Counters
		if err := c.add(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if _, err := Scrape(t.Context(), []string{strings.TrimPrefix(server.URL, "http://")}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("not found: %v", err)
	}
}

func TestResultIsPerGiB(t *testing.T) {
	start := time.Now()
	first := Reading{at: start, records: 5, bytes: 1000, cost: Counters{CPUSeconds: 1, Puts: 1}}
	last := Reading{at: start.Add(2 * time.Second), records: 5 + 1<<20, bytes: 1000 + 1<<29, commits: 0,
		cost: Counters{CPUSeconds: 2, Puts: 65, Gets: 8, ObjectsPut: 64, BytesPut: 1 << 29, Commits: 20}}
	r := NewResult("produce", nil, first, last, Quantiles{P50: 1500 * time.Microsecond})
	r.AddCost(first, last)
	if *r.ThroughputMBPerS != float64(1<<29)/2e6 || r.RecordsPerS != 1<<19 || r.P50 != 1.5 {
		t.Errorf("%+v", r)
	}
	if *r.CPUSecondsPerGiB != 2 || *r.PutsPerGiB != 128 || *r.GetsPerGiB != 16 || *r.AvgObjectBytes != 1<<23 || *r.CommitsPerS != 10 {
		t.Errorf("cost of half a GiB: cpu %v puts %v gets %v object %v commits %v",
			*r.CPUSecondsPerGiB, *r.PutsPerGiB, *r.GetsPerGiB, *r.AvgObjectBytes, *r.CommitsPerS)
	}
}

// TestResultHasEveryKey: scripts rely on them, with null for what could not be measured.
func TestResultHasEveryKey(t *testing.T) {
	text, err := json.Marshal(NewResult("produce", nil, Reading{}, Reading{}, Quantiles{}))
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"throughput_mb_per_s", "records_per_s", "p50_ms", "p99_ms", "p999_ms", "commits_per_s",
		"cpu_seconds_per_gib", "puts_per_gib", "gets_per_gib", "avg_object_bytes"} {
		if _, ok := keys[key]; !ok {
			t.Errorf("no key %q in %s", key, text)
		}
	}
}

func TestPayloadDiffersAndHasItsSize(t *testing.T) {
	p, q := NewPayload(100, 1), NewPayload(100, 2)
	seen := map[string]bool{}
	for range 1000 {
		for _, v := range [][]byte{p.Next(), q.Next()} {
			if len(v) != 100 || bytes.ContainsFunc(v, func(r rune) bool { return r < 'A' || r > 'Z' }) {
				t.Fatalf("value %q", v)
			}
			seen[string(v)] = true
		}
	}
	if len(seen) < 1990 {
		t.Errorf("%d different values of 2,000", len(seen))
	}
	if n := len(NewPayload(5<<20, 1).Next()); n != 5<<20 {
		t.Errorf("a large value has %d bytes", n)
	}
}

func TestFabricatedCommitsAreAccepted(t *testing.T) {
	store := memory.New(memory.Options{})
	r := metastore.NewReplica(store, metastore.ReplicaOptions{})
	if err := r.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic, err := r.CreateTopic(t.Context(), metastore.NewTopic{Name: "t", Partitions: 6})
	if err != nil {
		t.Fatal(err)
	}
	f := newFabricator(topic.ID, 6, 16, []metastore.ProducerID{1, 2, 3, 4, 5, 6, 7, 8})
	for i := range f.sequences {
		f.sequences[i] = 1<<31 - 1 - 40 // wraps soon
	}
	wrote := map[[2]int]bool{}
	for range 50 {
		c := f.next()
		batches := 0
		for _, run := range c.Runs {
			batches += len(run.Batches)
			for _, b := range run.Batches {
				wrote[[2]int{int(run.Partition), int(b.ProducerID)}] = true
			}
		}
		if len(c.Runs) != 6 || batches != 16 {
			t.Fatalf("%d runs, %d batches", len(c.Runs), batches)
		}
		results, err := r.Commit(t.Context(), []metastore.SegmentCommit{c})
		if err == nil {
			err = allAccepted(results)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(wrote) != 6*8 {
		t.Errorf("%d pairs of partition and producer of 48", len(wrote))
	}
}

func TestRefusedCommitsEndTheBenchmark(t *testing.T) {
	err := allAccepted([]metastore.SegmentResult{{Runs: [][]metastore.BatchResult{{{}, {Verdict: metastore.OutOfOrderSequence}}}}})
	if err == nil {
		t.Error("an out-of-order batch counts as committed")
	}
}

func TestCommitsMeasuresTheWindowAndCleansUp(t *testing.T) {
	store := memory.New(memory.Options{})
	load := Commits{Committers: 3, Runs: 5, Batches: 9, Producers: 2, Warmup: 20 * time.Millisecond, Duration: time.Second}
	if err := load.Validate(); err != nil {
		t.Fatal(err)
	}
	var meter Meter
	latency := NewLatencies(DefaultSamples)
	first, last, least, err := load.Run(t.Context(), []metastore.Store{store}, "bench", &meter, latency)
	if err != nil {
		t.Fatal(err)
	}
	res := NewResult("commit", nil, first, last, latency.Quantiles())
	if least > res.Samples/3 { // it may have none: so short a time is anybody's
		t.Errorf("%d commits of the slowest of three, %d of all", least, res.Samples)
	}
	if res.CommitsPerS == nil || res.Samples == 0 || res.ThroughputMBPerS != nil || res.Seconds < 0.05 {
		t.Errorf("%+v", res)
	}
	r := metastore.NewReplica(store, metastore.ReplicaOptions{})
	if err := r.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Topic("bench"); ok {
		t.Error("the topic is still there")
	}
}

func TestCommitsTellsWhyItFailed(t *testing.T) {
	store := memory.New(memory.Options{})
	load := Commits{Committers: 1, Runs: 1, Batches: 1, Producers: 1, Duration: time.Minute}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := load.Run(t.Context(), []metastore.Store{store}, "bench", &Meter{}, NewLatencies(1)); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("closed metastore: %v", err)
	}
	for _, bad := range []Commits{{}, {Committers: 1, Runs: 5, Batches: 4, Producers: 1, Duration: 1}, {Committers: 1, Runs: 1, Batches: 1 << 30, Producers: 1, Duration: 1}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is valid", bad)
		}
	}
}
