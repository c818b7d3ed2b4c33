package compaction

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

var planNow = time.UnixMilli(1_790_000_000_000)

// partRuns are runs of a partition, with the positions of the log that brought them.
type partRuns struct {
	list []metastore.Run
	seqs []metastore.Seq
}

func (p *partRuns) Len() int                   { return len(p.list) }
func (p *partRuns) Run(i int) metastore.Run    { return p.list[i] }
func (p *partRuns) RunSeq(i int) metastore.Seq { return p.seqs[i] }

// model is a log as planners see it, as naive as can be.
type model struct {
	parts []*partRuns
	sizes map[metastore.SegmentID]int64 // of objects
	seqs  map[metastore.SegmentID]metastore.Seq
	seq   metastore.Seq
	now   time.Time
	opts  Options
	bad   *badRuns
}

func newModel(partitions int, opts Options) *model {
	m := &model{sizes: map[metastore.SegmentID]int64{}, seqs: map[metastore.SegmentID]metastore.Seq{}, now: planNow, opts: opts.withDefaults(), bad: newBadRuns()}
	for range partitions {
		m.parts = append(m.parts, &partRuns{})
	}
	return m
}

// add appends a run to a partition and returns it.
func (m *model) add(partition int, id metastore.SegmentID, length int) metastore.Run {
	p := m.parts[partition]
	run := metastore.Run{Records: 1, Segment: id, Position: uint32(m.sizes[id]), Length: uint32(length)}
	if n := len(p.list); n > 0 {
		run.Base = p.list[n-1].End()
	}
	m.sizes[id] += int64(length)
	p.list, p.seqs = append(p.list, run), append(p.seqs, m.seqs[id])
	return run
}

func (m *model) marker(partition int, at time.Time) {
	p := m.parts[partition]
	run := metastore.Run{Records: 1, Length: metastore.MarkerBytes, MaxTimestamp: at.UnixMilli(), Marker: &metastore.Marker{}}
	if n := len(p.list); n > 0 {
		run.Base = p.list[n-1].End()
	}
	p.list, p.seqs = append(p.list, run), append(p.seqs, 0)
}

// tier0 makes a segment of some age.
func (m *model) tier0(age time.Duration) metastore.SegmentID {
	m.seq++
	id := metastore.NewSegmentID(m.now.Add(-age))
	m.seqs[id] = m.seq
	return id
}

func (m *model) tier1(age time.Duration) metastore.SegmentID {
	m.seq++
	id := metastore.NewRewrittenID(m.now.Add(-age))
	m.seqs[id] = m.seq
	return id
}

func (m *model) plan() *planner {
	p := newPlanner(m.opts, 64<<20, m.now, m.bad)
	uses := map[metastore.SegmentID]*metastore.SegmentUse{}
	for _, part := range m.parts {
		for _, run := range part.list {
			if run.Marker != nil {
				continue
			}
			u := uses[run.Segment]
			if u == nil {
				u = &metastore.SegmentUse{ID: run.Segment, Size: m.sizes[run.Segment], Seq: m.seqs[run.Segment]}
				uses[run.Segment] = u
			}
			u.Live += int64(run.Length)
			u.Runs++
		}
	}
	for _, u := range uses {
		p.segment(*u)
	}
	p.choose()
	for i, part := range m.parts {
		p.partition(m.tp(i), part)
	}
	return p
}

func (m *model) tp(i int) metastore.TopicPartition {
	return metastore.TopicPartition{Partition: int32(i)}
}

// job returns the first and the last index of the runs of each partition that a job has; nothing for others.
func (m *model) job(kind Kind) map[int][2]int {
	got := map[int][2]int{}
	for _, s := range m.plan().job(kind) {
		i := int(s.Partition)
		list := m.parts[i].list
		from := slices.IndexFunc(list, func(r metastore.Run) bool { return r.Base == s.from })
		to := slices.IndexFunc(list, func(r metastore.Run) bool { return r.End() == s.to })
		got[i] = [2]int{from, to}
	}
	return got
}

