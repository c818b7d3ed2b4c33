package fsck_test

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
)

// appendEntry puts an entry at the end of the log as nobody would who decided on it.
func (r *rig) appendEntry(payload []byte) {
	r.t.Helper()
	r.must(r.replica.CatchUp(r.t.Context()))
	at := r.replica.Position()
	r.must(r.meta.Append(r.t.Context(), at, at.Next(payload)))
}

// entry begins a payload, see metastore/FORMAT.md.
func (r *rig) entry(kind byte) []byte {
	b := binary.AppendVarint([]byte{1, kind}, r.now.UnixMilli())
	return binary.BigEndian.AppendUint64(b, 99)
}

// commitAt is an entry that gives all batches of the run of an object offsets from `base` on.
func (r *rig) commitAt(w written, base metastore.Offset) []byte {
	b := r.entry(1)
	b = append(binary.AppendUvarint(b, 1), r.topic[:]...)
	b = append(binary.AppendUvarint(b, 1), w.id[:]...)
	b = binary.AppendUvarint(b, uint64(w.index.Size))
	b = binary.AppendUvarint(b, 1) // runs
	run := w.commit.Runs[0]
	b = binary.AppendUvarint(b, 0) // topic
	b = binary.AppendUvarint(b, uint64(run.Partition))
	b = binary.AppendUvarint(b, uint64(run.Position))
	b = binary.AppendUvarint(b, uint64(len(run.Batches)))
	last := int64(0)
	for i, x := range run.Batches {
		flags := byte(0)
		if i == 0 {
			flags = 1 << 7
		}
		b = append(b, flags)
		b = binary.AppendUvarint(b, uint64(x.Length))
		b = binary.AppendUvarint(b, uint64(x.Records))
		b = binary.AppendVarint(b, x.MaxTimestamp-last)
		last = x.MaxTimestamp
		if i == 0 {
			b = binary.AppendUvarint(b, uint64(base))
		}
	}
	return b
}

func TestOverlap(t *testing.T) {
	r := newRig(t)
	r.fill()
	w, high := r.upload(r.part(0, encodePlain(3))), r.high(0)
	r.appendEntry(r.commitAt(w, high-2))
	report := r.both(fsck.Overlap)
	if f := report.Findings[0]; f.Key != w.key || f.Affects[0].From != high-2 || f.Affects[0].To != high {
		t.Errorf("%+v", f)
	}
}

func TestGap(t *testing.T) {
	r := newRig(t)
	r.fill()
	w, high := r.upload(r.part(0, encodePlain(3))), r.high(0)
	r.appendEntry(r.commitAt(w, high+4))
	if f := r.both(fsck.Gap).Findings[0]; f.Affects[0].From != high || f.Affects[0].To != high+4 {
		t.Errorf("%+v", f)
	}
}

func TestGapAtTheBeginning(t *testing.T) {
	r := newRig(t)
	w := r.upload(r.part(0, encodePlain(3)))
	r.appendEntry(r.commitAt(w, 2))
	if f := r.both(fsck.Gap).Findings[0]; f.Affects[0].From != 0 || f.Affects[0].To != 2 {
		t.Errorf("%+v", f)
	}
}

func TestDeletedRecordsLeaveNoGap(t *testing.T) {
	r := newRig(t)
	r.fill()
	_, err := r.replica.DeleteRecords(t.Context(), []metastore.RecordDeletion{{TopicPartition: r.tp(0), Before: 7}})
	r.must(err)
	r.both()
}

func (r *rig) high(partition int32) metastore.Offset {
	r.must(r.replica.CatchUp(r.t.Context()))
	w, _ := r.replica.Watermarks(r.tp(partition))
	return w.High
}

