package segment

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/runnel-io/runnel/batching/recordbatch"
)

// Find returns the run of a partition.
func (x *Index) Find(topic [16]byte, partition int32) (*Run, bool) {
	i, ok := slices.BinarySearchFunc(x.Runs, partition, func(r Run, partition int32) int {
		return cmp.Or(bytes.Compare(r.Topic[:], topic[:]), cmp.Compare(r.Partition, partition))
	})
	if !ok {
		return nil, false
	}
	return &x.Runs[i], true
}

// MarkFor returns the last mark that is not after an offset: the batch that holds it, or the first after it, does not begin
// before the mark. If there is none, it is the start of the run: position 0, where no batch is before Base.
func (r *Run) MarkFor(offset int64) Mark {
	return r.before(func(m Mark) bool { return m.Offset <= offset })
}

// MarkForTime returns the last mark before which all batches have a max timestamp below ts, or the start of the run.
func (r *Run) MarkForTime(ts int64) Mark {
	return r.before(func(m Mark) bool { return m.MaxTimestamp < ts })
}

// before returns the last of the marks for which ok is true, which are the first ones.
func (r *Run) before(ok func(Mark) bool) Mark {
	n, _ := slices.BinarySearchFunc(r.Marks, true, func(m Mark, _ bool) int {
		if ok(m) {
			return -1
		}
		return 1
	})
	if n == 0 {
		return Mark{Offset: r.Base, MaxTimestamp: math.MinInt64}
	}
	return r.Marks[n-1]
}

func parseRewrittenRun(b []byte) (r Run, rest []byte, ok bool) {
	if len(b) < rewrittenRunSize {
		return Run{}, nil, false
	}
	be := binary.BigEndian
	r = parseExtent(b)
	r.Base, r.Offsets = int64(be.Uint64(b[extentSize:])), int32(be.Uint32(b[56:]))
	count := be.Uint32(b[60:])
	b = b[rewrittenRunSize:]
	switch {
	case r.Base < 0, r.Offsets <= 0, r.Base > math.MaxInt64-int64(r.Offsets),
		r.Batches > uint32(r.Offsets), r.Records > uint32(r.Offsets),
		uint64(r.Batches)*recordbatch.HeaderSize > uint64(r.Length),
		count >= r.Batches, int64(count) > int64(len(b)/markSize):
		return Run{}, nil, false
	}
	if count > 0 {
		r.Marks = make([]Mark, 0, count)
	}
	last := Mark{Offset: r.Base, MaxTimestamp: math.MinInt64}
	for range count {
		m := Mark{
			Offset:       r.Base + int64(be.Uint32(b)),
			Position:     be.Uint32(b[4:]),
			MaxTimestamp: int64(be.Uint64(b[8:])),
		}
		if m.Offset <= last.Offset || m.Offset >= r.Base+int64(r.Offsets) ||
			int64(m.Position) < int64(last.Position)+recordbatch.HeaderSize || int64(m.Position)+recordbatch.HeaderSize > int64(r.Length) ||
			m.MaxTimestamp < last.MaxTimestamp || m.MaxTimestamp > r.MaxTimestamp {
			return Run{}, nil, false
		}
		r.Marks = append(r.Marks, m)
		last = m
		b = b[markSize:]
	}
	return r, b, true
}

func appendRewrittenFooter(b []byte, index *Index) []byte {
	be := binary.BigEndian
	b = appendFooterStart(b, index)
	for i := range index.Runs {
		r := &index.Runs[i]
		b = appendExtent(b, r)
		b = be.AppendUint64(b, uint64(r.Base))
		b = be.AppendUint32(b, uint32(r.Offsets))
		b = be.AppendUint32(b, uint32(len(r.Marks)))
		for _, m := range r.Marks {
			b = be.AppendUint32(b, uint32(m.Offset-r.Base))
			b = be.AppendUint32(b, m.Position)
			b = be.AppendUint64(b, uint64(m.MaxTimestamp))
		}
	}
	return appendTrailer(b, RewrittenVersion)
}
