package memory

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/metastoretest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(appendUntilKilledEnv); dir != "" {
		appendUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

func openMemory(t testing.TB) metastore.Store {
	s := New(Options{PollInterval: 10 * time.Millisecond})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// openDir opens a store that the test closes.
func openDir(t testing.TB, dir string, opts Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestContract(t *testing.T) { metastoretest.Run(t, openMemory) }

func TestContractWithJournal(t *testing.T) {
	for name, opts := range map[string]Options{
		"OneFile":         {PollInterval: 10 * time.Millisecond},
		"ManyCheckpoints": {PollInterval: 10 * time.Millisecond, CheckpointBytes: 200},
	} {
		t.Run(name, func(t *testing.T) {
			open := func(t testing.TB) metastore.Store { return openDir(t, t.TempDir(), opts) }
			metastoretest.Run(t, open)
			metastoretest.RunDurable(t, open, func(t testing.TB, s metastore.Store) metastore.Store {
				if err := s.Close(); err != nil {
					t.Fatalf("close: %v", err)
				}
				return openDir(t, s.(*Store).journal.dir, opts)
			})
		})
	}
}

func TestLeasesFollowTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, s := t.Context(), New(Options{})
		b, err := s.RegisterBroker(ctx, metastore.Broker{NodeID: 1, Host: "a", Port: 1}, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			after time.Duration
			renew bool
			live  int
		}{{9 * time.Second, true, 1}, {9 * time.Second, false, 1}, {time.Second, false, 0}, {time.Second, true, 1}} {
			time.Sleep(step.after)
			if step.renew {
				if err := s.RenewBroker(ctx, 1, b.Epoch, 10*time.Second); err != nil {
					t.Fatal(err)
				}
			}
			if live, err := s.LiveBrokers(ctx); err != nil || len(live) != step.live {
				t.Errorf("after %s: %d live (%v), want %d", step.after, len(live), err, step.live)
			}
		}
	})
}

func TestWaitEndsWithThePollInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := New(Options{PollInterval: 3 * time.Second}), time.Now()
		if err := s.Wait(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("wait took %s", took)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	b.Run("Memory", func(b *testing.B) { metastoretest.BenchmarkAppend(b, openMemory) })
	b.Run("Journal", func(b *testing.B) { metastoretest.BenchmarkAppend(b, openBench) })
}

func BenchmarkCommitOffsets(b *testing.B) {
	b.Run("Memory", func(b *testing.B) { metastoretest.BenchmarkCommitOffsets(b, openMemory) })
	b.Run("Journal", func(b *testing.B) { metastoretest.BenchmarkCommitOffsets(b, openBench) })
}

func openBench(t testing.TB) metastore.Store { return openDir(t, t.TempDir(), Options{}) }
