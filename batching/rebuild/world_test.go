package rebuild

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/index"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
)

// world is a cluster that will lose its metastore, and a naive model of what it holds: every batch by its offset, what became of
// its transaction, and which objects have it.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	meta    *metamemory.Store
	objects *objmemory.Store
	replica *metastore.Replica

	topics  []*metastore.Topic
	deleted map[metastore.TopicID]bool
	logs    map[metastore.TopicPartition][]*entry
	holds   map[metastore.SegmentID]map[*entry]bool // objects in the bucket, by what lies in them
	clients []*client
	offsets map[string]map[metastore.TopicPartition]metastore.Offset // committed by groups
	made    int
	untimed bool // records have no timestamps

	index indexed
}

// entry is one batch of a partition.
type entry struct {
	offset, end metastore.Offset
	bytes       []byte // as the producer sent it, or as an end of a transaction is read
	producer    metastore.ProducerID
	epoch       metastore.ProducerEpoch
	txn         *txn // nil: of none
	control     bool
	cleaned     bool // log compaction took it out of a rewrite
	stored      time.Time
}

// txn is a transaction of a client.
type txn struct {
	version int8
	ended   bool
	commit  bool
	writes  map[metastore.TopicPartition]bool
	offsets map[metastore.TopicPartition]metastore.Offset
}

// client is a producer.
type client struct {
	id       string // transactional, "" if it has none
	producer metastore.ProducerID
	epoch    metastore.ProducerEpoch
	version  int8
	next     map[metastore.TopicPartition]int32 // sequences
	open     *txn
	last     map[metastore.TopicPartition]sent
}

// sent is the last batch of a client.
type sent struct {
	entry    *entry
	sequence int32
}

// indexed is what was known when the last index object was written.
type indexed struct {
	marks map[metastore.TopicPartition]metastore.Watermarks
	runs  map[metastore.TopicPartition][]metastore.Run
	ended map[*txn]bool
	held  map[*txn]map[metastore.TopicPartition]metastore.Offset // of those that are ongoing
	of    map[string]map[metastore.TopicPartition]metastore.Offset
	at    metastore.Position
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), meta: metamemory.New(metamemory.Options{}), objects: objmemory.New(),
		deleted: make(map[metastore.TopicID]bool), logs: make(map[metastore.TopicPartition][]*entry),
		holds: make(map[metastore.SegmentID]map[*entry]bool), offsets: make(map[string]map[metastore.TopicPartition]metastore.Offset),
	}
	w.replica = metastore.NewReplica(w.meta, metastore.ReplicaOptions{})
	w.must(w.replica.Open(t.Context()))
	for range 2 {
		w.createTopic()
	}
	for i := range 5 {
		c := &client{version: int8(1 + i%2), next: make(map[metastore.TopicPartition]int32), last: make(map[metastore.TopicPartition]sent)}
		if i < 4 {
			c.id = fmt.Sprint("txn-", i)
			w.init(c)
		} else {
			id, err := w.replica.NextProducerID(t.Context())
			w.must(err)
			c.producer, c.version = id, 0
		}
		w.clients = append(w.clients, c)
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) transact(r metastore.TxnRequest) metastore.TxnResult {
	w.t.Helper()
	results, err := w.replica.Transact(w.t.Context(), []metastore.TxnRequest{r})
	w.must(err)
	w.must(results[0].Err)
	return results[0]
}

// init gives a transactional client an epoch; what it has open is aborted.
func (w *world) init(c *client) {
	fresh, err := w.replica.NextProducerID(w.t.Context())
	w.must(err)
	before, _ := w.replica.Transaction(c.id)
	r := w.transact(metastore.InitTxn{ID: c.id, Timeout: time.Minute, Producer: metastore.NoProducerID, Epoch: -1, Fresh: fresh})
	w.markers(c, before.Epoch+1, false)
	c.producer, c.epoch = r.Producer, r.Epoch
	clear(c.next)
	clear(c.last)
}