func (m *model) expect(t *testing.T, kind Kind, want map[int][2]int) {
	t.Helper()
	got := m.job(kind)
	if len(got) != len(want) {
		t.Fatalf("%s of %v, want %v", kind, got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s of %v, want %v", kind, got, want)
		}
	}
}

type none = map[int][2]int

func TestLiftIsDue(t *testing.T) {
	opts := Options{DueBytes: 1000}
	for name, tc := range map[string]struct {
		ages   []time.Duration
		length int
		want   none
	}{
		"nothing there":            {nil, 0, none{}},
		"too young":                {[]time.Duration{119 * time.Second, time.Second}, 5000, none{}},
		"old enough, too little":   {[]time.Duration{5 * time.Minute, 3 * time.Minute}, 499, none{}},
		"enough bytes":             {[]time.Duration{5 * time.Minute, 3 * time.Minute}, 500, none{0: {0, 1}}},
		"too old to wait":          {[]time.Duration{10 * time.Minute, 3 * time.Minute}, 1, none{0: {0, 1}}},
		"the young ones stay":      {[]time.Duration{10 * time.Minute, 3 * time.Minute, time.Minute}, 1, none{0: {0, 1}}},
		"young bytes do not count": {[]time.Duration{3 * time.Minute, time.Minute}, 999, none{}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel(1, opts)
			for _, age := range tc.ages {
				m.add(0, m.tier0(age), tc.length)
			}
			m.expect(t, Lift, tc.want)
		})
	}
}

