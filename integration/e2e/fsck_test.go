package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// fsckReport is what the tests look at of `runnel fsck --json`.
type fsckReport struct {
	Finished bool             `json:"finished"`
	Entry    int64            `json:"entry"`
	Errors   int              `json:"errors"`
	Counts   map[string]int   `json:"counts"`
	Checked  map[string]int64 `json:"checked"`
	Findings []struct {
		Kind    string `json:"kind"`
		Key     string `json:"key"`
		Detail  string `json:"detail"`
		Affects []struct {
			Topic string `json:"topic"`
		} `json:"affects"`
	} `json:"findings"`
}

func fsck(t *testing.T, stores harness.Stores, flags ...string) (fsckReport, int) {
	t.Helper()
	out, errOut, code := stores.Run(t, append([]string{"fsck", "--json"}, flags...)...)
	var r fsckReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || !r.Finished {
		t.Fatalf("exit %d, %v:\n%s%s", code, err, out, errOut)
	}
	return r, code
}

// bucketHands changes objects as nobody should.
type bucketHands struct {
	t              *testing.T
	client         *s3.Client
	bucket, prefix string
}

func (h bucketHands) get(key string) []byte {
	h.t.Helper()
	key = h.prefix + key
	out, err := h.client.GetObject(harness.Soon(h.t), &s3.GetObjectInput{Bucket: &h.bucket, Key: &key})
	if err != nil {
		h.t.Fatal(err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

func (h bucketHands) put(key string, b []byte) {
	h.t.Helper()
	key = h.prefix + key
	if _, err := h.client.PutObject(harness.Soon(h.t), &s3.PutObjectInput{Bucket: &h.bucket, Key: &key, Body: bytes.NewReader(b)}); err != nil {
		h.t.Fatal(err)
	}
}

func (h bucketHands) remove(key string) {
	h.t.Helper()
	key = h.prefix + key
	if _, err := h.client.DeleteObject(harness.Soon(h.t), &s3.DeleteObjectInput{Bucket: &h.bucket, Key: &key}); err != nil {
		h.t.Fatal(err)
	}
}

// TestFsckOfALiveClusterThenOfADamagedOne: while three brokers take idempotent and transactional records and one is killed,
// bucket and metastore agree whenever somebody looks. Then objects are deleted, cut short and damaged, and it says
// which; put back, they are right again.
func TestFsckOfALiveClusterThenOfADamagedOne(t *testing.T) {
	t.Parallel()
	stores := harness.NewStores(t)
	all := startClusterOn(t, stores, 3, nil)
	seeds := brokersOf(all)
	createTopic(t, "ledger", 6, seeds)
	createTopic(t, "txns", 3, seeds)
	plain := startLedger(t, "ledger", "p", 6, seeds)
	stop := transact(t, "txns", seeds)
	looks := 0
	look := func() {
		t.Helper()
		for _, flags := range [][]string{nil, {"--deep", "--concurrency", "4"}} {
			looks++
			if r, code := fsck(t, stores, flags...); code != 0 || r.Errors != 0 || len(r.Findings) != 0 {
				t.Fatalf("exit %d: %+v", code, r)
			}
		}
	}
	plain.await(t, 1_000)
	look()
	all[2].Kill()
	for range 3 {
		plain.await(t, 1_000)
		look()
	}
	stop()
	plain.finish(t)
	r, _ := fsck(t, stores, "--deep")
	if r.Checked["records"] < int64(plain.count()) || r.Checked["markers"] == 0 || r.Checked["segments_checked"] != r.Checked["segments"] {
		t.Errorf("%d records were acknowledged: %+v", plain.count(), r.Checked)
	}
	t.Logf("%d looks; at last %+v", looks, r.Checked)

	client, bucket, prefix := stores.Bucket()
	hands := bucketHands{t, client, bucket, prefix}
	// The oldest ones, so that runs name them: the broker that was killed may have left one that it never committed.
	named := slices.SortedFunc(maps.Keys(stores.Objects(t)), func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })[:3]
	saved := make(map[string][]byte)
	for _, key := range named {
		saved[key] = hands.get(key)
	}
	hands.remove(named[0])
	hands.put(named[1], saved[named[1]][:len(saved[named[1]])/2])
	flipped := bytes.Clone(saved[named[2]])
	flipped[101] ^= 4
	hands.put(named[2], flipped)
	r, code := fsck(t, stores, "--deep")
	want := map[string]string{"missing-object": named[0], "size-mismatch": named[1], "corrupt-object": named[2]}
	got := make(map[string]string)
	for _, f := range r.Findings {
		got[f.Kind] = f.Key
		if len(f.Affects) == 0 {
			t.Errorf("%+v says not what it affects", f)
		}
	}
	if code != 1 || r.Errors != 3 || !maps.Equal(got, want) {
		t.Errorf("exit %d, %d errors: %v, want %v", code, r.Errors, got, want)
	}
	if out, errOut, code := stores.Run(t, "segment", "verify", named[2]); code != 1 || !strings.Contains(errOut, named[2]) {
		t.Errorf("segment verify: exit %d: %s%s", code, out, errOut)
	}

	for key, b := range saved {
		hands.put(key, b)
	}
	if r, code := fsck(t, stores, "--deep"); code != 0 || r.Errors != 0 {
		t.Errorf("exit %d: %+v", code, r)
	}
}

// transact commits and aborts transactions until it is told to stop.
func transact(t *testing.T, topic string, seeds kgo.Opt) (stop func()) {
	t.Helper()
	client, err := harness.Client(t, seeds, kgo.TransactionalID("of-"+topic), kgo.DefaultProduceTopic(topic), kgo.TransactionTimeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			select {
			case <-end:
				return
			default:
			}
			if err := client.BeginTransaction(); err != nil {
				t.Errorf("begin: %v", err)
				return
			}
			commit := kgo.TransactionEndTry(n%3 != 0)
			begun := time.Now()
			failed := func(what string, err error) {
				t.Logf("%s: %v after %v", what, err, time.Since(begun))
				if errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: no answer", what)
				}
			}
			if err := client.ProduceSync(harness.Soon(t), kgo.StringRecord("a"), kgo.StringRecord("b")).FirstErr(); err != nil {
				failed("produce in a transaction", err)
				commit = kgo.TryAbort
			}
			if err := client.EndTransaction(harness.Soon(t), commit); err != nil {
				failed("end transaction", err)
				return // its broker was killed: what it left ends by its time-out
			}
		}
	}()
	return func() {
		close(end)
		select {
		case <-ended:
		case <-harness.Soon(t).Done():
			t.Errorf("a transaction does not end\n%s", harness.Goroutines())
		}
		client.Close()
	}
}
