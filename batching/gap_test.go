package batching_test

import (
	"context"
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
			return r.append(r.encode(0, 10, 600, recordbatchtest.Options{ProducerID: 9, BaseSequence: sequence}))
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
