package broker

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// What is ready of a run counts for the min bytes of a Fetch.
func TestReadyOfRuns(t *testing.T) {
	short := metastore.Run{Base: 100, Records: 10, Length: 1000, Segment: metastore.NewSegmentID(time.Now())}
	long := metastore.Run{Base: 100, Records: 1 << 30, Length: 64 << 20, Segment: metastore.NewRewrittenID(time.Now())}
	for _, tc := range []struct {
		name        string
		run         metastore.Run
		from, below metastore.Offset
		want        int
	}{
		{"tier 0", short, 100, 110, 1000},
		{"tier 0, from inside", short, 109, 110, 1000},
		{"tier 0, stable inside", short, 100, 103, 300},
		{"tier 1", long, 90, 1 << 40, 64 << 20},
		{"tier 1, from the middle", long, 100 + 1<<29, 1 << 40, 32 << 20},
		{"tier 1, near its end", long, 100 + 1<<30 - 10, 1 << 40, 1},
		{"tier 1, a part", long, 100 + 1<<28, 100 + 1<<29, 16 << 20},
	} {
		if got := readyOf(&tc.run, tc.from, tc.below); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}
