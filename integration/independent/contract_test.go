package independent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/objstoretest"
)

// crossing writes and deletes with one client, and reads and lists with another.
type crossing struct{ writer, reader objstore.Store }

func (c crossing) Put(ctx context.Context, key string, parts [][]byte) error {
	return c.writer.Put(ctx, key, parts)
}

func (c crossing) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	return c.reader.Get(ctx, key, offset, length)
}

func (c crossing) GetSuffix(ctx context.Context, key string, length int64) ([]byte, error) {
	return c.reader.GetSuffix(ctx, key, length)
}

func (c crossing) List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error] {
	return c.reader.List(ctx, prefix, startAfter)
}

func (c crossing) Delete(ctx context.Context, keys []string) error { return c.writer.Delete(ctx, keys) }

func (c crossing) Check(ctx context.Context) error { return c.reader.(objstore.Checker).Check(ctx) }

// TestTheContractAcrossClients: the contract that brokers build on is what the server does, not what a client makes of it. It
// holds if one client writes and deletes, and the other one reads and lists; both ways.
func TestTheContractAcrossClients(t *testing.T) {
	onServers(t, func(t *testing.T, bucket string) {
		for _, tc := range []struct {
			name string
			open func(t *testing.T, p place) (writer, reader objstore.Store)
		}{
			{"the SDK alone", func(t *testing.T, p place) (objstore.Store, objstore.Store) { s := p.sdk(t); return s, s }},
			{"the SDK writes, minio-go reads", func(t *testing.T, p place) (objstore.Store, objstore.Store) { return p.sdk(t), p.minio(t) }},
			{"minio-go writes, the SDK reads", func(t *testing.T, p place) (objstore.Store, objstore.Store) { return p.minio(t), p.sdk(t) }},
		} {
			t.Run(tc.name, func(t *testing.T) {
				objstoretest.Run(t, func(t *testing.T) objstore.Store {
					writer, reader := tc.open(t, placeIn(t, bucket))
					if writer == reader {
						return writer // with all that it does beside the contract's methods
					}
					return crossing{writer: writer, reader: reader}
				})
			})
		}
	})
}

// oddKeys are at the edges of what objstore.ValidKey lets through, and of what clients escape in paths.
var oddKeys = []string{
	"z", "-", "_", ".hidden", "...dots", "a.b-c_d", "t0/ff/0192f5e0-7c1b-7000-8000-0123456789ab", "A/a/A", "trailing.", "0", "a/b/c/d/e/f/g/h/i/j",
	"double..dot/x..y", "index/c/1",
}

// TestOddKeysAndLargeObjects: names and sizes at the edges come back the same from the other client, whole and in parts.
func TestOddKeysAndLargeObjects(t *testing.T) {
	sizes := []int{0, 1, 4095, 1<<20 + 1, 5 << 20, 17<<20 + 3}
	onServers(t, func(t *testing.T, bucket string) {
		p := placeIn(t, bucket)
		both := map[string]objstore.Store{"sdk": p.sdk(t), "minio-go": p.minio(t)}
		for writer, other := range map[string]string{"sdk": "minio-go", "minio-go": "sdk"} {
			for i, key := range oddKeys {
				key = writer + "/" + key
				data := noise(uint64(i), sizes[i%len(sizes)])
				half := len(data) / 2
				if err := both[writer].Put(t.Context(), key, [][]byte{data[:half], data[half:]}); err != nil {
					t.Fatalf("%s: Put(%q): %v", writer, key, err)
				}
				whole, err := both[other].GetSuffix(t.Context(), key, int64(len(data))+1)
				if err != nil || !bytes.Equal(whole, data) {
					t.Errorf("%s reads %q of %d bytes as %d others: %v", other, key, len(data), len(whole), err)
				}
				if len(data) == 0 {
					continue
				}
				part, err := both[other].Get(t.Context(), key, int64(half), 1000)
				if err != nil || !bytes.Equal(part, data[half:min(half+1000, len(data))]) {
					t.Errorf("%s reads %d bytes of the middle of %q: %v", other, len(part), key, err)
				}
			}
			if got := listed(t, both[other], writer+"/"); len(got) != len(oddKeys) {
				t.Errorf("%s lists %d objects of %d: %q", other, len(got), len(oddKeys), got)
			}
		}
	})
}

func listed(t *testing.T, s objstore.Store, prefix string) []string {
	t.Helper()
	var keys []string
	for o, err := range s.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// TestNeitherClientReplacesTheOthersObject: If-None-Match is one condition, whoever says it; in a race of both there is one
// winner, and its bytes are what is there.
func TestNeitherClientReplacesTheOthersObject(t *testing.T) {
	onServers(t, func(t *testing.T, bucket string) {
		p := placeIn(t, bucket)
		sdk, other := p.sdk(t), p.minio(t)
		for _, tc := range []struct {
			key           string
			first, second objstore.Store
		}{{"ours", sdk, other}, {"theirs", other, sdk}} {
			if err := tc.first.Put(t.Context(), tc.key, [][]byte{[]byte("first")}); err != nil {
				t.Fatal(err)
			}
			for _, again := range []string{"second", "first", ""} {
				if err := tc.second.Put(t.Context(), tc.key, [][]byte{[]byte(again)}); !errors.Is(err, objstore.ErrExists) {
					t.Errorf("%s: Put(%q) of the other client: %v, want ErrExists", tc.key, again, err)
				}
			}
			if b, err := tc.first.GetSuffix(t.Context(), tc.key, 100); err != nil || string(b) != "first" {
				t.Errorf("%s holds %q: %v", tc.key, b, err)
			}
		}

		const writers = 8
		for round := range 5 {
			key := fmt.Sprint("race/", round)
			errs := make([]error, writers)
			var race sync.WaitGroup
			start := make(chan struct{})
			for w := range writers {
				race.Go(func() {
					<-start
					errs[w] = []objstore.Store{sdk, other}[w%2].Put(t.Context(), key, [][]byte{noise(uint64(w), 200_000)})
				})
			}
			close(start)
			race.Wait()
			winner := slices.Index(errs, nil)
			if winner < 0 {
				t.Fatalf("nobody won: %v", errs)
			}
			for w, err := range errs {
				if w != winner && !errors.Is(err, objstore.ErrExists) {
					t.Errorf("writer %d: %v, want ErrExists; writer %d won", w, err, winner)
				}
			}
			if b, err := other.GetSuffix(t.Context(), key, 200_001); err != nil || !bytes.Equal(b, noise(uint64(winner), 200_000)) {
				t.Errorf("round %d: %d bytes that are not the winner's: %v", round, len(b), err)
			}
		}
	})
}

// noise is n bytes that differ by seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(seed), 'n'})
	rng.Read(b) //nolint:errcheck // ChaCha8 never fails
	return b
}
