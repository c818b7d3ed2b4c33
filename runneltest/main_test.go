package runneltest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/runneltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline bounds what a test waits for.
func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func client(t testing.TB, c *runneltest.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.Brokers()...), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// produce writes values from one number to the next to a topic, each acknowledged.
func produce(t testing.TB, cl *kgo.Client, topic string, from, to int) {
	t.Helper()
	ctx := deadline(t)
	for i := from; i < to; i++ {
		r := &kgo.Record{Topic: topic, Key: fmt.Append(nil, i%7), Value: fmt.Append(nil, i)}
		if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
}

// expect reads a topic from its beginning and wants the values from 0 to n, each once.
func expect(t testing.TB, c *runneltest.Cluster, topic string, n int, opts ...kgo.Opt) {
	t.Helper()
	cl := client(t, c, append(opts, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	defer cl.Close()
	ctx, seen, total := deadline(t), make(map[string]int), 0
	for total < n {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", total, n, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Value)]++; total++ })
	}
	for i := range n {
		if times := seen[fmt.Sprint(i)]; times != 1 {
			t.Errorf("record %d was read %d times", i, times)
		}
	}
	if total != n {
		t.Errorf("%d records, want %d", total, n)
	}
}

// fake is a test that is looked at by a test: whether it failed, what it logged, and when it ends.
type fake struct {
	testing.TB
	ctx      context.Context
	end      context.CancelFunc
	mu       sync.Mutex
	failed   bool
	log      bytes.Buffer
	cleanups []func()
}

func newFake(t testing.TB) *fake {
	f := &fake{TB: t}
	f.ctx, f.end = context.WithCancel(context.Background())
	return f
}

func (f *fake) Helper()                  {}
func (f *fake) Context() context.Context { return f.ctx }
func (f *fake) Cleanup(do func())        { f.cleanups = append(f.cleanups, do) }
func (f *fake) Output() io.Writer        { return f }

func (f *fake) TempDir() string {
	dir, err := os.MkdirTemp("", "runneltest")
	if err != nil {
		f.Fatalf("%v", err)
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (f *fake) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(p)
}

func (f *fake) Logf(format string, args ...any) { fmt.Fprintf(f, format+"\n", args...) }

func (f *fake) Errorf(format string, args ...any) {
	f.Logf(format, args...)
	f.fail()
}

// Fatalf ends the fake test by a panic that run expects.
func (f *fake) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	panic(f)
}

func (f *fake) fail() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = true
}

func (f *fake) Failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// run plays the fake test to its end, with its clean-up, and returns what it logged.
func (f *fake) run(test func()) string {
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(f) {
				panic(p)
			}
		}()
		test()
	}()
	f.end()
	for len(f.cleanups) > 0 {
		last := f.cleanups[len(f.cleanups)-1]
		f.cleanups = f.cleanups[:len(f.cleanups)-1]
		last()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.String()
}
