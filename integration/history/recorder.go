package history

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Recorder collects a history. All methods may run concurrently.
type Recorder struct {
	now func() time.Duration

	mu         sync.Mutex
	seq        int64
	operations []*Operation
	pipelines  []Pipeline
	topics     []Topic
	start      int64
	ahead      time.Duration
	behind     time.Duration
	trailing   time.Duration
}

// NewRecorder returns a recorder. now is the time since the start of the run.
func NewRecorder(now func() time.Duration) *Recorder { return &Recorder{now: now} }

// Moment returns the moment of the call.
func (r *Recorder) Moment() Moment {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.moment()
}

func (r *Recorder) moment() Moment {
	r.seq++
	return Moment{Seq: r.seq, At: r.now()}
}

// Begin notes that an operation begins. Until End its outcome is Unknown. The caller owns what it returns, and writes it no
// more after End.
func (r *Recorder) Begin(o Operation) *Operation {
	o.Outcome = Unknown
	r.mu.Lock()
	defer r.mu.Unlock()
	o.Begun = r.moment()
	r.operations = append(r.operations, &o)
	return &o
}

// End notes that an operation ended.
func (r *Recorder) End(o *Operation, outcome Outcome, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o.Ended = r.moment()
	o.Outcome = outcome
	if err != nil {
		o.Error = err.Error()
	}
}

// Happened notes an operation without duration, such as a fault.
func (r *Recorder) Happened(o Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o.Begun = r.moment()
	o.Ended = o.Begun
	o.Outcome = cmp.Or(o.Outcome, OK)
	r.operations = append(r.operations, &o)
}

// Pipeline names an exactly-once pipeline of the workload.
func (r *Recorder) Pipeline(p Pipeline) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pipelines = append(r.pipelines, p)
}

// Topic names a topic that loses records by its settings.
func (r *Recorder) Topic(t Topic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.topics = append(r.topics, t)
}

// Clock tells the time on the clock of the Timestamps of records.
func (r *Recorder) Clock(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.start = now.UnixMilli() - r.now().Milliseconds()
}

// Trails says how long brokers may go by settings of topics that are others already.
func (r *Recorder) Trails(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trailing = d
}

// Jumps says that the clock that the cluster goes by may be set forward by so much at some time, or back if d is negative, and
// then set right. From back to forward it is both, though they come one after the other: what was dated then is older by both.
func (r *Recorder) Jumps(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ahead, r.behind = max(r.ahead, d), max(r.behind, -d)
}

// History returns what was recorded, once whoever records has stopped.
func (r *Recorder) History(seed uint64) *History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := &History{Seed: seed, Pipelines: slices.Clone(r.pipelines), Topics: slices.Clone(r.topics), Start: r.start, Ahead: r.ahead, Trailing: r.trailing, Gains: r.ahead + r.behind}
	h.Operations = make([]Operation, 0, len(r.operations))
	for _, o := range r.operations {
		h.Operations = append(h.Operations, *o)
	}
	slices.SortFunc(h.Operations, func(a, b Operation) int { return cmp.Compare(a.Begun.Seq, b.Begun.Seq) })
	return h
}