// snapshotOf encodes a state with one topic of one partition, which has no runs.
func snapshotOf(at time.Time, topic metastore.TopicID, logStart, high uint64, producer []uint64) []byte {
	b := binary.AppendVarint([]byte{1}, at.UnixMilli())
	b = append(b, 1, 0, 0, 1) // next producer id, segments, recent, topics
	b = append(b, topic[:]...)
	b = append(append(b, 4), "only"...)
	b = append(b, 1, 1, 0) // partitions, replication factor, configs
	b = binary.AppendVarint(b, at.UnixMilli())
	b = binary.AppendUvarint(b, logStart)
	b = binary.AppendUvarint(b, high)
	b = append(b, 0) // runs
	if producer == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	for i, n := range producer {
		if i == 2 {
			b = binary.AppendVarint(b, int64(n))
			continue
		}
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// trimmedTo makes the log begin with a snapshot.
func (r *rig) trimmedTo(state []byte) {
	r.t.Helper()
	ctx := r.t.Context()
	for range 2 {
		r.appendEntry(append(r.entry(6), 1, 1))
	}
	r.must(r.replica.CatchUp(ctx))
	at := r.replica.Position()
	r.must(r.meta.SaveSnapshot(ctx, metastore.Snapshot{Position: at, State: state}))
	_, err := r.meta.Trim(ctx, at.Seq, 1000)
	r.must(err)
}

func TestHighWatermarkThatNoRunsReach(t *testing.T) {
	r := newRig(t)
	r.trimmedTo(snapshotOf(r.now, metastore.TopicID(uuid.New()), 3, 8, nil))
	if f := r.both(fsck.HWMMismatch).Findings[0]; f.Affects[0].String() != "only-0 offsets 3 to 7" {
		t.Errorf("%+v", f)
	}
}

func TestProducerThatIsRememberedForWhatNoRunHolds(t *testing.T) {
	r := newRig(t)
	producer := []uint64{5, 0, 1000, 1, 0, 3, 0} // id, epoch, last seen, batches, first, last, offset
	r.trimmedTo(snapshotOf(r.now, metastore.TopicID(uuid.New()), 0, 0, producer))
	if f := r.both(fsck.ProducerMismatch).Findings[0]; f.Affects[0].String() != "only-0 offsets 0 to 3" {
		t.Errorf("%+v", f)
	}
}

func TestBrokenChain(t *testing.T) {
	ctx := t.Context()
	t.Run("checksum", func(t *testing.T) {
		r := newRig(t)
		r.fill()
		at := r.replica.Position()
		next := at.Next(append(r.entry(6), 1, 1))
		next.Checksum++
		r.must(r.meta.Append(ctx, at, next))
		report := r.both(fsck.BrokenChain)
		if report.Findings[0].Entry != next.Seq || report.Position != at || len(report.Unjudged) != 1 {
			t.Errorf("%+v", report)
		}
	})
	t.Run("no entry", func(t *testing.T) {
		r := newRig(t)
		r.fill()
		at := r.replica.Position()
		r.must(r.meta.Append(ctx, at, at.Next([]byte{1, 6, 0})))
		if report := r.check(fsck.Options{}); report.Counts[fsck.BrokenChain] != 1 || report.Position != at {
			t.Errorf("%s", text(report))
		}
	})
	t.Run("ends before the snapshot", func(t *testing.T) {
		r := newRig(t)
		r.fill()
		snapshot, err := r.meta.LatestSnapshot(ctx)
		r.must(err)
		report := r.checkOn(&short{r.meta, snapshot.Seq - 1}, r.objects, fsck.Options{})
		if report.Counts[fsck.BrokenChain] != 1 || report.Counts[fsck.OrphanObject] != 0 || report.Position.Seq != snapshot.Seq-1 {
			t.Errorf("%s", text(report))
		}
	})
	t.Run("begins without a snapshot", func(t *testing.T) {
		r := newRig(t)
		r.fill()
		if report := r.checkOn(&noBeginning{r.meta}, r.objects, fsck.Options{}); report.Counts[fsck.BrokenChain] != 1 {
			t.Errorf("%s", text(report))
		}
	})
}

// short is a metastore that went back in time.
type short struct {
	*metamemory.Store
	end metastore.Seq
}

func (s *short) End(context.Context) (metastore.Seq, error) { return s.end, nil }

func (s *short) Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	entries, err := s.Store.Read(ctx, after, maxBytes)
	for i, e := range entries {
		if e.Seq > s.end {
			return entries[:i], err
		}
	}
	return entries, err
}

// noBeginning is a metastore whose snapshot was lost after its log was trimmed.
type noBeginning struct{ *metamemory.Store }

func (s *noBeginning) LatestSnapshot(context.Context) (metastore.Snapshot, error) {
	return metastore.Snapshot{}, metastore.ErrNoSnapshot
}

func (s *noBeginning) Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	if after.Seq == 0 {
		return nil, metastore.ErrTrimmed
	}
	return s.Store.Read(ctx, after, maxBytes)
}

