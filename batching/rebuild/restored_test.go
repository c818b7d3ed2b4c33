package rebuild

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/metastore"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
)

// restored is a metastore that was made anew, and what a reader of it finds.
type restored struct {
	*world
	meta    *metamemory.Store
	replica *metastore.Replica
	report  *Report
	lossy   bool // objects were lost that something named
	found   map[metastore.TopicPartition]map[metastore.Offset]readBatch
}

type readBatch struct {
	bytes     []byte
	end       metastore.Offset
	producer  metastore.ProducerID
	control   bool
	commits   bool
	transacts bool
}

func (w *world) rebuild(opts Options) *restored {
	w.t.Helper()
	r := &restored{world: w, meta: metamemory.New(metamemory.Options{}), found: make(map[metastore.TopicPartition]map[metastore.Offset]readBatch)}
	opts.Settle = -1
	var err error
	r.report, err = Rebuild(w.t.Context(), r.meta, w.objects, opts)
	w.must(err)
	r.replica = metastore.NewReplica(r.meta, metastore.ReplicaOptions{})
	w.must(r.replica.Open(w.t.Context()))
	// What the index had ongoing and nothing told the end of is aborted, as the reaper does in time.
	r.replica.Transactions(func(x *metastore.Transaction) bool {
		if x.State == metastore.TxnOngoing {
			results, err := r.replica.Transact(w.t.Context(), []metastore.TxnRequest{metastore.AbortTxn{ID: x.ID, Number: x.Number}})
			w.must(err)
			w.must(results[0].Err)
		}
		return true
	})
	for _, t := range r.replica.Topics() {
		for i := range t.Partitions {
			r.read(metastore.TopicPartition{Topic: t.ID, Partition: i})
		}
	}
	return r
}

// read reads all of a partition.
func (r *restored) read(tp metastore.TopicPartition) {
	r.t.Helper()
	marks, _ := r.replica.Watermarks(tp)
	_, runs, err := r.replica.Runs(tp, marks.LogStart, 1<<40)
	r.must(err)
	all := make(map[metastore.Offset]readBatch)
	next := metastore.Offset(0)
	for i := range runs {
		run := &runs[i]
		if run.Base < next {
			r.t.Errorf("%s: a run begins at %d, the one before ends at %d", tp, run.Base, next)
		}
		next = run.End()
		if run.Marker != nil {
			all[run.Base] = readBatch{end: run.End(), producer: run.Marker.Producer, control: true, commits: run.Marker.Commit}
			continue
		}
		err := eachBatch(r.t.Context(), r.objects, &source{Run: *run, indexed: true}, func(b *batch) error {
			if b.end() <= marks.LogStart {
				return nil
			}
			is := readBatch{bytes: slices.Clone(b.bytes), end: b.end(), producer: metastore.ProducerID(b.ProducerID), control: b.Control(), transacts: b.Transactional()}
			if b.Control() {
				is.commits, _ = commits(b)
			}
			all[b.offset] = is
			return nil
		})
		r.must(err)
	}
	if marks.Stable != marks.High || next > marks.High || next < marks.High && marks.LogStart < marks.High {
		r.t.Errorf("%s: watermarks %+v, its runs end at %d", tp, marks, next)
	}
	r.found[tp] = all
}

// wanted tells whether a batch must be there: an object of tier 1 has it, or one whose commit the index knows.
func (r *restored) wanted(tp metastore.TopicPartition, e *entry) bool {
	marks, known := r.index.marks[tp]
	if known && e.end <= marks.LogStart {
		return false
	}
	indexed := func(id *metastore.SegmentID) bool {
		return slices.ContainsFunc(r.index.runs[tp], func(run metastore.Run) bool {
			return run.Base <= e.offset && e.offset < run.End() && (id == nil && run.Marker != nil || id != nil && run.Segment == *id)
		})
	}
	if e.control && indexed(nil) {
		return true
	}
	for id, holds := range r.holds {
		// What else an object has that the index names was deleted or replaced before.
		if holds[e] && (id.Tier() == 1 && !r.named(id) || indexed(&id)) {
			return true
		}
	}
	return false
}

// named tells whether the index names an object.
func (r *restored) named(id metastore.SegmentID) bool {
	for _, runs := range r.index.runs {
		if slices.ContainsFunc(runs, func(run metastore.Run) bool { return run.Segment == id }) {
			return true
		}
	}
	return false
}

func (r *restored) isMissing(tp metastore.TopicPartition, from, to metastore.Offset) bool {
	t, ok := r.replica.TopicByID(tp.Topic)
	return ok && slices.ContainsFunc(r.report.Missing, func(m Missing) bool {
		return m.Topic == t.Name && m.Partition == tp.Partition && m.From < to && from < m.To
	})
}

