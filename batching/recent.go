package batching

import (
	"container/list"
	"sync"

	"github.com/runnel-io/runnel/metastore"
)

// Recent holds the batches of segments that this broker wrote a short while ago, so that consumers at the tail need
// neither cache nor bucket. It forgets the segments that were not read for longest. All methods may run concurrently.
type Recent struct {
	limit int64 // of the costs of all segments

	mu       sync.Mutex
	cost     int64
	segments map[metastore.SegmentID]*list.Element // of recentSegment
	order    list.List                             // last used first
	hits     uint64
	misses   uint64
}

type recentSegment struct {
	id   metastore.SegmentID
	cost int64                // bytes of memory, about
	runs map[uint32]recentRun // by position in the object
}

type recentRun struct {
	slices [][]byte // one per batch
	length uint32   // of all
}

func newRecent(limit int64) *Recent {
	return &Recent{limit: limit, segments: make(map[metastore.SegmentID]*list.Element)}
}

// Run returns the batches of the run at exactly [position, position+length) of a segment, one slice each, as the
// producers sent them: base offsets and leader epochs are not patched. The memory is shared: read it only. False if
// the segment is not here (any more).
func (r *Recent) Run(id metastore.SegmentID, position, length uint32) ([][]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.segments[id]
	if !ok {
		r.misses++
		return nil, false
	}
	run, ok := e.Value.(recentSegment).runs[position]
	if !ok || run.length != length {
		r.misses++
		return nil, false
	}
	r.order.MoveToFront(e)
	r.hits++
	return run.slices, true
}

// add keeps a segment, which costs no more than the limit.
func (r *Recent) add(s recentSegment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.segments[s.id] = r.order.PushFront(s)
	r.cost += s.cost
	for r.cost > r.limit {
		last := r.order.Remove(r.order.Back()).(recentSegment)
		delete(r.segments, last.id)
		r.cost -= last.cost
	}
}

// stats returns the cost of what is held, and how often Run found and missed.
func (r *Recent) stats() (cost int64, hits, misses uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cost, r.hits, r.misses
}