// markers notes the end of what a client has open, where the log says that it is.
func (w *world) markers(c *client, epoch metastore.ProducerEpoch, commit bool) {
	if c.open == nil {
		return
	}
	for tp := range c.open.writes {
		if w.deleted[tp.Topic] {
			continue
		}
		marks, _ := w.replica.Watermarks(tp)
		_, runs, err := w.replica.Runs(tp, w.end(tp), 1<<30)
		w.must(err)
		if len(runs) != 1 || runs[0].Marker == nil || runs[0].Marker.Producer != c.producer || runs[0].Marker.Epoch != epoch || runs[0].End() != marks.High {
			w.t.Fatalf("%s: %d runs after the end of a transaction, up to %d", tp, len(runs), marks.High)
		}
		w.logs[tp] = append(w.logs[tp], &entry{
			offset: runs[0].Base, end: runs[0].End(), producer: c.producer, epoch: epoch, txn: c.open, control: true,
			bytes: recordbatch.Marker{ProducerID: int64(c.producer), ProducerEpoch: int16(epoch), Commit: commit, Timestamp: runs[0].MaxTimestamp}.Append(nil),
		})
	}
	c.open.ended, c.open.commit = true, commit
	if commit {
		for tp, at := range c.open.offsets {
			w.setOffset("of-"+c.id, tp, at)
		}
	}
	c.open = nil
}

func (w *world) setOffset(group string, tp metastore.TopicPartition, at metastore.Offset) {
	if w.deleted[tp.Topic] {
		return
	}
	if w.offsets[group] == nil {
		w.offsets[group] = make(map[metastore.TopicPartition]metastore.Offset)
	}
	w.offsets[group][tp] = at
}

func (w *world) end(tp metastore.TopicPartition) metastore.Offset {
	if log := w.logs[tp]; len(log) > 0 {
		return log[len(log)-1].end
	}
	return 0
}

func (w *world) createTopic() {
	w.made++
	of := metastore.NewTopic{Name: fmt.Sprint("topic-", w.made), Partitions: 2, ReplicationFactor: 1}
	if w.rng.IntN(3) == 0 {
		of.Configs = map[string]string{"cleanup.policy": "compact"}
	}
	topic, err := w.replica.CreateTopic(w.t.Context(), of)
	w.must(err)
	w.topics = append(w.topics, topic)
}

func (w *world) anyPartition() metastore.TopicPartition {
	t := w.topics[w.rng.IntN(len(w.topics))]
	return metastore.TopicPartition{Topic: t.ID, Partition: w.rng.Int32N(t.Partitions)}
}

// begin makes sure that a transactional client may write to a partition.
func (w *world) begin(c *client, tp metastore.TopicPartition) {
	if c.open == nil {
		c.open = &txn{version: c.version, writes: make(map[metastore.TopicPartition]bool), offsets: make(map[metastore.TopicPartition]metastore.Offset)}
	}
	if c.version == 1 && !c.open.writes[tp] {
		x, _ := w.replica.Transaction(c.id)
		w.transact(metastore.AddToTxn{ID: c.id, Producer: c.producer, Epoch: c.epoch, Partitions: []metastore.TopicPartition{tp}, Number: x.Number})
	}
	c.open.writes[tp] = true
}

// end ends what a client has open.
func (w *world) endTxn(c *client) {
	if c.open == nil {
		return
	}
	x, _ := w.replica.Transaction(c.id)
	commit := w.rng.IntN(3) > 0
	r := w.transact(metastore.EndTxn{ID: c.id, Producer: c.producer, Epoch: c.epoch, Commit: commit, Version: c.version, Number: x.Number, Fresh: metastore.NoProducerID})
	epoch := c.epoch
	if c.version == 2 {
		epoch++
		clear(c.next)
		clear(c.last)
	}
	w.markers(c, epoch, commit)
	c.producer, c.epoch = r.Producer, r.Epoch
}

// holdOffset keeps an offset of a group in a transaction.
func (w *world) holdOffset(c *client) {
	if c.open == nil || c.version != 2 {
		return
	}
	tp := w.anyPartition()
	claimed, err := w.meta.ClaimGroup(w.t.Context(), "of-"+c.id, 1)
	w.must(err)
	x, _ := w.replica.Transaction(c.id)
	at := metastore.Offset(w.rng.IntN(1000))
	w.transact(metastore.CommitTxnOffsets{ID: c.id, Producer: c.producer, Epoch: c.epoch, Group: "of-" + c.id, Claim: claimed.Epoch, Implicit: true, Number: x.Number,
		Offsets: []metastore.CommittedOffset{w.committed(tp, at)}})
	c.open.offsets[tp] = at
}

