package zonecache

import (
	"fmt"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/metastore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func nobody(string) bool { return false }

func placesOf(ids []int32) []place {
	slices.Sort(ids)
	places := make([]place, len(ids))
	for i, id := range ids {
		places[i] = place{metastore.NodeID(id), fmt.Sprint(id)}
	}
	return places
}

// TestOnlyWhatMustMoveMoves: a broker that comes takes extents and gives none to others, one that goes leaves all others'
// extents where they are, whether it has left or is left out.
func TestOnlyWhatMustMoveMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.Int32Range(0, 1<<31-1), 2, 10, rapid.ID[int32]).Draw(t, "ids")
		all := placesOf(ids)
		gone := rapid.SampledFrom(all).Draw(t, "gone")
		rest := slices.DeleteFunc(slices.Clone(all), func(p place) bool { return p == gone })
		for range 50 {
			key, extent := rapid.String().Draw(t, "key"), rapid.Int64Range(0, 1<<40).Draw(t, "extent")
			before, ok := owner(key, extent, all, nobody)
			after, _ := owner(key, extent, rest, nobody)
			if !ok || before != gone && after != before {
				t.Errorf("%q/%d moved from %v to %v when %v went", key, extent, before, after, gone)
			}
			left, _ := owner(key, extent, all, func(address string) bool { return address == gone.address })
			if left != after {
				t.Errorf("%q/%d is %v's while %v is left out, %v's after it went", key, extent, left, gone, after)
			}
		}
	})
}

func TestExtentsAreSpread(t *testing.T) {
	for _, ids := range [][]int32{{1, 2}, {0, 1, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, {1_000_001, 2_000_001, 3_000_001}} {
		places, count := placesOf(ids), map[string]int{}
		const objects, extents = 4_000, 3
		for i := range objects {
			key := fmt.Sprintf("p/t0/%02x/0193%08x-7bbb-8000-0123456789ab", i%256, i)
			for extent := range int64(extents) {
				p, _ := owner(key, extent, places, nobody)
				count[p.address]++
			}
		}
		want := objects * extents / len(ids)
		for _, p := range places {
			if n := count[p.address]; n < want*8/10 || n > want*12/10 {
				t.Errorf("of %d brokers, %d has %d extents; an equal share is %d", len(ids), p.id, n, want)
			}
		}
	}
}

func TestNobodyOwnsWhereNobodyIs(t *testing.T) {
	if p, ok := owner("k", 0, nil, nobody); ok {
		t.Errorf("%v", p)
	}
	everybody := func(string) bool { return true }
	if p, ok := owner("k", 0, placesOf([]int32{1, 2}), everybody); ok {
		t.Errorf("%v is left out and owns", p)
	}
	if p, ok := owner("k", 0, []place{{1, "1"}, {2, ""}}, everybody); !ok || p.id != 2 {
		t.Errorf("this broker cannot be left out, the owner is %v", p)
	}
}
