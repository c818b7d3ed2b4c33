package retention_test

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/retention"
	"github.com/runnel-io/runnel/metastore"
)

type runs []metastore.Run

func (r runs) Len() int                { return len(r) }
func (r runs) Run(i int) metastore.Run { return r[i] }

// log is runs of 10 records and 100 bytes each, the first at offset 50, whose newest records are so many seconds old.
func log(ages ...int) (marks metastore.Watermarks, all runs) {
	marks.LogStart = 55 // in the first run
	base := metastore.Offset(50)
	for _, age := range ages {
		all = append(all, metastore.Run{Base: base, Records: 10, Length: 100, MaxTimestamp: now.Add(-time.Duration(age) * time.Second).UnixMilli()})
		base += 10
	}
	marks.High, marks.Stable = base, base
	return marks, all
}

var now = time.UnixMilli(1_700_000_000_000)

func TestWhatIsDue(t *testing.T) {
	const none = -1
	for _, tt := range []struct {
		name   string
		policy retention.Policy
		ages   []int
		change func(*metastore.Watermarks, runs)
		limit  int
		want   retention.Due // without runs: nothing
	}{
		{name: "an empty partition", policy: retention.Policy{Delete: true, Ms: 1, Bytes: 1}},
		{name: "compacted alone", policy: retention.Policy{Ms: 1, Bytes: 1}, ages: []int{9, 9}},
		{name: "without limits", policy: retention.Policy{Delete: true, Ms: none, Bytes: none}, ages: []int{1e9, 1e9}},
		{name: "older than the time", policy: retention.Policy{Delete: true, Ms: 5000, Bytes: none}, ages: []int{7, 6, 5, 4},
			want: retention.Due{LogStart: 70, Runs: 2, ByTime: 200}},
		{name: "as old as the time", policy: retention.Policy{Delete: true, Ms: 5000, Bytes: none}, ages: []int{5}},
		{name: "all are old", policy: retention.Policy{Delete: true, Ms: 5000, Bytes: none}, ages: []int{9, 8, 7},
			want: retention.Due{LogStart: 80, Runs: 3, ByTime: 300}},
		{name: "no time at all", policy: retention.Policy{Delete: true, Ms: 0, Bytes: none}, ages: []int{1, 0},
			want: retention.Due{LogStart: 60, Runs: 1, ByTime: 100}},
		{name: "the future holds up what is behind it", policy: retention.Policy{Delete: true, Ms: 5000, Bytes: none}, ages: []int{9, -3600, 9},
			want: retention.Due{LogStart: 60, Runs: 1, ByTime: 100}},
		{name: "but not for its size", policy: retention.Policy{Delete: true, Ms: 5000, Bytes: 100}, ages: []int{-3600, 9, 9},
			want: retention.Due{LogStart: 80, Runs: 3, BySize: 200, ByTime: 100}},
		{name: "what is left has the size", policy: retention.Policy{Delete: true, Ms: none, Bytes: 200}, ages: []int{0, 0, 0, 0},
			want: retention.Due{LogStart: 70, Runs: 2, BySize: 200}},
		{name: "what is left would have less", policy: retention.Policy{Delete: true, Ms: none, Bytes: 201}, ages: []int{0, 0, 0, 0},
			want: retention.Due{LogStart: 60, Runs: 1, BySize: 100}},
		{name: "less than the size", policy: retention.Policy{Delete: true, Ms: none, Bytes: 400}, ages: []int{0, 0, 0, 0}},
		{name: "no size at all", policy: retention.Policy{Delete: true, Ms: none, Bytes: 0}, ages: []int{0, 0},
			want: retention.Due{LogStart: 70, Runs: 2, BySize: 200}},
		{name: "size first, then time", policy: retention.Policy{Delete: true, Ms: 5000, Bytes: 300}, ages: []int{0, 9, 0, 0},
			want: retention.Due{LogStart: 70, Runs: 2, BySize: 100, ByTime: 100}},
		{name: "what transactions have not decided", policy: retention.Policy{Delete: true, Ms: 0, Bytes: 0}, ages: []int{9, 9, 9},
			change: func(w *metastore.Watermarks, _ runs) { w.Stable = 69 },
			want:   retention.Due{LogStart: 60, Runs: 1, BySize: 100}},
		{name: "a bound of the round", policy: retention.Policy{Delete: true, Ms: 5000, Bytes: none}, ages: []int{9, 9, 9, 0}, limit: 2,
			want: retention.Due{LogStart: 70, Runs: 2, ByTime: 200, More: true}},
		{name: "a bound that is just enough", policy: retention.Policy{Delete: true, Ms: 5000, Bytes: none}, ages: []int{9, 9, 0, 0}, limit: 2,
			want: retention.Due{LogStart: 70, Runs: 2, ByTime: 200}},
		{name: "no timestamps, an old object", policy: retention.Policy{Delete: true, Ms: 5000, Bytes: none}, ages: []int{0},
			change: func(_ *metastore.Watermarks, all runs) {
				all[0].MaxTimestamp, all[0].Segment = -1, metastore.NewSegmentID(now.Add(-6*time.Second))
			},
			want: retention.Due{LogStart: 60, Runs: 1, ByTime: 100}},
		{name: "no timestamps, a new object", policy: retention.Policy{Delete: true, Ms: 5000, Bytes: none}, ages: []int{0},
			change: func(_ *metastore.Watermarks, all runs) {
				all[0].MaxTimestamp, all[0].Segment = -1, metastore.NewSegmentID(now.Add(-5*time.Second))
			}},
		{name: "no timestamps, rewritten", policy: retention.Policy{Delete: true, Ms: 5000, Bytes: none}, ages: []int{0, 0},
			change: func(_ *metastore.Watermarks, all runs) {
				for i := range all {
					all[i].MaxTimestamp = metastore.UntimedSince(now.Add(time.Duration(-6+i) * time.Second))
					all[i].Segment = metastore.NewRewrittenID(now)
				}
			},
			want: retention.Due{LogStart: 60, Runs: 1, ByTime: 100}},
		{name: "the end of a transaction", policy: retention.Policy{Delete: true, Ms: 5000, Bytes: none}, ages: []int{6, 6},
			change: func(_ *metastore.Watermarks, all runs) { all[1].Marker = &metastore.Marker{} },
			want:   retention.Due{LogStart: 70, Runs: 2, ByTime: 200}},
		{name: "the latest time of all", policy: retention.Policy{Delete: true, Ms: 1<<63 - 1, Bytes: none}, ages: []int{1e9},
			change: func(_ *metastore.Watermarks, all runs) { all[0].MaxTimestamp = 1<<63 - 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			marks, all := log(tt.ages...)
			if tt.change != nil {
				tt.change(&marks, all)
			}
			if tt.limit == 0 {
				tt.limit = len(all)
			}
			got := tt.policy.Due(marks, int64(100*len(all)), all, now, tt.limit)
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