// damagedSnapshot is a metastore whose snapshot has other bytes than were saved.
type damagedSnapshot struct {
	*metamemory.Store
	change func([]byte) []byte
}

func (s *damagedSnapshot) LatestSnapshot(ctx context.Context) (metastore.Snapshot, error) {
	snapshot, err := s.Store.LatestSnapshot(ctx)
	snapshot.State = s.change(snapshot.State)
	return snapshot, err
}

func TestCorruptSnapshot(t *testing.T) {
	r := newRig(t)
	r.fill()
	cut := &damagedSnapshot{r.meta, func(b []byte) []byte { return b[:len(b)-1] }}
	want(t, r.checkOn(cut, r.objects, fsck.Options{}), fsck.CorruptSnapshot)
}

// TestSnapshotThatDisagrees flips one bit of each byte of a snapshot in turn, which has no checksum: while the log goes
// back to its first entry, every one that can still be decoded is found.
func TestSnapshotThatDisagrees(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.must(r.replica.SnapshotNow(t.Context()))
	if at, err := r.meta.LatestSnapshot(t.Context()); err != nil || at.Seq != r.replica.Position().Seq {
		t.Fatal("no snapshot of the end")
	}
	disagree := 0
	saved, err := r.meta.LatestSnapshot(t.Context())
	r.must(err)
	for at := range saved.State {
		meta := &damagedSnapshot{r.meta, flip(at)}
		report, err := fsck.Check(t.Context(), meta, r.objects, fsck.Options{})
		if err != nil {
			if at > 0 && !strings.Contains(err.Error(), metastore.ErrNewerFormat.Error()) { // byte 0 is the version
				t.Fatalf("byte %d: %v", at, err)
			}
			continue
		}
		if report.Counts[fsck.CorruptSnapshot] == 0 && report.Counts[fsck.SnapshotDisagrees] == 0 {
			t.Errorf("byte %d of %d: nothing was found: %s", at, len(saved.State), text(report))
		}
		if report.Errors() != report.Counts[fsck.CorruptSnapshot]+report.Counts[fsck.SnapshotDisagrees] {
			t.Errorf("byte %d: the entries are right, and so is the bucket: %s", at, text(report))
		}
		disagree += min(int(report.Counts[fsck.SnapshotDisagrees]), 1)
	}
	if disagree < len(saved.State)/4 {
		t.Errorf("only %d of %d could be decoded", disagree, len(saved.State))
	}
}

func TestTrimmedLogIsClean(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.now = r.now.Add(metastore.MaxSegmentAge + time.Second)
	r.write(r.part(0, r.batch(0, 1)))
	r.must(r.replica.SnapshotNow(t.Context()))
	r.write(r.part(1, r.batch(1, 1)))
	if _, err := r.meta.Read(t.Context(), metastore.Position{}, 1); err == nil {
		t.Fatal("nothing was trimmed")
	}
	report := r.both()
	if report.Entries != 2 || report.Snapshot.Seq != report.Position.Seq-1 { // one kept before the snapshot, one after it
		t.Errorf("%+v", report)
	}
}

// TestTrimmedLogDisagreesWithItsSnapshot: what is kept before the snapshot is compared with it.
func TestTrimmedLogDisagreesWithItsSnapshot(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.now = r.now.Add(metastore.MaxSegmentAge + time.Second)
	w := r.write(r.part(0, r.batch(0, 1)))
	r.must(r.replica.SnapshotNow(t.Context()))
	// The same snapshot, of a state whose commit another segment made.
	other := metastore.NewSegmentID(r.now)
	meta := &damagedSnapshot{r.meta, func(b []byte) []byte { return []byte(strings.ReplaceAll(string(b), string(w.id[:]), string(other[:]))) }}
	report := r.checkOn(meta, r.objects, fsck.Options{})
	if report.Counts[fsck.SnapshotDisagrees] != 1 || report.Counts[fsck.MissingObject] != 1 {
		t.Errorf("%s", text(report))
	}
}

