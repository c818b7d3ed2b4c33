package garbage

import (
	"slices"
	"testing"

	"github.com/runnel-io/runnel/metastore"
)

// TestHeldGarbageIsPassedOver, as long as it is there: a broker that had the lease before this one may have put it off meanwhile.
func TestHeldGarbageIsPassedOver(t *testing.T) {
	for name, tc := range map[string]struct {
		held, there, want []int64
		forgotten         bool
	}{
		"nothing is held":        {nil, []int64{1, 2, 3}, []int64{1, 2}, true},
		"the first is held":      {[]int64{1}, []int64{1, 2, 3}, []int64{2, 3}, false},
		"two of three":           {[]int64{1, 3}, []int64{1, 2, 3, 4, 5, 6}, []int64{4, 5}, false},
		"was put off by another": {[]int64{1, 2}, []int64{5, 6, 7, 8}, []int64{5, 6}, true},
		"all of it is gone":      {[]int64{1, 2}, nil, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Collector{held: tc.held}
			var there []metastore.Garbage
			for _, n := range tc.there {
				there = append(there, metastore.Garbage{Number: n})
			}
			var got []int64
			for _, g := range c.beyondHeld(there, 2) {
				got = append(got, g.Number)
			}
			if !slices.Equal(got, tc.want) || (len(c.held) == 0) != tc.forgotten {
				t.Errorf("goes on with %v and holds %v, want %v", got, c.held, tc.want)
			}
		})
	}
}
