package metastore

import "sync"

// Watch hears of partitions that move.
type Watch struct {
	// C receives after a watermark of one of the partitions moved, or one was deleted, or the log could not be followed
	// any more; once for many moves.
	C          chan struct{}
	partitions []TopicPartition
	all        *watchers
}

// watchers are the watches by partition. Each costs memory only while it is open.
type watchers struct {
	mu sync.Mutex
	by map[TopicPartition]map[*Watch]struct{}
}

// Watch starts to watch partitions; they need not exist. Read the state after this call, not before, or a move in
// between goes unheard. The caller closes the watch.
func (r *Replica) Watch(partitions []TopicPartition) *Watch {
	w := &Watch{C: make(chan struct{}, 1), partitions: partitions, all: &r.watch}
	r.watch.mu.Lock()
	defer r.watch.mu.Unlock()
	if r.watch.by == nil {
		r.watch.by = make(map[TopicPartition]map[*Watch]struct{})
	}
	for _, tp := range partitions {
		set, ok := r.watch.by[tp]
		if !ok {
			set = make(map[*Watch]struct{})
			r.watch.by[tp] = set
		}
		set[w] = struct{}{}
	}
	return w
}

// Close ends the watch. C is not closed.
func (w *Watch) Close() {
	w.all.mu.Lock()
	defer w.all.mu.Unlock()
	for _, tp := range w.partitions {
		set := w.all.by[tp]
		delete(set, w)
		if len(set) == 0 {
			delete(w.all.by, tp)
		}
	}
}

func (w *Watch) signal() {
	select {
	case w.C <- struct{}{}:
	default:
	}
}

// any tells whether anything is watched.
func (ws *watchers) any() bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return len(ws.by) > 0
}

func (ws *watchers) wake(touched []TopicPartition) {
	if len(touched) == 0 {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, tp := range touched {
		for w := range ws.by[tp] {
			w.signal()
		}
	}
}

func (ws *watchers) wakeAll() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, set := range ws.by {
		for w := range set {
			w.signal()
		}
	}
}