func (r *restored) gaveWay(tp metastore.TopicPartition, e *entry) bool {
	t, ok := r.replica.TopicByID(tp.Topic)
	return ok && slices.ContainsFunc(r.report.Missing, func(m Missing) bool {
		return m.GaveWay && m.Topic == t.Name && m.Partition == tp.Partition && m.From < e.end && e.offset < m.To
	})
}

// check compares what is read with what must be there.
func (r *restored) check() {
	r.t.Helper()
	r.checkStores()
	for tp, log := range r.logs {
		if _, there := r.found[tp]; !there {
			if _, known := r.index.marks[tp]; known {
				r.t.Errorf("%s is not there", tp)
			}
			continue
		}
		r.checkBatches(tp, log)
	}
	for tp := range r.found {
		r.checkCommitted(tp)
	}
	r.checkOffsets()
	r.checkProducers()
}

// checkStores: bucket and metastore agree, but for what the report says is missing.
func (r *restored) checkStores() {
	r.t.Helper()
	report, err := fsck.Check(r.t.Context(), r.meta, r.objects, fsck.Options{Deep: true})
	r.must(err)
	for _, f := range report.Findings {
		switch missing := r.report.MissingRanges > 0; {
		case f.Kind == fsck.CorruptObject && slices.ContainsFunc(r.report.Damaged, func(d Damaged) bool { return d.Key == f.Key }):
		case f.Kind.Severity() == fsck.Warning, missing && f.Kind == fsck.Gap, missing && f.Kind == fsck.ProducerMismatch:
		default:
			r.t.Errorf("fsck: %s: %s %s %v", f.Kind, f.Key, f.Detail, f.Affects)
		}
	}
}

// checkBatches: what must be there is there, and nothing else, at its offset.
func (r *restored) checkBatches(tp metastore.TopicPartition, log []*entry) {
	r.t.Helper()
	marks, _ := r.replica.Watermarks(tp)
	was := r.index.marks[tp]
	if marks.High < was.High || marks.LogStart < was.LogStart {
		r.t.Errorf("%s: watermarks %+v, by the index %+v", tp, marks, was)
	}
	t, _ := r.replica.TopicByID(tp.Topic)
	for _, m := range r.report.Missing {
		if m.Topic == t.Name && m.Partition == tp.Partition && m.Deleted && marks.LogStart < m.To {
			r.t.Errorf("%s begins at %d, and %+v", tp, marks.LogStart, m)
		}
	}
	known := make(map[metastore.Offset]bool)
	for _, e := range log {
		is, there := r.found[tp][e.offset]
		known[e.offset] = true
		switch wanted := r.wanted(tp, e); {
		case !there && e.cleaned:
		case !there && wanted && !r.lossy && !r.gaveWay(tp, e), !there && wanted && e.offset >= marks.LogStart && !r.isMissing(tp, e.offset, e.end):
			r.t.Errorf("%s: the batch at %d is not there", tp, e.offset)

		case !there && e.offset >= max(marks.LogStart, was.LogStart) && e.offset < marks.High && !r.isMissing(tp, e.offset, e.end):
			r.t.Errorf("%s: the batch at %d is missing, and the report does not say so", tp, e.offset)
		case !there:
		case is.bytes == nil && !is.control, is.bytes != nil && !sameBatch(is.bytes, e.bytes):
			if !(is.control && r.isMissing(tp, e.offset, e.end)) && e.offset < was.High || e.end != is.end {
				r.t.Errorf("%s: the batch at %d is another", tp, e.offset)
			}
		case is.control && is.bytes == nil && e.control && (is.producer != e.producer || is.commits != e.txn.commit) && wanted && !r.isMissing(tp, e.offset, e.end):
			r.t.Errorf("%s: the end of a transaction at %d is %+v, was %+v", tp, e.offset, is, e.txn)
		}
	}
	for offset, is := range r.found[tp] {
		if !known[offset] && !is.control {
			r.t.Errorf("%s: a batch at %d that never was", tp, offset)
		}
	}
}