func TestLiftTakesConsecutiveRuns(t *testing.T) {
	const old = 20 * time.Minute
	for name, tc := range map[string]struct {
		make func(m *model)
		want none
	}{
		"behind tier 1": {func(m *model) {
			m.add(0, m.tier1(old), 10)
			m.add(0, m.tier0(old), 10)
			m.add(0, m.tier0(old), 10)
		}, none{0: {1, 2}}},
		"a segment from the future": {func(m *model) {
			m.add(0, m.tier0(old), 10)
			m.add(0, m.tier0(-time.Minute), 10)
			m.add(0, m.tier0(old), 10)
		}, none{0: {0, 0}}},
		"ends of transactions": {func(m *model) {
			m.add(0, m.tier1(old), 10)
			m.marker(0, m.now.Add(-old))
			m.marker(0, m.now.Add(-old))
			m.add(0, m.tier0(old), 10)
			m.marker(0, m.now.Add(-old))
			m.add(0, m.tier0(old), 10)
			m.marker(0, m.now.Add(-old))
			m.marker(0, m.now)
		}, none{0: {1, 6}}},
		"a young end of a transaction before an old run": {func(m *model) {
			m.add(0, m.tier0(old), 10)
			m.marker(0, m.now)
			m.add(0, m.tier0(old), 10)
		}, none{0: {0, 2}}},
		"ends of transactions alone": {func(m *model) {
			m.marker(0, m.now.Add(-old))
			m.add(1, m.tier0(old), 10)
		}, none{1: {0, 0}}},
		"around what cannot be read": {func(m *model) {
			bad := m.add(0, m.tier0(old), 10)
			m.add(0, m.tier0(old), 10)
			m.add(0, m.tier0(old), 10)
			worse := m.add(0, m.tier0(old), 10)
			m.add(0, m.tier0(old), 10)
			m.bad.add(&bad, m.now.Add(time.Hour))
			m.bad.add(&worse, m.now.Add(time.Hour))
		}, none{0: {1, 2}}},
		"around a segment that cannot be read": {func(m *model) {
			bad := m.tier0(old)
			m.add(0, bad, 10)
			m.add(1, bad, 10)
			m.add(1, m.tier0(old), 10)
			m.bad.addSegment(bad, m.now.Add(time.Hour))
		}, none{1: {1, 1}}},
		"several partitions": {func(m *model) {
			a, b := m.tier0(old), m.tier0(old)
			m.add(0, a, 10)
			m.add(0, b, 10)
			m.add(1, b, 10)
		}, none{0: {0, 1}, 1: {0, 0}}},
		"no more segments than a job has": {func(m *model) {
			for range 10 {
				m.add(0, m.tier0(old), 10)
			}
		}, none{0: {0, 4}}},
		"no more bytes than a job has": {func(m *model) {
			for range 4 {
				m.add(0, m.tier0(old), 400)
			}
		}, none{0: {0, 1}}},
		"a segment that is larger than a job": {func(m *model) {
			m.add(0, m.tier0(old), 4000)
			m.add(0, m.tier0(old), 10)
		}, none{0: {0, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel(2, Options{JobSegments: 5, JobBytes: 1000})
			tc.make(m)
			m.expect(t, Lift, tc.want)
		})
	}
}

// TestLiftOfOneEntryIsWhole: segments that were committed together are lifted together, whatever their order.
func TestLiftOfOneEntryIsWhole(t *testing.T) {
	m := newModel(1, Options{JobSegments: 3})
	for range 2 {
		ids := []metastore.SegmentID{m.tier0(time.Hour), m.tier0(time.Hour)}
		m.seqs[ids[0]] = m.seqs[ids[1]]
		m.add(0, ids[0], 10)
		m.add(0, ids[1], 10)
	}
	m.expect(t, Lift, none{0: {0, 1}})
}

// TestLiftOfManySmallSegmentsIsSmall: else the GETs would bring next to nothing each.
func TestLiftOfManySmallSegmentsIsSmall(t *testing.T) {
	for size, want := range map[int]int{8 << 20: 128, 1 << 20: 256, 256 << 10: 1024, 16 << 10: 4096} {
		m := newModel(1, Options{})
		for range 5000 {
			m.add(0, m.tier0(time.Hour), size)
		}
		m.expect(t, Lift, none{0: {0, want - 1}})
	}
}

func TestMerge(t *testing.T) {
	const old = 20 * time.Minute
	opts := Options{MergeRuns: 4, SmallRun: 64_000, MergeBytes: 1 << 30, JobBytes: 200_000}
	for name, tc := range map[string]struct {
		lengths []int // negative: in tier 0; 0: the end of a transaction
		want    none
	}{
		"too few":                       {[]int{1000, 1000, 1000}, none{}},
		"enough":                        {[]int{1000, 1000, 1000, 1000}, none{0: {0, 3}}},
		"within a power of eight":       {[]int{7000, 1001, 3000, 7999}, none{0: {0, 3}}},
		"of different sizes":            {[]int{8000, 900, 100, 10}, none{}},
		"small ones behind large ones":  {[]int{64_000, 9000, 9000, 10, 11, 12, 13}, none{0: {3, 6}}},
		"small ones between":            {[]int{9000, 10, 9000, 10, 9000, 10, 9000}, none{0: {0, 6}}},
		"the smallest first":            {[]int{9000, 9000, 9000, 9000, 10, 10, 10, 10}, none{0: {4, 7}}},
		"large runs are left alone":     {[]int{64_000, 64_000, 64_000, 64_000, 64_000}, none{}},
		"large runs are no neighbors":   {[]int{10, 10, 64_000, 10, 10}, none{}},
		"larger ones are no neighbors":  {[]int{1000, 1000, 9000, 1000, 1000}, none{}},
		"tier 0 is no neighbor":         {[]int{10, 10, -10, 10, 10}, none{}},
		"ends of transactions go along": {[]int{0, 10, 10, 0, 0, 10, 10, 0, -10}, none{0: {0, 6}}},
		"ends of transactions alone":    {[]int{0, 0, 0, 0, 0, 0}, none{}},
		"no more than a job has":        {[]int{50_000, 50_000, 50_000, 50_000, 50_000, 50_000}, none{0: {0, 3}}},
		"a job has room for too few":    {[]int{60_000, 60_000, 60_000, 60_000, 60_000, 60_000}, none{0: {0, 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel(1, opts)
			for _, n := range tc.lengths {
				switch {
				case n == 0:
					m.marker(0, m.now.Add(-old))
				case n < 0:
					m.add(0, m.tier0(time.Second), -n)
				default:
					m.add(0, m.tier1(old), n)
				}
			}
			m.expect(t, Merge, tc.want)
		})
	}
}

// TestMergeDoesNotCrossLargeGaps: no run could take all the offsets, so that there would be as many runs as before, for ever.
func TestMergeDoesNotCrossLargeGaps(t *testing.T) {
	m := newModel(1, Options{MergeRuns: 4})
	for i := range 9 {
		m.add(0, m.tier1(time.Hour), 100)
		if i == 2 || i == 7 {
			m.parts[0].list[i].Records = math.MaxInt32 / 2 // for the next begins behind it
		}
	}
	m.expect(t, Merge, none{0: {3, 6}})
}

// TestMergeWaitsForCompany: a few bytes are not worth an object, until they have waited, counted from when there were
// enough runs: others that come later do not put it off.
func TestMergeWaitsForCompany(t *testing.T) {
	for name, tc := range map[string]struct {
		ages  []time.Duration
		bytes int
		want  none
	}{
		"young":             {[]time.Duration{9 * time.Minute, 9 * time.Minute, 9 * time.Minute, 9 * time.Minute}, 10, none{}},
		"worth it":          {[]time.Duration{9 * time.Minute, 9 * time.Minute, 9 * time.Minute, 9 * time.Minute}, 250, none{0: {0, 3}}},
		"waited":            {[]time.Duration{time.Hour, time.Hour, time.Hour, 10 * time.Minute}, 10, none{0: {0, 3}}},
		"waits no longer":   {[]time.Duration{time.Hour, time.Hour, time.Hour, 10 * time.Minute, time.Minute}, 10, none{0: {0, 4}}},
		"the last is young": {[]time.Duration{time.Hour, time.Hour, time.Hour, time.Minute}, 10, none{}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel(1, Options{MergeRuns: 4, MergeBytes: 1000})
			for _, age := range tc.ages {
				m.add(0, m.tier1(age), tc.bytes)
			}
			m.expect(t, Merge, tc.want)
		})
	}
}

// TestMergeTakesTheSmallestFirst: a job has room for some, and those make most of it.
func TestMergeTakesTheSmallestFirst(t *testing.T) {
	m := newModel(3, Options{MergeRuns: 4, JobBytes: 1000})
	for i, length := range []int{200, 10, 150} {
		for range 4 {
			m.add(i, m.tier1(time.Hour), length)
		}
	}
	m.expect(t, Merge, none{1: {0, 3}, 2: {0, 3}})
}

func TestRefill(t *testing.T) {
	const old = 20 * time.Minute
	type run struct {
		segment, length int
	}
	for name, tc := range map[string]struct {
		runs  [][]run // by partition
		waste map[int]int64
		young bool
		want  none
	}{
		"half is named":     {[][]run{{{0, 5000}}}, map[int]int64{0: 5000}, false, none{}},
		"less than half":    {[][]run{{{0, 5000}}}, map[int]int64{0: 5400}, false, none{0: {0, 0}}},
		"not old enough":    {[][]run{{{0, 5000}}}, map[int]int64{0: 9000}, true, none{}},
		"all its runs":      {[][]run{{{0, 100}, {1, 9000}}, {{1, 9000}, {0, 100}}}, map[int]int64{0: 9000}, false, none{0: {0, 0}, 1: {1, 1}}},
		"with small ones":   {[][]run{{{1, 200}, {0, 100}, {1, 90}, {1, 110}}}, map[int]int64{0: 9000}, false, none{0: {1, 2}}},
		"and their like":    {[][]run{{{0, 100}, {1, 90}, {2, 10}, {3, 1000}}}, map[int]int64{0: 9000, 2: 7000}, false, none{0: {0, 2}}},
		"index is no waste": {[][]run{{{0, 20}, {0, 20}, {0, 20}}}, map[int]int64{0: 84 + 3*64}, false, none{}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel(len(tc.runs), Options{})
			age := old
			if tc.young {
				age = time.Minute
			}
			ids := []metastore.SegmentID{m.tier1(age), m.tier1(age), m.tier1(age), m.tier1(age)}
			for i, runs := range tc.runs {
				for _, r := range runs {
					m.add(i, ids[r.segment], r.length)
				}
			}
			for i, n := range tc.waste {
				m.sizes[ids[i]] += n
			}
			m.expect(t, Refill, tc.want)
		})
	}
}