func TestOffsetsOfGroups(t *testing.T) {
	r := newRig(t)
	r.fill()
	ctx := t.Context()
	gone := metastore.TopicPartition{Topic: metastore.TopicID(uuid.New()), Partition: 1}
	commit := func(group string, tp metastore.TopicPartition, offset metastore.Offset) {
		g, err := r.meta.ClaimGroup(ctx, group, 0)
		r.must(err)
		r.must(r.meta.CommitOffsets(ctx, group, g.Epoch, []metastore.CommittedOffset{{TopicPartition: tp, TopicName: "orders", Offset: offset}}))
	}
	commit("right", r.tp(0), r.high(0))
	commit("beyond", r.tp(1), r.high(1)+1)
	commit("gone", gone, 0)
	report := r.both(fsck.OffsetBeyondEnd, fsck.OffsetOfNoTopic)
	if report.Findings[0].Group != "beyond" || report.Findings[1].Group != "gone" || report.Groups != 3 || report.Offsets != 3 || report.Errors() != 0 {
		t.Errorf("%+v", report)
	}
}

// TestOffsetThatIsCommittedMeanwhile: a group may be past what the first survey knows.
func TestOffsetThatIsCommittedMeanwhile(t *testing.T) {
	r := newRig(t)
	r.fill()
	ctx := t.Context()
	want(t, r.checkOn(r.meta, &hooked{Store: r.objects, before: func() {
		r.write(r.part(0, r.batch(0, 4)))
		g, err := r.meta.ClaimGroup(ctx, "live", 0)
		r.must(err)
		r.must(r.meta.CommitOffsets(ctx, "live", g.Epoch, []metastore.CommittedOffset{{TopicPartition: r.tp(0), Offset: r.high(0)}}))
	}}, fsck.Options{}))
}

func TestStuckTransaction(t *testing.T) {
	r := newRig(t)
	r.fill()
	results, err := r.replica.Transact(t.Context(), []metastore.TxnRequest{
		metastore.AddToTxn{ID: "t", Producer: 7, Epoch: 0, Number: 1, Partitions: []metastore.TopicPartition{r.tp(1)}}})
	r.must(err)
	r.must(results[0].Err)
	r.now = r.now.Add(10 * time.Minute)
	r.both()
	r.now = r.now.Add(2 * time.Minute)
	if f := r.both(fsck.StuckTransaction).Findings[0]; f.Txn != "t" || f.Kind.Severity() != fsck.Warning {
		t.Errorf("%+v", f)
	}
}

func TestTransactionThatEndedWithoutAMarker(t *testing.T) {
	r := newRig(t)
	r.fill()
	ctx := t.Context()
	results, err := r.replica.Transact(ctx, []metastore.TxnRequest{
		metastore.AddToTxn{ID: "t", Producer: 7, Number: 1, Partitions: []metastore.TopicPartition{r.tp(1)}}})
	r.must(err)
	r.must(results[0].Err)
	w := r.upload(r.part(1, encode(2, recordbatchtest.Options{ProducerID: 7, Transactional: true})))
	w.commit.Runs[0].Batches[0].Transactional = true
	first := r.high(1)
	if got := r.commit(w); got.Runs[0][0].Verdict != metastore.Accepted {
		t.Fatalf("transactional batch: %v", got)
	}
	r.both()

	b := r.entry(9)
	b = append(b, 0, 0, 1)      // results, topics, changes
	b = append(b, 3, 1, 't')    // it ends, and the id becomes another
	b = append(b, 7, 0, 0)      // producer, epoch and outcome, no marker
	b = append(b, 3, 1, 7, 0)   // aborted, version, producer, epoch
	b = append(b, 1, 1, 100, 2) // no last producer, no last epoch, time-out, number
	r.appendEntry(b)
	f := r.both(fsck.StrayTransaction).Findings[0]
	if f.Txn != "t" || f.Affects[0].From != first || f.Affects[0].Partition != 1 || f.Kind.Severity() != fsck.Error {
		t.Errorf("%+v", f)
	}
}