// checkCommitted reads as a consumer does that wants what is committed.
func (r *restored) checkCommitted(tp metastore.TopicPartition) {
	r.t.Helper()
	marks, _ := r.replica.Watermarks(tp)
	_, _, aborted, err := r.replica.CommittedRuns(tp, marks.LogStart, 1<<40)
	r.must(err)
	slices.SortFunc(aborted, func(a, b metastore.AbortedTxn) int { return int(a.First - b.First) })
	skipped := make(map[metastore.ProducerID]bool)
	shown := make(map[metastore.Offset]bool)
	for _, offset := range slices.Sorted(maps.Keys(r.found[tp])) {
		is := r.found[tp][offset]
		for len(aborted) > 0 && aborted[0].First < is.end {
			skipped[aborted[0].Producer] = true
			aborted = aborted[1:]
		}
		if is.control {
			if !is.commits {
				delete(skipped, is.producer)
			}
			continue
		}
		shown[offset] = !(is.transacts && skipped[is.producer])
	}
	for _, e := range r.logs[tp] {
		is, there := r.found[tp][e.offset]
		if !there || is.control || e.control {
			continue
		}
		committed := e.txn == nil || e.txn.ended && e.txn.commit
		if shown[e.offset] && !committed {
			r.t.Errorf("%s: the batch at %d is shown, and its transaction was not committed: %+v", tp, e.offset, e.txn.version)

		}
		if !shown[e.offset] && committed && (e.txn == nil || r.told(tp, e)) {
			r.t.Errorf("%s: the batch at %d is hidden, and its transaction was committed: %+v", tp, e.offset, e.txn.version)

		}
	}
}

// told tells whether what is left says how a transaction ended: the index did, or its end in the partition is there, and
// nothing is missing before it; or, if each transaction has an epoch of its own, in another partition.
func (r *restored) told(tp metastore.TopicPartition, of *entry) bool {
	was, known := r.index.marks[tp]
	x := of.txn
	if r.index.ended[x] {
		return known
	}
	_, ongoing := r.index.held[x]
	if x.version == 1 { // what was written since may be of the next transaction
		ongoing = ongoing && slices.ContainsFunc(r.logs[tp], func(e *entry) bool { return e.txn == x && e.offset < was.High }) &&
			!r.isMissing(tp, was.High, max(of.offset, was.High))
	}
	for q := range x.writes {
		if (q == tp || x.version == 2) && r.toldIn(q, x, false) || ongoing && r.toldIn(q, x, true) {
			return true
		}
	}
	return false
}

// toldIn tells whether the end of a transaction is in a partition, with nothing missing before it. open: and the index had it
// open there.
func (r *restored) toldIn(tp metastore.TopicPartition, x *txn, open bool) bool {
	first := metastore.NoOffset
	for _, e := range r.logs[tp] {
		_, there := r.found[tp][e.offset]
		if e.txn == x && !e.control && first == metastore.NoOffset && (there || e.offset < r.index.marks[tp].High) {
			first = e.offset
		}
		if e.txn == x && e.control {
			wasOpen := first < r.index.marks[tp].High
			return there && r.wanted(tp, e) && first != metastore.NoOffset && (wasOpen || !open) && !r.isMissing(tp, max(first, r.index.marks[tp].High), e.offset)
		}
	}
	return false
}

func (r *restored) checkOffsets() {
	r.t.Helper()
	want := make(map[string]map[metastore.TopicPartition][]metastore.Offset) // those that may be
	for group, of := range r.index.of {
		want[group] = make(map[metastore.TopicPartition][]metastore.Offset)
		for tp, at := range of {
			want[group][tp] = []metastore.Offset{at}
		}
	}
	for _, c := range r.clients {
		for x, held := range r.index.held {
			if x.ended && x.commit && (x == c.open || r.isOf(x, c)) {
				told := false
				for tp := range x.writes {
					told = told || r.toldIn(tp, x, true)
				}
				group := "of-" + c.id
				if want[group] == nil {
					want[group] = make(map[metastore.TopicPartition][]metastore.Offset)
				}
				for tp, at := range held {
					if _, known := r.index.marks[tp]; !known {
						continue // it was deleted
					}
					if told {
						want[group][tp] = []metastore.Offset{at}
					} else if len(want[group][tp]) > 0 {
						want[group][tp] = append(want[group][tp], at)
					} else {
						want[group][tp] = []metastore.Offset{at, metastore.NoOffset}
					}
				}
			}
		}
	}
	for group, of := range want {
		got, err := r.meta.FetchOffsets(r.t.Context(), group, nil)
		r.must(err)
		is := make(map[metastore.TopicPartition]metastore.Offset)
		for _, o := range got {
			is[o.TopicPartition] = o.Offset
		}
		for tp, may := range of {
			at, ok := is[tp]
			if !ok {
				at = metastore.NoOffset
			}
			if !slices.Contains(may, at) {
				r.t.Errorf("group %s has offset %d in %s, may be %v", group, at, tp, may)
			}
			delete(is, tp)
		}
		if len(is) > 0 {
			r.t.Errorf("group %s has offsets that it had not: %v", group, is)
		}
	}
}

// isOf tells whether a transaction is one of a client's producer.
func (r *restored) isOf(x *txn, c *client) bool {
	for _, log := range r.logs {
		for _, e := range log {
			if e.txn == x && e.producer == c.producer {
				return true
			}
		}
	}
	return false
}

