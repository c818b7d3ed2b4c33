package runner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Many plays count seeds from base on, several at a time, and gives each outcome to told, one at a time, as they end. What
// is left of seeds that went wrong, or of all if they are kept, is in directories below dir named by the seed.
func Many(ctx context.Context, binary string, base uint64, count, parallel int, dir string, opts Options, told func(Outcome)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	seeds := make(chan uint64)
	var players sync.WaitGroup
	var mu sync.Mutex
	for range parallel {
		players.Go(func() {
			for seed := range seeds {
				own := Dir(dir, seed)
				o, err := Play(ctx, binary, seed, own, opts)
				if err == nil && len(o.Anomalies) == 0 && !opts.Keep {
					err = os.RemoveAll(own)
				}
				if err != nil {
					cancel(fmt.Errorf("play seed %d: %w", seed, err))
					return
				}
				mu.Lock()
				told(o)
				mu.Unlock()
			}
		})
	}
	for i := range count {
		select {
		case seeds <- base + uint64(i):
		case <-ctx.Done():
		}
	}
	close(seeds)
	players.Wait()
	return context.Cause(ctx)
}

// Dir is where the files of a seed are.
func Dir(dir string, seed uint64) string { return filepath.Join(dir, fmt.Sprintf("seed-%d", seed)) }