func (w *world) committed(tp metastore.TopicPartition, at metastore.Offset) metastore.CommittedOffset {
	t, _ := w.replica.TopicByID(tp.Topic)
	return metastore.CommittedOffset{TopicPartition: tp, TopicName: t.Name, Offset: at, LeaderEpoch: -1, CommittedAt: time.UnixMilli(1_790_000_000_000)}
}

func (w *world) commitOffset(group string) {
	tp, at := w.anyPartition(), metastore.Offset(w.rng.IntN(1000))
	claimed, err := w.meta.ClaimGroup(w.t.Context(), group, 1)
	w.must(err)
	w.must(w.meta.CommitOffsets(w.t.Context(), group, claimed.Epoch, []metastore.CommittedOffset{w.committed(tp, at)}))
	w.setOffset(group, tp, at)
}

// batch makes the next batch of a client.
func (w *world) batch(c *client, tp metastore.TopicPartition) (segment.Batch, *entry) {
	w.made++
	n := 1 + w.rng.IntN(3)
	records := make([]recordbatch.Record, n)
	for i := range records {
		records[i] = recordbatch.Record{Timestamp: 1000 + int64(w.made), Value: fmt.Appendf(nil, "record %d.%d", w.made, i)}
		if w.untimed {
			records[i].Timestamp = -1
		}
	}
	o := recordbatchtest.Options{ProducerID: int64(c.producer), ProducerEpoch: int16(c.epoch), BaseSequence: c.next[tp], Transactional: c.id != ""}
	e := &entry{producer: c.producer, epoch: c.epoch, txn: c.open, bytes: recordbatchtest.Encode(records, o), stored: time.Now()}
	h, err := recordbatch.ParseHeader(e.bytes)
	w.must(err)
	c.last[tp] = sent{e, c.next[tp]}
	c.next[tp] += int32(n)
	return segment.Batch{Bytes: e.bytes, Records: h.Records, MaxTimestamp: h.MaxTimestamp, ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch, BaseSequence: h.BaseSequence}, e
}

// write uploads a segment with a few batches, and commits it.
func (w *world) write() {
	parts, entries := make(map[metastore.TopicPartition]*segment.Part), make(map[metastore.TopicPartition][]*entry)
	for range 1 + w.rng.IntN(5) {
		tp := w.anyPartition()
		c := w.clients[w.rng.IntN(len(w.clients))]
		if c.id != "" {
			w.begin(c, tp)
		}
		b, e := w.batch(c, tp)
		if parts[tp] == nil {
			parts[tp] = &segment.Part{Topic: tp.Topic, Partition: tp.Partition}
		}
		parts[tp].Batches = append(parts[tp].Batches, b)
		entries[tp] = append(entries[tp], e)
	}
	var all []segment.Part
	for _, p := range parts {
		all = append(all, *p)
	}
	id := metastore.NewSegmentID(time.Now())
	object, x, err := segment.Assemble(id, id.Time(), all)
	w.must(err)
	w.must(w.objects.Put(w.t.Context(), segment.Key(id), object))
	commit := metastore.SegmentCommit{ID: id, Size: x.Size}
	for _, run := range x.Runs {
		tp := metastore.TopicPartition{Topic: run.Topic, Partition: run.Partition}
		in := metastore.RunCommit{TopicPartition: tp, Position: run.Position}
		for i, b := range parts[tp].Batches {
			in.Batches = append(in.Batches, metastore.BatchCommit{
				Length: uint32(len(b.Bytes)), Records: b.Records, MaxTimestamp: b.MaxTimestamp, ProducerID: metastore.ProducerID(b.ProducerID),
				ProducerEpoch: metastore.ProducerEpoch(b.ProducerEpoch), BaseSequence: b.BaseSequence, Transactional: entries[tp][i].txn != nil,
				Implicit: entries[tp][i].txn != nil && entries[tp][i].txn.version == 2,
			})
		}
		commit.Runs = append(commit.Runs, in)
	}
	results, err := w.replica.Commit(w.t.Context(), []metastore.SegmentCommit{commit})
	w.must(err)
	w.holds[id] = make(map[*entry]bool)
	for i, run := range commit.Runs {
		for j, r := range results[0].Runs[i] {
			e := entries[run.TopicPartition][j]
			if r.Verdict != metastore.Accepted {
				w.t.Fatalf("batch of producer %d, epoch %d: verdict %d", e.producer, e.epoch, r.Verdict)
			}
			e.offset, e.end = r.Offset, r.Offset+metastore.Offset(run.Batches[j].Records)
			w.logs[run.TopicPartition] = append(w.logs[run.TopicPartition], e)
			w.holds[id][e] = true
		}
	}
}