// rewritten does what a job would: the runs of a stretch become one, or several of up to target bytes, in a new segment.
func (m *model) rewritten(job []stretch, target int) (bytes int64) {
	id := m.tier1(0)
	for _, s := range job {
		p := m.parts[s.Partition]
		from := slices.IndexFunc(p.list, func(r metastore.Run) bool { return r.Base == s.from })
		to := slices.IndexFunc(p.list, func(r metastore.Run) bool { return r.End() == s.to })
		sum, offsets := 0, int32(0)
		for _, r := range p.list[from : to+1] {
			sum += int(r.Length)
			offsets += r.Records
		}
		bytes += int64(sum)
		var runs []metastore.Run
		base := s.from
		for sum > 0 {
			n := min(sum, target)
			if m.sizes[id]+int64(n) > int64(target) {
				m.sizes[id] += emptyObject
				id = m.tier1(0)
			}
			run := metastore.Run{Base: base, Records: 1, Segment: id, Position: uint32(m.sizes[id]), Length: uint32(n)}
			if sum -= n; sum == 0 {
				run.Records = offsets
			}
			base, offsets = run.End(), offsets-run.Records
			m.sizes[id] += int64(n) + runInIndex
			runs = append(runs, run)
		}
		seqs := make([]metastore.Seq, len(runs))
		for i, r := range runs {
			seqs[i] = m.seqs[r.Segment]
		}
		p.list = slices.Replace(p.list, from, to+1, runs...)
		p.seqs = slices.Replace(p.seqs, from, to+1, seqs...)
	}
	m.sizes[id] += emptyObject
	return bytes
}