// checkProducers: a batch that is there and comes again is known, what is new goes behind it, and ids are fresh.
func (r *restored) checkProducers() {
	r.t.Helper()
	id, err := r.replica.NextProducerID(context.Background())
	r.must(err)
	for _, c := range r.clients {
		if id <= c.producer {
			r.t.Errorf("producer id %d is given again", id)
		}
		if c.id != "" {
			r.checkFences(c)
			continue
		}
		for tp, last := range c.last {
			if is, there := r.found[tp][last.entry.offset]; !there || is.control {
				continue
			}
			got := r.commit(tp, metastore.BatchCommit{Length: uint32(len(last.entry.bytes)), Records: int32(last.entry.end - last.entry.offset),
				ProducerID: c.producer, ProducerEpoch: c.epoch, BaseSequence: last.sequence})
			if got.Verdict != metastore.Duplicate || got.Offset != last.entry.offset {
				r.t.Errorf("%s: the batch at %d came again: %+v", tp, last.entry.offset, got)
			}
		}
	}
	for tp := range r.found {
		marks, _ := r.replica.Watermarks(tp)
		if got := r.commit(tp, metastore.BatchCommit{Length: 100, Records: 1, ProducerID: metastore.NoProducerID}); got.Verdict != metastore.Accepted || got.Offset != marks.High {
			r.t.Errorf("%s: a new batch: %+v, the partition ended at %d", tp, got, marks.High)
		}
	}
}

// checkFences: a producer that begins anew has a newer epoch than whatever the producer before it is known to have had.
func (r *restored) checkFences(c *client) {
	r.t.Helper()
	if _, known := r.replica.Transaction(c.id); !known {
		return // it began after the index
	}
	fresh, err := r.replica.NextProducerID(r.t.Context())
	r.must(err)
	results, err := r.replica.Transact(r.t.Context(), []metastore.TxnRequest{metastore.InitTxn{ID: c.id, Timeout: time.Minute, Producer: metastore.NoProducerID, Epoch: -1, Fresh: fresh}})
	r.must(err)
	r.must(results[0].Err)
	for tp, log := range r.logs {
		for _, e := range log {
			if is, there := r.found[tp][e.offset]; there && sameBatch(is.bytes, e.bytes) && e.producer == results[0].Producer && e.epoch >= results[0].Epoch {
				r.t.Errorf("%s has epoch %d, and wrote with %d", c.id, results[0].Epoch, e.epoch)
			}
		}
	}
}

func (r *restored) commit(tp metastore.TopicPartition, b metastore.BatchCommit) metastore.BatchResult {
	r.t.Helper()
	results, err := r.replica.Commit(r.t.Context(), []metastore.SegmentCommit{{ID: metastore.NewSegmentID(time.Now()), Size: 1000,
		Runs: []metastore.RunCommit{{TopicPartition: tp, Batches: []metastore.BatchCommit{b}}}}})
	r.must(err)
	return results[0].Runs[0][0]
}

// play makes a random history with an index in it.
func (w *world) play(steps int, lossy bool) {
	at := w.rng.IntN(steps)
	for i := range steps {
		if i == at || i < at && w.rng.IntN(30) == 0 {
			w.writeIndex()
		}
		switch n := w.rng.IntN(100); {
		case n < 45:
			w.write()
		case n < 62:
			w.endTxn(w.clients[w.rng.IntN(4)])
		case n < 65:
			w.init(w.clients[w.rng.IntN(4)])
		case n < 70:
			w.holdOffset(w.clients[w.rng.IntN(4)])
		case n < 75:
			w.commitOffset(fmt.Sprint("group-", w.rng.IntN(3)))
		case n < 90:
			w.rewrite()
		case n < 92:
			w.deleteRecords()
		case n < 94:
			w.createTopic()
		case n < 95:
			w.growTopic()
		case n < 96:
			w.deleteTopic()
		case n < 98:
			w.collect(1)
		case lossy:
			w.lose()
		}
	}
}

func TestARebuiltMetastoreServesWhatIsLeft(t *testing.T) {
	base := uint64(time.Now().UnixNano())
	if text := os.Getenv("RUNNEL_REBUILD_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		base = seed
	}
	for i := range uint64(60) {
		seed := base + i
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed)
			lossy := w.rng.IntN(3) == 0
			w.play(20+w.rng.IntN(120), lossy)
			r := w.rebuild(Options{RecoverUnknown: w.rng.IntN(2) == 0, MaxFindings: 1 << 20})
			r.lossy = lossy
			r.check()
		})
		if !ok {
			break
		}
	}
}
