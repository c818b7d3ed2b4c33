package fsck

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// suffixBytes is how much of an object's end is read at first: it holds the footer of about 1,200 runs without chains.
const suffixBytes = 64 << 10

// look is what one look at an object cost and saw.
type look struct{ bytes, batches, records int64 }

// fault is what is wrong with an object.
type fault struct {
	kind   Kind
	detail string
}

func (f *fault) Error() string { return f.detail }

func faultf(kind Kind, format string, args ...any) error {
	return &fault{kind, fmt.Sprintf(format, args...)}
}

// lookAt looks at the object of a segment, and tells whether it is there. What is wrong must be wrong twice: bytes may
// be damaged on their way.
func (c *check) lookAt(ctx context.Context, s metastore.SegmentRuns, listed int64) (there bool, err error) {
	key := segment.Key(s.ID)
	for attempt := 1; ; attempt++ {
		var givenUp []string
		l, err := c.lookOnce(ctx, key, s, listed, func(detail string) { givenUp = append(givenUp, detail) })
		c.opts.Progress.bytes.Add(l.bytes)
		wrong := (*fault)(nil)
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			return false, nil
		case errors.As(err, &wrong) && attempt == 1:
			continue
		case err == nil && len(givenUp) > 0 && attempt == 1:
			continue
		case err == nil && len(givenUp) > 0:
			c.report.add(Finding{Kind: GivenUp, Key: key, Size: max(listed, 0), Detail: givenUp[0] + ", which nobody can read any more"})
		case wrong != nil:
			c.report.add(Finding{Kind: wrong.kind, Key: key, Size: max(listed, 0), Detail: wrong.detail, Affects: spans(c.survey, s.Runs)})
		case err != nil:
			return false, err
		}
		c.report.seen(l)
		if listed == unlisted {
			c.report.add(Finding{Kind: UnlistedObject, Key: key, Size: s.Size, Detail: "it can be read, and LIST does not tell of it"})
		}
		return true, nil
	}
}

func (c *check) lookOnce(ctx context.Context, key string, s metastore.SegmentRuns, listed int64, givenUp func(string)) (l look, err error) {
	if listed != unlisted && listed != s.Size {
		return l, faultf(SizeMismatch, "it has %d bytes, and had %d when it was committed", listed, s.Size)
	}
	index, read, err := readIndex(ctx, c.objects, key, s.Size)
	l.bytes = read
	if err != nil {
		return l, err
	}
	if index.ID != s.ID {
		return l, faultf(CorruptObject, "its index is that of segment %s", metastore.SegmentID(index.ID))
	}
	if err := chainsFit(&index); err != nil {
		return l, err
	}
	if err := c.matchIndex(&index, s.Runs); err != nil {
		return l, err
	}
	if err := c.matchChains(&index, s.Runs); err != nil {
		return l, err
	}
	if c.opts.Deep {
		w := walk{objects: c.objects, key: key, index: &index, survey: c.survey, placed: s.Runs, compacted: c.compacted, look: l, givenUp: givenUp}
		err = w.object(ctx)
		l = w.look
	}
	return l, err
}

// readIndex reads the index of an object that should be of the size.
func readIndex(ctx context.Context, objects Objects, key string, size int64) (index segment.Index, read int64, err error) {
	want := min(size, suffixBytes)
	for range 2 {
		tail, err := objects.GetSuffix(ctx, key, want)
		if err != nil {
			return index, read, err
		}
		read += int64(len(tail))
		if int64(len(tail)) != want {
			return index, read, faultf(SizeMismatch, "its last %d bytes were asked for and there are %d, of %d that were committed", want, len(tail), size)
		}
		index, err = segment.ParseFooter(tail, size)
		if more := (*segment.NeedMoreError)(nil); errors.As(err, &more) {
			want = more.Bytes
			continue
		}
		if version := (*segment.VersionError)(nil); err != nil && !errors.As(err, &version) && !errors.Is(err, segment.ErrCorrupt) {
			return index, read, err
		}
		if err != nil {
			return index, read, faultf(CorruptObject, "%s", err)
		}
		return index, read, nil
	}
	return index, read, faultf(CorruptObject, "the length of its footer changes from one read to the next")
}

// chainsFit looks for chains that are longer than their run. A wrong sequence makes one that seems to go around.
func chainsFit(index *segment.Index) error {
	for i := range index.Runs {
		in := &index.Runs[i]
		batches, records := int64(0), int64(0)
		for _, c := range in.Chains {
			batches += int64(c.Batches)
			records += int64(sequences(c.FirstSequence, c.LastSequence)) + 1
		}
		if batches > int64(in.Batches) || records > int64(in.Records) {
			return faultf(CorruptObject, "the run at byte %d has chains of %d batches and %d records in the index, and %d batches and %d records in all",
				in.Position, batches, records, in.Batches, in.Records)
		}
	}
	return nil
}

// placedIn returns the runs of the log that lie in a run of the index: one if all of its batches were accepted.
func placedIn(in *segment.Run, placed []metastore.PlacedRun) []metastore.PlacedRun {
	order := func(r metastore.PlacedRun, partition int64) int {
		return cmp.Or(bytes.Compare(r.Topic[:], in.Topic[:]), cmp.Compare(int64(r.Partition), partition))
	}
	from, _ := slices.BinarySearchFunc(placed, int64(in.Partition), order)
	to, _ := slices.BinarySearchFunc(placed, int64(in.Partition)+1, order)
	return placed[from:to]
}

func textOf(r *metastore.PlacedRun) string {
	return fmt.Sprintf("the run of %s-%d at offset %d", r.Topic, r.Partition, r.Base)
}

