package batching_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/metastore"
)

var errBroken = errors.New("connection reset by peer")

func TestUploadIsTriedAgain(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault func(n int, next func() error) error
	}{
		{"nothing arrives three times", func(n int, next func() error) error {
			if n <= 3 {
				return errBroken
			}
			return next()
		}},
		{"the object arrives, the answer does not", func(n int, next func() error) error {
			if err := next(); err != nil || n > 1 {
				return err
			}
			return errBroken
		}},
		{"an attempt hangs", func(n int, next func() error) error {
			if n == 1 {
				return fmt.Errorf("put: %w", context.DeadlineExceeded)
			}
			return next()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, batching.Options{})
				r.store.put = func(_ context.Context, n int, next func() error) error { return tc.fault(n, next) }
				r.wantOffsets(r.append(r.batch(0, 3, 100)), 0)
				trace := r.store.trace()
				if len(trace) < 2 || len(slices.Compact(trace)) != 1 {
					t.Fatalf("PUTs: %q, want repetitions of one", trace)
				}
				if n := len(r.log.calls()); n != 1 {
					t.Fatalf("%d commits", n)
				}
			})
		})
	}
}

func TestHungUploadIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{AttemptTimeout: 10 * time.Second})
		r.store.put = func(ctx context.Context, n int, next func() error) error {
			if n == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			return next()
		}
		begin := time.Now()
		r.wantOffsets(r.append(r.batch(0, 1, 100)), 0)
		if d := time.Since(begin); d > 11*time.Second {
			t.Fatalf("took %v", d)
		}
	})
}

func TestSegmentThatIsNeverUploadedIsRefusedAndLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{UploadTimeout: 10 * time.Second, SegmentBytes: 500})
		doomed := ""
		r.store.put = func(_ context.Context, n int, next func() error) error {
			key := r.store.trace()[n-1]
			if n == 1 {
				doomed = key
			}
			if key == doomed {
				return errBroken
			}
			return next()
		}
		lost := r.append(r.batch(0, 1, 600))
		synctest.Wait()
		after := r.append(r.batch(0, 1, 600))
		begin := time.Now()
		if _, err := lost.Wait(t.Context()); !errors.Is(err, batching.ErrStorage) {
			t.Fatalf("Wait: %v", err)
		}
		took(t, begin, 10*time.Second)
		r.wantOffsets(after, 0)
		if calls := r.log.calls(); len(calls) != 1 || len(calls[0]) != 1 {
			t.Fatalf("commits: %v", calls)
		}
	})
}

func TestCommitIsAskedAgainWithTheSameSegments(t *testing.T) {
	for _, tc := range []struct {
		name    string
		happens bool // before the answer is lost
	}{{"it happened", true}, {"it did not happen", false}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, batching.Options{})
				r.log.commit = func(_ context.Context, n int, next commitFunc) ([]metastore.SegmentResult, error) {
					if n == 1 {
						if tc.happens {
							if _, err := next(); err != nil {
								t.Error(err)
							}
						}
						return nil, errBroken
					}
					return next()
				}
				r.wantOffsets(r.append(r.batch(0, 3, 100)), 0)
				calls := r.log.calls()
				if len(calls) != 2 || !slices.Equal(calls[0], calls[1]) {
					t.Fatalf("commits: %v", calls)
				}
				if runs := r.runs(0); len(runs) != 1 {
					t.Fatalf("%d runs in the log", len(runs))
				}
				r.wantOffsets(r.append(r.batch(0, 1, 100)), 3)
			})
		})
	}
}

func TestCommitWithoutAnswerIsReportedAsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{UploadTimeout: time.Second, CommitTimeout: time.Minute})
		down := true
		r.log.commit = func(ctx context.Context, _ int, next commitFunc) ([]metastore.SegmentResult, error) {
			if down {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return next()
		}
		begin := time.Now()
		p := r.append(r.batch(0, 3, 100))
		if _, err := p.Wait(t.Context()); !errors.Is(err, batching.ErrUnknownOutcome) {
			t.Fatalf("Wait: %v", err)
		}
		if d := time.Since(begin); d < time.Minute || d > 100*time.Second {
			t.Fatalf("gave up after %v", d)
		}
		down = false
		r.wantOffsets(r.append(r.batch(0, 1, 100)), 0)
	})
}

func TestDrainReportsAnUnansweredCommitAsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{})
		r.log.commit = func(ctx context.Context, _ int, _ commitFunc) ([]metastore.SegmentResult, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		p := r.append(r.batch(0, 1, 100))
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Wait(t.Context()); !errors.Is(err, batching.ErrUnknownOutcome) {
			t.Fatalf("Wait: %v", err)
		}
	})
}

func TestRunEndsWhenTheLogWentBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{SegmentBytes: 500})
		r.log.commit = func(context.Context, int, commitFunc) ([]metastore.SegmentResult, error) {
			return nil, fmt.Errorf("append: %w", metastore.ErrRegressed)
		}
		r.store.put = func(ctx context.Context, n int, next func() error) error {
			if n == 2 {
				<-ctx.Done()
				return ctx.Err()
			}
			return next()
		}
		first := r.append(r.batch(0, 1, 600))
		synctest.Wait()
		if _, err := first.Wait(t.Context()); !errors.Is(err, batching.ErrUnknownOutcome) {
			t.Fatalf("Wait: %v", err)
		}
		synctest.Wait()
		if _, err := r.w.Append(nil, []batching.Batch{r.batch(0, 1, 100)}); !errors.Is(err, batching.ErrClosed) {
			t.Fatalf("Append: %v", err)
		}
		if err := r.stop(); !errors.Is(err, metastore.ErrRegressed) {
			t.Fatalf("Run: %v", err)
		}
		r.stop = func() error { return nil }
	})
}

func TestFatalCommitRefusesWhatIsBehindIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{SegmentBytes: 500, Uploads: 2})
		reached := make(chan struct{})
		r.log.commit = func(context.Context, int, commitFunc) ([]metastore.SegmentResult, error) {
			<-reached
			return nil, metastore.ErrRegressed
		}
		var rest []*batching.Pending
		first := r.append(r.batch(0, 1, 600))
		synctest.Wait()
		r.store.put = func(ctx context.Context, n int, next func() error) error {
			if n%2 == 0 {
				return next()
			}
			<-ctx.Done()
			return ctx.Err()
		}
		for range 5 {
			rest = append(rest, r.append(r.batch(0, 1, 600)))
		}
		synctest.Wait()
		close(reached)
		if err := r.stop(); !errors.Is(err, metastore.ErrRegressed) {
			t.Fatalf("Run: %v", err)
		}
		r.stop = func() error { return nil }
		if _, err := first.Wait(t.Context()); !errors.Is(err, batching.ErrUnknownOutcome) {
			t.Fatalf("Wait: %v", err)
		}
		for i, p := range rest {
			if _, err := p.Wait(t.Context()); !errors.Is(err, batching.ErrClosed) {
				t.Fatalf("Wait of %d behind: %v", i, err)
			}
		}
	})
}
