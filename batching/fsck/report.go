package fsck

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// Report is what a check has seen and found.
type Report struct {
	Position metastore.Position // of the log: the report tells of everything up to it
	Snapshot metastore.Position // zero if there is none
	At       time.Time          // by the metastore's clock
	Deep     bool

	Entries    int64 // of the log, whose place in the chain was checked
	Topics     int
	Partitions int
	Runs       int // with an object
	Markers    int // ends of transactions: runs without an object
	Segments   int // that runs name
	Rewritten  int // of these, those of tier 1
	Groups     int
	Offsets    int // of groups
	Txns       int // transactional ids

	Objects     int64 // in the bucket
	ObjectBytes int64
	Marks       int64 // among the objects: what brokers of this cluster say that they have seen of the log
	Indexes     int64 // among the objects: copies of what this cluster's metastore knows
	Checked     int64 // objects that were there and were looked at
	BytesRead   int64
	Batches     int64 // with Deep
	Records     int64 // with Deep

	InFlight       int64 // objects that the log does not know and may come to know: they may be committed yet
	CommittedSince int64 // objects that were committed since Position; they were not looked at
	OrphanBytes    int64
	Garbage        int64 // objects that no run names any more, and that are deleted after their grace
	GarbageBytes   int64

	// Counts has how many findings there are of each kind; Findings has those in full, as many of each kind as
	// Options.MaxFindings.
	Counts   map[Kind]int64
	Findings []Finding
	// Unjudged says what could not be told because of other findings.
	Unjudged []string
}

// Errors is how many findings mean that records are lost, damaged or in doubt.
func (r *Report) Errors() int64 { return r.count(Error) }

// Warnings is how many findings harm no record.
func (r *Report) Warnings() int64 { return r.count(Warning) }

func (r *Report) count(of Severity) (n int64) {
	for kind, count := range r.Counts {
		if kind.Severity() == of {
			n += count
		}
	}
	return n
}

// reporter gathers findings from many goroutines.
type reporter struct {
	opts Options
	mu   sync.Mutex
	Report
}

func newReporter(opts Options) *reporter {
	return &reporter{opts: opts, Report: Report{Deep: opts.Deep, Counts: make(map[Kind]int64)}}
}

func (r *reporter) add(f Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Counts[f.Kind]++; r.Counts[f.Kind] <= int64(r.opts.MaxFindings) {
		r.Findings = append(r.Findings, f)
	}
	r.opts.Progress.found.Add(1)
}

func (r *reporter) unjudged(what string) { r.Unjudged = append(r.Unjudged, what) }

// seen counts one object that was looked at.
func (r *reporter) seen(l look) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Checked++
	r.BytesRead += l.bytes
	r.Batches += l.batches
	r.Records += l.records
}

// done orders the findings: by kind, and by key within it.
func (r *reporter) done() *Report {
	order := make(map[Kind]int)
	for i, k := range Kinds() {
		order[k] = i
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		if c := order[a.Kind] - order[b.Kind]; c != 0 {
			return c
		}
		return strings.Compare(a.Key, b.Key)
	})
	return &r.Report
}

// Progress tells others, at any time, how far a check is. The zero value is ready.
type Progress struct {
	stage                           atomic.Pointer[string]
	checked, segments, bytes, found atomic.Int64
}

// Stage is what the check is doing.
func (p *Progress) Stage() string {
	if s := p.stage.Load(); s != nil {
		return *s
	}
	return ""
}

// Objects is how many objects were looked at, of how many that the log names, and how many bytes of them were read.
func (p *Progress) Objects() (checked, of, bytes int64) {
	return p.checked.Load(), p.segments.Load(), p.bytes.Load()
}

// Found is how many findings there are so far.
func (p *Progress) Found() int64 { return p.found.Load() }

func (p *Progress) enter(stage string) { p.stage.Store(&stage) }