// sameBatch compares batches but for what is written into them: base offset and leader epoch.
func sameBatch(a, b []byte) bool {
	return len(a) == len(b) && len(a) > 16 && bytes.Equal(a[8:12], b[8:12]) && bytes.Equal(a[16:], b[16:])
}

// writeIndex writes an index object, and notes what it knows.
func (w *world) writeIndex() {
	task := index.NewTask(w.objects, w.meta, w.replica, index.Options{Keep: 100})
	_, err := task.Do(w.t.Context())
	w.must(err)
	w.index = indexed{
		marks: make(map[metastore.TopicPartition]metastore.Watermarks), runs: make(map[metastore.TopicPartition][]metastore.Run),
		ended: make(map[*txn]bool), held: make(map[*txn]map[metastore.TopicPartition]metastore.Offset), at: w.replica.Position(),
		of: make(map[string]map[metastore.TopicPartition]metastore.Offset),
	}
	for group, of := range w.offsets {
		w.index.of[group] = maps.Clone(of)
	}
	for _, c := range w.clients {
		if c.open != nil {
			w.index.held[c.open] = maps.Clone(c.open.offsets)
		}
	}
	for _, t := range w.replica.Topics() {
		for i := range t.Partitions {
			tp := metastore.TopicPartition{Topic: t.ID, Partition: i}
			marks, runs, err := w.replica.Runs(tp, w.logStart(tp), 1<<40)
			w.must(err)
			w.index.marks[tp], w.index.runs[tp] = marks, runs
			for _, e := range w.logs[tp] {
				if e.txn != nil {
					w.index.ended[e.txn] = e.txn.ended
				}
			}
		}
	}
}

func (w *world) logStart(tp metastore.TopicPartition) metastore.Offset {
	marks, _ := w.replica.Watermarks(tp)
	return marks.LogStart
}

func (w *world) deleteRecords() {
	tp := w.anyPartition()
	marks, _ := w.replica.Watermarks(tp)
	if marks.Stable <= marks.LogStart {
		return
	}
	to := marks.LogStart + 1 + metastore.Offset(w.rng.Int64N(int64(marks.Stable-marks.LogStart)))
	results, err := w.replica.DeleteRecords(w.t.Context(), []metastore.RecordDeletion{{TopicPartition: tp, Before: to}})
	w.must(err)
	w.must(results[0].Err)
}

func (w *world) growTopic() {
	i := w.rng.IntN(len(w.topics))
	w.must(w.replica.CreatePartitions(w.t.Context(), w.topics[i].ID, w.topics[i].Partitions+1, metastore.Room{}))
	w.topics[i], _ = w.replica.TopicByID(w.topics[i].ID)
}

func (w *world) deleteTopic() {
	if len(w.topics) < 3 {
		return
	}
	i := w.rng.IntN(len(w.topics))
	id := w.topics[i].ID
	w.must(w.replica.DeleteTopic(w.t.Context(), id))
	w.must(w.meta.DeleteTopicOffsets(w.t.Context(), id))
	w.deleted[id] = true
	for _, of := range w.offsets {
		for tp := range of {
			if tp.Topic == id {
				delete(of, tp)
			}
		}
	}
	w.topics = slices.Delete(w.topics, i, i+1)
}
