package metastore

import "sync"

// Watch hears of partitions that move.
type Watch struct {
	// C receives after a watermark of one of the partitions moved, or one was deleted, or the log could not be followed
	// any more; once for many moves.
	C     chan struct{}
	links []watchLink // one for each partition
	all   *watchers
}

// watchLink is a watch in the list of those of one partition, in no order.
type watchLink struct {
	watch      *Watch
	partition  TopicPartition
	prev, next *watchLink
}

// watchers are the watches by partition. Each costs memory only while it is open.
type watchers struct {
	mu sync.Mutex
	by map[TopicPartition]*watchLink // the first of the list
}

// Watch starts to watch partitions; they need not exist. Read the state after this call, not before, or a move in
// between goes unheard. The caller closes the watch.
func (r *Replica) Watch(partitions []TopicPartition) *Watch {
	w := &Watch{C: make(chan struct{}, 1), links: make([]watchLink, len(partitions)), all: &r.watch}
	for i, tp := range partitions {
		w.links[i] = watchLink{watch: w, partition: tp}
	}
	r.watch.mu.Lock()
	defer r.watch.mu.Unlock()
	if r.watch.by == nil {
		r.watch.by = make(map[TopicPartition]*watchLink)
	}
	for i := range w.links {
		r.watch.link(&w.links[i])
	}
	return w
}

// link makes l the first of its list. Caller holds mu.
func (ws *watchers) link(l *watchLink) {
	if l.next = ws.by[l.partition]; l.next != nil {
		l.next.prev = l
	}
	ws.by[l.partition] = l
}

// unlink takes l out of its list. Caller holds mu.
func (ws *watchers) unlink(l *watchLink) {
	if l.next != nil {
		l.next.prev = l.prev
	}
	switch {
	case l.prev != nil:
		l.prev.next = l.next
	case l.next != nil:
		ws.by[l.partition] = l.next
	default:
		delete(ws.by, l.partition)
	}
	l.prev, l.next = nil, nil
}

// Close ends the watch, once. C is not closed.
func (w *Watch) Close() {
	w.all.mu.Lock()
	defer w.all.mu.Unlock()
	for i := range w.links {
		w.all.unlink(&w.links[i])
	}
	w.links = nil
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
		for l := ws.by[tp]; l != nil; l = l.next {
			l.watch.signal()
		}
	}
}

func (ws *watchers) wakeAll() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, l := range ws.by {
		for ; l != nil; l = l.next {
			l.watch.signal()
		}
	}
}
