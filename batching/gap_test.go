package batching_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
)

// A new producer may begin at any sequence (KIP-360), but not because its first batch was lost on the way: the batch
// sent again would stand behind its successors, or never get in.
func TestBatchWhoseForerunnerFailedDoesNotTakeItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{SegmentBytes: 500, UploadTimeout: time.Second})
		r.store.put = func(ctx context.Context, n int, next func() error) error {
			if n == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			return next()
		}
		send := func(sequence int32) *batching.Pending {
			// Each by a connection of its own: the producer's sequence alone keeps them in order.
			return r.appendFrom(batching.NewSource(), r.encode(0, 10, 600, recordbatchtest.Options{ProducerID: 9, BaseSequence: sequence}))
		}
		first := send(0)
		synctest.Wait()
		inFlight := []*batching.Pending{send(10), send(20)}
		if _, err := first.Wait(t.Context()); err == nil {
			t.Fatal("the first batch was to fail")
		}
		inFlight = append(inFlight, send(30)) // before the client knows
		for i, p := range inFlight {
			results, err := p.Wait(t.Context())
			if err != nil || results[0].Verdict != metastore.OutOfOrderSequence {
				t.Errorf("batch %d after the lost one: %v, error %v, want a refusal", i+1, results, err)
			}
		}
		for i := range 4 { // sent again, in order
			r.wantOffsets(send(int32(10*i)), metastore.Offset(10*i))
		}
	})
}

func TestBatchWhoseForerunnerWasNotTakenDoesNotTakeItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{MaxBuffered: 1000, MinLinger: time.Second, MaxLinger: time.Second})
		batch := func(sequence int32, size int) batching.Batch {
			return r.encode(0, 10, size, recordbatchtest.Options{ProducerID: 9, BaseSequence: sequence})
		}
		other := r.append(r.batch(1, 1, 600))
		const first = 1<<31 - 10 // the next wraps to 0
		if _, err := r.w.Append(nil, []batching.Batch{batch(first, 600)}); !errors.Is(err, batching.ErrOverloaded) {
			t.Fatalf("append: %v, want ErrOverloaded", err)
		}
		results, err := r.append(batch(0, 200)).Wait(t.Context())
		if err != nil || results[0].Verdict != metastore.OutOfOrderSequence {
			t.Errorf("batch after the one not taken: %v, error %v, want a refusal", results, err)
		}
		r.offsets(other)
		r.wantOffsets(r.append(batch(first, 600)), 0)
		r.wantOffsets(r.append(batch(0, 200)), 10)
	})
}

// A clock that steps dates a segment so that the log refuses it; the next one it takes.
func TestBatchWhoseForerunnerWasTooOldDoesNotTakeItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var step time.Duration
		r := start(t, batching.Options{Now: func() time.Time { return time.Now().Add(step) }})
		send := func(sequence int32) *batching.Pending {
			return r.append(r.encode(0, 10, 600, recordbatchtest.Options{ProducerID: 9, BaseSequence: sequence}))
		}
		wantVerdict := func(p *batching.Pending, want metastore.Verdict) {
			t.Helper()
			if results, err := p.Wait(t.Context()); err != nil || results[0].Verdict != want {
				t.Errorf("%v, error %v, want verdict %d", results, err, want)
			}
		}
		step = -2 * metastore.MaxSegmentAge
		wantVerdict(send(0), metastore.SegmentTooOld)
		step = 0
		wantVerdict(send(10), metastore.OutOfOrderSequence) // before the client knows
		r.wantOffsets(send(0), 0)
		r.wantOffsets(send(10), 10)
	})
}

func TestRetryAfterACommitOfUnknownOutcomeKeepsTheOrder(t *testing.T) {
	for _, landed := range []bool{false, true} {
		t.Run(fmt.Sprintf("landed %v", landed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, batching.Options{SegmentBytes: 500, UploadTimeout: time.Second, CommitTimeout: 2 * time.Second})
				began := time.Now()
				r.log.commit = func(_ context.Context, n int, next commitFunc) ([]metastore.SegmentResult, error) {
					if time.Since(began) >= 3*time.Second {
						return next()
					}
					if n == 1 && landed {
						_, _ = next()
					}
					return nil, errors.New("no answer")
				}
				send := func(sequence int32) *batching.Pending {
					return r.append(r.encode(0, 10, 600, recordbatchtest.Options{ProducerID: 9, BaseSequence: sequence}))
				}
				if _, err := send(0).Wait(t.Context()); !errors.Is(err, batching.ErrUnknownOutcome) {
					t.Fatalf("error %v, want ErrUnknownOutcome", err)
				}
				time.Sleep(3 * time.Second)
				results, err := send(10).Wait(t.Context()) // before the client knows
				if accepted := err == nil && results[0].Verdict == metastore.Accepted; accepted != landed {
					t.Errorf("batch after the one of unknown outcome: %v, error %v", results, err)
				}
				for i := range 2 {
					results, err := send(int32(10 * i)).Wait(t.Context())
					if err != nil || results[0].Offset != metastore.Offset(10*i) {
						t.Errorf("batch %d sent again: %v, error %v", i, results, err)
					}
				}
			})
		})
	}
}

// A sequencer may still read a request that it was asked for, although nobody waits for its answer any more.
func TestRequestOfACommitDoesNotChangeWhenItIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{SegmentBytes: 500, UploadTimeout: 59 * time.Second, CommitTimeout: time.Minute, AttemptTimeout: time.Minute})
		log := &unanswered{Committer: r.log.Committer}
		r.log.Committer = log
		r.store.put = func(_ context.Context, n int, next func() error) error {
			time.Sleep(58 * time.Second / time.Duration(n*n)) // the second is there, and waits for the first
			return next()
		}
		send := func(sequence int32) *batching.Pending {
			p := r.append(r.encode(0, 10, 600, recordbatchtest.Options{ProducerID: 9, BaseSequence: sequence}))
			time.Sleep(30 * time.Second)
			return p
		}
		first, second := send(0), send(10)
		if _, err := first.Wait(t.Context()); !errors.Is(err, batching.ErrUnknownOutcome) {
			t.Fatalf("error %v, want ErrUnknownOutcome", err)
		}
		results, err := second.Wait(t.Context())
		if err != nil || results[0].Verdict != metastore.OutOfOrderSequence {
			t.Errorf("batch after the one of unknown outcome: %v, error %v, want a refusal", results, err)
		}
		if len(log.requests) == 0 || !reflect.DeepEqual(log.requests, log.copies) {
			t.Errorf("of %d requests, one changed after it was handed over", len(log.requests))
		}
	})
}

// unanswered is a Committer that does not answer requests of several segments, but keeps them.
type unanswered struct {
	batching.Committer
	requests, copies [][]metastore.SegmentCommit
}

func (u *unanswered) Commit(ctx context.Context, segments []metastore.SegmentCommit) ([]metastore.SegmentResult, error) {
	if len(segments) == 1 {
		return u.Committer.Commit(ctx, segments)
	}
	copied := slices.Clone(segments)
	for i := range copied {
		copied[i].Runs = slices.Clone(copied[i].Runs)
		for j := range copied[i].Runs {
			copied[i].Runs[j].Batches = slices.Clone(copied[i].Runs[j].Batches)
		}
	}
	u.requests, u.copies = append(u.requests, segments), append(u.copies, copied)
	return nil, errBroken
}
