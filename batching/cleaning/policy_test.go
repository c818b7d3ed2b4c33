package cleaning

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

const testNow = 1_790_000_000_000

// runList is a view of runs.
type runList []metastore.Run

func (l runList) Len() int                { return len(l) }
func (l runList) Run(i int) metastore.Run { return l[i] }

// testRun is a run of 100 offsets and 1000 bytes; ms are before now.
func testRun(base metastore.Offset, tier int, latest, stored int64) metastore.Run {
	id := metastore.NewSegmentID(time.UnixMilli(testNow - stored))
	if tier == 1 {
		id = metastore.NewRewrittenID(time.UnixMilli(testNow - stored))
	}
	return metastore.Run{Base: base, Records: 100, Length: 1000, MaxTimestamp: testNow - latest, Segment: id}
}

func TestSurvey(t *testing.T) {
	log := runList{
		testRun(0, 1, 9000, 20), testRun(100, 1, 8000, 20), testRun(200, 0, 7000, 6000), testRun(300, 0, 500, 400),
		{Base: 400, Records: 1, Length: 78, MaxTimestamp: testNow - 300, Marker: &metastore.Marker{}}, testRun(401, 0, 200, 100),
	}
	policy := Policy{Compact: true, MaxCompactionLagMs: math.MaxInt64}
	lagging := policy
	lagging.MinCompactionLagMs = 1000
	for _, c := range []struct {
		name              string
		policy            Policy
		start, cleaned    metastore.Offset
		stable            metastore.Offset
		clean, dirty      int64
		written, youngest int64 // ms before now; -1: unknown
		none              bool
	}{
		{name: "never cleaned", policy: policy, stable: 501, clean: 0, dirty: 5078, written: 20, youngest: -1},
		{name: "to a run", policy: policy, cleaned: 100, stable: 501, clean: 1000, dirty: 4078, written: 20, youngest: 9000},
		{name: "into a run", policy: policy, cleaned: 150, stable: 501, clean: 1500, dirty: 3578, written: 20, youngest: 9000},
		{name: "to the tail", policy: policy, cleaned: 200, stable: 501, clean: 2000, dirty: 3078, written: 6000, youngest: 7000},
		{name: "an open transaction", policy: policy, cleaned: 200, stable: 350, clean: 2000, dirty: 1500, written: 6000, youngest: 7000},
		{name: "too young", policy: lagging, cleaned: 200, stable: 501, clean: 2000, dirty: 1000, written: 6000, youngest: 7000},
		{name: "all too young", policy: lagging, cleaned: 300, stable: 501, none: true},
		{name: "all clean", policy: policy, cleaned: 501, stable: 501, none: true},
		{name: "an open transaction before it", policy: policy, cleaned: 200, stable: 200, none: true},
		{name: "a marker first", policy: policy, cleaned: 400, stable: 501, clean: 4000, dirty: 1078, written: 300, youngest: 300},
		{name: "not compacted", policy: Policy{}, stable: 501, none: true},
		{name: "records deleted", policy: policy, start: 250, cleaned: 100, stable: 501, clean: 500, dirty: 2578, written: 6000, youngest: 7000},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := log
			for len(list) > 0 && list[0].End() <= c.start {
				list = list[1:]
			}
			bytes := int64(0)
			for i := range list {
				bytes += int64(list[i].Length)
			}
			marks := metastore.Watermarks{LogStart: c.start, High: 501, Stable: c.stable}
			got, ok := survey(metastore.TopicPartition{}, list, bytes, marks, c.cleaned, c.policy, testNow)
			if ok == c.none {
				t.Fatalf("found %v: %+v", ok, got)
			}
			if c.none {
				return
			}
			oldest := int64(math.MinInt64)
			if c.youngest >= 0 {
				oldest = testNow - c.youngest
			}
			if got.clean != c.clean || got.dirty != c.dirty || got.written != testNow-c.written || got.oldest != oldest || got.from != max(c.cleaned, c.start) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestDue(t *testing.T) {
	opts := Options{}.withDefaults()
	hour := time.Hour.Milliseconds()
	for _, c := range []struct {
		name         string
		clean, dirty int64
		ratio        float64
		segmentMs    int64
		since        int64 // ms before now
		maxLag       int64
		oldest       int64 // ms before now
		want         bool
	}{
		{name: "half is dirty", clean: 2 << 20, dirty: 2 << 20, ratio: 0.5},
		{name: "more than half is", clean: 2 << 20, dirty: 2<<20 + 1, ratio: 0.5, want: true},
		{name: "all is", dirty: 2 << 20, ratio: 0.99, want: true},
		{name: "of ratio 1 nothing ever", dirty: 2 << 20, ratio: 1},
		{name: "little", dirty: 1<<20 - 1, ratio: 0.5, since: hour - 1},
		{name: "little for long", dirty: 1<<20 - 1, ratio: 0.5, since: hour, want: true},
		{name: "little, small segments", dirty: 1, ratio: 0.5, segmentMs: 100, since: 100, want: true},
		{name: "little, small segments, too soon", dirty: 1, ratio: 0.5, segmentMs: 100, since: 99},
		{name: "old", clean: 1 << 40, dirty: 1, ratio: 0.5, maxLag: 5000, oldest: 5001, want: true},
		{name: "not old enough", clean: 1 << 40, dirty: 1, ratio: 0.5, maxLag: 5000, oldest: 5000},
		{name: "old, without limit", clean: 1 << 40, dirty: 1, ratio: 0.5, oldest: testNow},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := candidate{clean: c.clean, dirty: c.dirty, oldest: testNow - c.oldest,
				policy: Policy{MinCleanableDirtyRatio: c.ratio, SegmentMs: 7 * 24 * hour, MaxCompactionLagMs: math.MaxInt64}}
			if c.segmentMs > 0 {
				p.policy.SegmentMs = c.segmentMs
			}
			if c.maxLag > 0 {
				p.policy.MaxCompactionLagMs = c.maxLag
			}
			if got := p.due(testNow, testNow-c.since, &opts); got != c.want {
				t.Errorf("due %v", got)
			}
		})
	}
}

func TestTheMostOverdueComesFirstThenTheDirtiest(t *testing.T) {
	late := Policy{MaxCompactionLagMs: 1000}
	never := Policy{MaxCompactionLagMs: math.MaxInt64}
	order := []candidate{
		{policy: late, oldest: math.MinInt64, clean: 9, dirty: 1}, // nobody knows
		{policy: late, oldest: testNow - 9000, clean: 9, dirty: 1},
		{policy: late, oldest: testNow - 2000, clean: 1, dirty: 9},
		{policy: never, oldest: 0, clean: 1, dirty: 8},
		{policy: late, oldest: testNow - 500, clean: 1, dirty: 2},
		{policy: never, oldest: 0, clean: 2, dirty: 1},
	}
	for i := range order {
		for j := range order {
			if got := order[i].before(&order[j], testNow); got != (i < j) {
				t.Errorf("%s before %s: %v", fmt.Sprint(i), fmt.Sprint(j), got)
			}
		}
	}
}
