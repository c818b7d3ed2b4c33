package rebuild

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// src is a source of offsets, the older the lower its age: "[" is one of tier 0, "(" one of tier 1.
func src(text string, age int) source {
	var kind rune
	var from, to int64
	if _, err := fmt.Sscanf(text, "%c%d,%d", &kind, &from, &to); err != nil {
		panic(err)
	}
	at := time.UnixMilli(1_790_000_000_000 + int64(age))
	s := source{Run: metastore.Run{Base: metastore.Offset(from), Records: int32(to - from), Segment: metastore.NewSegmentID(at)}}
	if kind == '(' {
		s.Segment = metastore.NewRewrittenID(at)
	}
	return s
}

// sources reads "[0,10 (5,20": the later, the newer.
func sourcesOf(text string) (all []source) {
	for i, one := range strings.Fields(text) {
		all = append(all, src(one, i))
	}
	return all
}

func text(links []link) string {
	var all []string
	for _, l := range links {
		all = append(all, fmt.Sprintf("%d:%d-%d", l.source, l.from, l.to))
	}
	return strings.Join(all, " ")
}

func TestChains(t *testing.T) {
	for _, tt := range []struct {
		name    string
		start   metastore.Offset
		high    metastore.Offset
		known   []span
		sources string
		want    string
	}{
		{"nothing", 0, 0, nil, "", ""},
		{"as the index says", 0, 20, []span{{0, 20}}, "[0,10 [10,20", "0:0-10 1:10-20"},
		{"rewritten since", 0, 20, []span{{0, 20}}, "[0,10 [10,20 (0,15 (15,20", "2:0-15 3:15-20"},
		{"rewritten, and the old ones are gone", 0, 20, []span{{0, 20}}, "(0,15 (15,20", "0:0-15 1:15-20"},
		{"half of a rewrite", 0, 20, []span{{0, 20}}, "[0,10 [10,20 (0,15", "0:0-10 1:10-20"},
		{"the other half, which goes on behind the index", 0, 20, []span{{0, 20}}, "[0,10 [10,20 (15,30", "0:0-10 1:10-15 2:15-30"},
		{"the other half, of what was rewritten before", 0, 20, []span{{0, 20}}, "(0,10 (10,20 (15,30", "0:0-10 1:10-15 2:15-30"},
		{"a run that the log start lies in", 5, 20, []span{{5, 20}}, "[0,10 [10,20", "0:0-10 1:10-20"},
		{"one that lies below it", 10, 20, []span{{10, 20}}, "[0,10 [10,20", "1:10-20"},
		{"one is missing", 0, 30, []span{{0, 30}}, "[0,10 [20,30", "0:0-10 1:20-30"},
		{"less is missing by the older ones", 0, 30, []span{{0, 30}}, "(0,20 [20,30 (15,30", "0:0-20 1:20-30"},
		{"gaps that the index knows cost nothing", 0, 30, []span{{0, 10}, {25, 30}}, "[0,30 (0,10 (25,30", "1:0-10 2:25-30"},
		{"beyond the index, over what is missing there", 0, 10, []span{{0, 10}}, "[0,10 (10,20 (30,40", "0:0-10 1:10-20 2:30-40"},
		{"everything was deleted meanwhile", 0, 10, []span{{0, 10}}, "(90,100", "0:90-100"},
		{"merged twice", 0, 40, []span{{0, 40}}, "[0,10 [10,20 [20,30 [30,40 (0,20 (20,40 (0,40", "6:0-40"},
		{"one of the first merge is lost", 0, 40, []span{{0, 40}}, "[0,10 [10,20 [20,30 [30,40 (20,40", "0:0-10 1:10-20 4:20-40"},
		{"a cut out of the middle", 0, 30, []span{{0, 30}}, "[0,30 (5,10 (30,31", "0:0-30 2:30-31"},
		{"two cuts of one", 0, 30, []span{{0, 30}}, "[10,20 (0,12 (18,30", "1:0-12 0:12-18 2:18-30"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := text(chain(tt.start, &holdings{tt.known, tt.high}, sourcesOf(tt.sources))); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestChainsMissWhatNoSourceHasAlone: where there is any source for an offset, the chain has one.
func TestChainsMissWhatNoSourceHasAlone(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	const end = 14
	for range 3000 {
		should := &holdings{high: metastore.Offset(rng.IntN(end))}
		for at := metastore.Offset(0); at < should.high; {
			from := at + metastore.Offset(rng.IntN(3))
			to := min(from+1+metastore.Offset(rng.IntN(6)), should.high)
			if from < to {
				should.known = append(should.known, span{from, to})
			}
			at = to + 1
		}
		start := metastore.Offset(rng.IntN(4))
		var all []source
		for i := range rng.IntN(8) {
			from := rng.IntN(end)
			kind := "[("[rng.IntN(2)]
			all = append(all, src(fmt.Sprintf("%c%d,%d", kind, from, min(from+1+rng.IntN(7), end)), i))
		}
		links := chain(start, should, all)
		missing, next := int64(0), start
		for i, l := range links {
			s := &all[l.source]
			if l.from < s.Base || l.to > s.End() || l.from >= l.to || i > 0 && l.from < next {
				t.Fatalf("link %+v of %+v in %s of %v", l, s.Run, text(links), all)
			}
			missing += should.within(next, l.from)
			next = l.to
		}
		last := next
		for i := range all {
			if all[i].End() > start {
				last = max(last, all[i].End())
			}
		}
		missing += should.within(next, last)
		want := int64(0)
		for at := start; at < last; at++ {
			if !slices.ContainsFunc(all, func(s source) bool { return s.Base <= at && at < s.End() }) {
				want += should.within(at, at+1)
			}
		}
		if missing != want {
			t.Fatalf("%d are missing in %s, %d have no source; from %d, %+v, sources %v", missing, text(links), want, start, should, all)
		}
	}
}

func TestHoldingsTellWhatIsMissing(t *testing.T) {
	h := &holdings{known: []span{{0, 5}, {7, 9}, {12, 20}}, high: 20}
	for _, tt := range []struct {
		from, to metastore.Offset
		n        int64
		gaps     []span
	}{
		{0, 0, 0, nil}, {0, 20, 15, []span{{0, 5}, {7, 9}, {12, 20}}}, {3, 8, 3, []span{{3, 5}, {7, 8}}}, {5, 7, 0, nil},
		{9, 12, 0, nil}, {19, 25, 6, []span{{19, 25}}}, {20, 25, 5, []span{{20, 25}}}, {22, 25, 3, []span{{22, 25}}}, {8, 21, 10, []span{{8, 9}, {12, 21}}},
	} {
		if n, gaps := h.within(tt.from, tt.to), h.gaps(tt.from, tt.to); n != tt.n || !slices.Equal(gaps, tt.gaps) {
			t.Errorf("%d to %d: %d, %v, want %d, %v", tt.from, tt.to, n, gaps, tt.n, tt.gaps)
		}
	}
}