// TestJobsComeToAnEnd: whatever is written, after some jobs there is nothing left to do; by then few runs are left, and
// bytes were written again a few times at most.
func TestJobsComeToAnEnd(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 10 {
		opts := Options{MergeRuns: 4, SmallRun: 16_000, JobBytes: 1 << 20, JobSegments: 1 + rng.IntN(30)}
		const target = 64_000
		m := newModel(1+rng.IntN(10), opts)
		var written, rewritten int64
		most := 1 << (4 + rng.IntN(9))
		for round := range 300 {
			id := m.tier0(0)
			for i := range m.parts {
				if rng.IntN(3) > 0 {
					n := 1 + rng.IntN(most)
					m.add(i, id, n)
					written += int64(n)
				}
				if rng.IntN(5) == 0 {
					m.marker(i, m.now)
					written += metastore.MarkerBytes
				}
			}
			m.now = m.now.Add(time.Duration(rng.IntN(300)) * time.Second)
			if round == 299 {
				m.now = m.now.Add(time.Hour)
			}
			jobs := 0
			for again := true; again; jobs++ {
				again = false
				for _, kind := range kinds {
					if job := m.plan().job(kind); len(job) > 0 {
						rewritten += m.rewritten(job, target)
						again = true
					}
				}
				if jobs > 1000 {
					t.Fatal("jobs come to no end")
				}
				if round == 299 {
					m.now = m.now.Add(20 * time.Minute)
				}
			}
		}
		for i, p := range m.parts {
			// Of each of the levels below SmallRun there are fewer than MergeRuns, and not many more between them.
			var bytes int64
			for _, r := range p.list {
				bytes += int64(r.Length)
			}
			if most := 2*bytes/16_000 + 4*6; int64(len(p.list)) > most {
				t.Errorf("partition %d: %d bytes in %d runs", i, bytes, len(p.list))
			}
		}
		if float64(rewritten) > 7*float64(written) {
			t.Errorf("%d bytes were written, and %d again", written, rewritten)
		}
		t.Logf("%d bytes, written again %.1f times", written, float64(rewritten)/float64(written))
	}
}
