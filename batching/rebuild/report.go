package rebuild

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// Report is what a rebuild used, what it made, and what is lost.
type Report struct {
	DryRun  bool
	Written bool   // the new metastore has the state
	Cluster string // of the new metastore

	LostCluster string
	Index       string        // key of the index object that was used; "" if there was none
	Entry       metastore.Seq // of the lost log: what the index knows ends with it
	IndexTime   time.Time     // when the index was taken, by the lost metastore's clock
	IndexAge    time.Duration
	Skipped     []Damaged // newer index objects that could not be read
	Others      []string  // other clusters that have left index objects or marks in the bucket

	Objects     int64 // in the bucket
	ObjectBytes int64

	Topics     int
	Partitions int
	Runs       int
	Segments   int   // that runs name
	Offsets    int64 // that runs take
	Beyond     int64 // of these, offsets that the index did not know of
	Pieces     int   // runs that are parts of others

	Groups          int64
	GroupOffsets    int64
	TxnCommitted    int // transactions that the index had ongoing, whose end tier-1 objects hold: so it is in all partitions
	TxnAborted      int
	TxnOngoing      int   // that the index had ongoing and nothing tells the end of: they are aborted when they time out
	TxnCut          int64 // ends that are missing beyond the index: aborted there
	ProducerIDsFrom metastore.ProducerID

	Missing        []Missing // as many as Options.MaxFindings
	MissingRanges  int64
	MissingOffsets int64
	Damaged        []Damaged // objects that the index or a footer names, of which runs cannot be used
	Gone           int64     // objects that the index names and that are not there: replaced since, deleted with their records, or lost
	GoneBytes      int64
	Unrecorded     Unrecorded
	Unknown        []UnknownTopic
	Grown          []GrownTopic
	Stale          int64 // runs of tier-1 objects that were not used, because they are of deleted topics or of records given up before
}

// Missing is a range of offsets that a partition had and has not any more.
type Missing struct {
	Topic     string
	Partition int32
	From, To  metastore.Offset // To is the one after the last
	// Deleted says that they are the first ones, which the partition begins behind now: most likely they were deleted since.
	Deleted bool
	// Compacted says that log compaction leaves gaps in the topic, so that there may have been no records.
	Compacted bool
	// GaveWay says that they are there, and gave way to ends of transactions that are missing before them.
	GaveWay bool
}

// Damaged is an object that is not what it should be.
type Damaged struct {
	Key  string
	Size int64
	What string
}

// Unrecorded are objects of tier 0 of which nothing says whether they were committed, nor which offsets they have. Those that
// were rewritten since the index was written, and have not been deleted yet, are among them.
type Unrecorded struct {
	Objects        int64
	Bytes          int64
	Oldest, Newest time.Time // by their names; zero if there are none
}

// UnknownTopic is a topic that tier-1 objects alone know: it was created after the index was written.
type UnknownTopic struct {
	ID         metastore.TopicID
	Partitions int32 // at least
	Runs       int
	Offsets    int64
	Bytes      int64
	As         string // the name under which it is there now; "" if it is not
}

// GrownTopic is a topic that got partitions after the index was written.
type GrownTopic struct {
	Topic    string
	From, To int32
}

// Losses tells whether something is known to be lost.
func (r *Report) Losses() bool {
	unknown := slices.ContainsFunc(r.Unknown, func(u UnknownTopic) bool { return u.As == "" })
	return r.MissingRanges > 0 || len(r.Damaged) > 0 || len(r.Skipped) > 0 || r.Unrecorded.Objects > 0 || r.TxnCut > 0 || unknown || r.Index == ""
}

// addMissing counts a range, and keeps it if there is room.
func (r *Report) addMissing(most int, m Missing) {
	r.MissingRanges++
	r.MissingOffsets += int64(m.To - m.From)
	if len(r.Missing) < most {
		r.Missing = append(r.Missing, m)
	}
}

// done puts lists in order.
func (r *Report) done() *Report {
	slices.SortFunc(r.Missing, func(a, b Missing) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.From, b.From))
	})
	slices.SortFunc(r.Damaged, func(a, b Damaged) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.What, b.What))
	})
	r.Damaged = slices.Compact(r.Damaged)
	slices.SortFunc(r.Unknown, func(a, b UnknownTopic) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	slices.Sort(r.Others)
	r.Others = slices.Compact(r.Others)
	return r
}

// NotRecoverable says what no rebuild brings back.
func (r *Report) NotRecoverable() []string {
	since := "the index was written"
	if r.Index == "" {
		since = "ever"
	}
	list := []string{
		"records that were acknowledged and lie in objects of tier 0 alone, whose commit is not in the index",
		"ends of transactions that are neither in the index nor in tier 1: these transactions are aborted, also where their records come back",
		fmt.Sprintf("offsets that groups committed after %s: they read again what they had read", since),
		"members and assignments of groups: they join anew",
		fmt.Sprintf("topics created, altered or deleted, records deleted and settings altered after %s", since),
		fmt.Sprintf("what idempotent producers wrote after %s, as far as it is lost: restart them, or their next batches are refused as out of order", since),
		fmt.Sprintf("transactional ids that began after %s", since),
	}
	return list
}

// Progress tells others, at any time, how far a rebuild is. The zero value is ready.
type Progress struct {
	stage     atomic.Pointer[string]
	done, all atomic.Int64
}

// Stage is what the rebuild is doing, and how much of it is done, of how much; 0 of 0 if that is not known.
func (p *Progress) Stage() (stage string, done, all int64) {
	if s := p.stage.Load(); s != nil {
		stage = *s
	}
	return stage, p.done.Load(), p.all.Load()
}

func (p *Progress) enter(stage string, all int) {
	p.stage.Store(&stage)
	p.done.Store(0)
	p.all.Store(int64(all))
}

func (p *Progress) step() { p.done.Add(1) }

// reporter lets many goroutines report damage.
type reporter struct {
	mu sync.Mutex
	*Report
	most int
}

func (r *reporter) damage(key string, size int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := (Damaged{key, size, err.Error()}); len(r.Damaged) < r.most && !slices.Contains(r.Damaged, d) {
		r.Damaged = append(r.Damaged, d)
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