// matchIndex compares the runs of the log with the index. Of an object of tier 0, a run of the index may hold batches that were
// refused, and be several runs of the log. One of tier 1 is one run, or none if it was refused or replaced.
func (c *check) matchIndex(index *segment.Index, placed []metastore.PlacedRun) error {
	found := 0
	for i := range index.Runs {
		in := &index.Runs[i]
		of := placedIn(in, placed)
		found += len(of)
		match := matchRun
		if index.Tier == 1 {
			match = c.matchRewritten
		}
		if err := match(in, of); err != nil {
			return err
		}
	}
	if found != len(placed) {
		known := make(map[metastore.TopicPartition]bool)
		for i := range index.Runs {
			known[metastore.TopicPartition{Topic: index.Runs[i].Topic, Partition: index.Runs[i].Partition}] = true
		}
		for i := range placed {
			if !known[placed[i].TopicPartition] {
				return faultf(IndexMismatch, "its index has nothing of the partition of %s", textOf(&placed[i]))
			}
		}
	}
	return nil
}

// matchRewritten: the run of the log may take more offsets than batches were left for by log compaction.
func (c *check) matchRewritten(in *segment.Run, of []metastore.PlacedRun) error {
	if len(of) == 0 {
		return nil
	}
	if len(of) > 1 {
		return faultf(IndexMismatch, "%s and %s are one run in the index", textOf(&of[0]), textOf(&of[1]))
	}
	r := &of[0]
	base, end := int64(r.Base), int64(r.End())
	inBase, inEnd := in.Base, in.Base+int64(in.Offsets)
	fits := base == inBase && end == inEnd || base <= inBase && inEnd <= end && c.compacted(r.TopicPartition)
	if r.Position != in.Position || r.Length != in.Length || !fits || r.MaxTimestamp != in.MaxTimestamp && max(r.MaxTimestamp, in.MaxTimestamp) >= 0 { // below 0: Run.Untimed
		return faultf(IndexMismatch, "%s has offsets up to %d in %d bytes from byte %d on, and timestamps up to %d; the index has offsets %d to %d in %d bytes from byte %d on, and timestamps up to %d",
			textOf(r), end-1, r.Length, r.Position, r.MaxTimestamp, inBase, inEnd-1, in.Length, in.Position, in.MaxTimestamp)
	}
	return nil
}

func matchRun(in *segment.Run, of []metastore.PlacedRun) error {
	if len(of) == 0 {
		return nil
	}
	end := uint64(in.Position)
	length, records, latest := uint64(0), uint64(0), int64(math.MinInt64)
	for i := range of {
		r := &of[i]
		switch from, to := uint64(r.Position), uint64(r.Position)+uint64(r.Length); {
		case from < uint64(in.Position) || to > uint64(in.Position)+uint64(in.Length):
			return faultf(IndexMismatch, "%s lies at bytes %d to %d, its partition at %d to %d", textOf(r), from, to, in.Position, uint64(in.Position)+uint64(in.Length))
		case from < end:
			return faultf(IndexMismatch, "%s begins at byte %d, which belongs to the run before", textOf(r), from)
		default:
			end = to
		}
		length += uint64(r.Length)
		records += uint64(r.Records)
		latest = max(latest, r.MaxTimestamp)
	}
	whole := length == uint64(in.Length)
	switch {
	case whole && records != uint64(in.Records) || !whole && records >= uint64(in.Records):
		return faultf(IndexMismatch, "%s and those beside it have %d records in %d of %d bytes, the index has %d", textOf(&of[0]), records, length, in.Length, in.Records)
	case whole && latest != in.MaxTimestamp || latest > in.MaxTimestamp:
		return faultf(IndexMismatch, "%s has timestamps up to %d, the index up to %d", textOf(&of[0]), latest, in.MaxTimestamp)
	}
	return nil
}

// matchChains compares what is remembered of producers with the chains of the index: a batch that is remembered to lie
// in a run must be in a chain of its producer.
func (c *check) matchChains(index *segment.Index, placed []metastore.PlacedRun) error {
	for i := range index.Runs {
		in := &index.Runs[i]
		of := placedIn(in, placed)
		if len(of) == 0 {
			continue
		}
		tp := of[0].TopicPartition
		asked := make(map[int64]bool)
		for _, chain := range in.Chains {
			if asked[chain.ProducerID] {
				continue
			}
			asked[chain.ProducerID] = true
			for b := range c.survey.BatchesOf(tp, metastore.ProducerID(chain.ProducerID)) {
				if liesIn(b.Offset, of) && !inChains(b, in.Chains) {
					return faultf(IndexMismatch, "producer %d is remembered with epoch %d and sequences %d to %d at offset %d of %s, and has no such chain in the index",
						b.Producer, b.Epoch, b.First, b.Last, b.Offset, tp)
				}
			}
		}
	}
	return nil
}

func liesIn(offset metastore.Offset, runs []metastore.PlacedRun) bool {
	return slices.ContainsFunc(runs, func(r metastore.PlacedRun) bool {
		return r.Base <= offset && offset < r.End()
	})
}

func inChains(b metastore.RememberedBatch, chains []segment.Chain) bool {
	return slices.ContainsFunc(chains, func(c segment.Chain) bool {
		first, last := sequences(c.FirstSequence, b.First), sequences(c.FirstSequence, b.Last)
		return c.ProducerID == int64(b.Producer) && c.Epoch == int16(b.Epoch) &&
			first <= last && last <= sequences(c.FirstSequence, c.LastSequence)
	})
}
