package batching

import (
	"sync/atomic"
	"time"
)

// Source is what sends requests one after the other: a connection. Its requests for one partition get into the log in
// the order in which they were appended, and its habits tell whether waiting for more from it makes sense. It belongs
// to its connection; the Writer holds it only as long as a request of it is not answered.
type Source struct {
	id int64
	habits
	shares []*share // of segments that are not answered, oldest first
}

// habits are what is known of the way in which a source sends. Guarded by Writer.mu.
//
// Clients have a limit of requests in flight. A source that is at its limit sends nothing before we answer, so waiting
// for more from it brings nothing. Answering it sooner brings more, too, if it is closed-loop: if it sends because we
// answered. That shows when it was silent at its limit and its next request comes right behind the answer. A client that
// takes longer than that, beside the silence, would be hardly faster for less of it.
//
// A source that sends at its own rate and comes to its limit now and then gives the same signs, but other sizes: what it
// gathered while it could not send leaves as one large request behind our answer, and small ones follow. To wait less for
// it would only make its requests smaller, so it does not count as stalled.
type habits struct {
	requests int           // outstanding
	limit    int           // most that ever were outstanding
	bytes    int64         // outstanding
	largest  int64         // bytes of the largest outstanding request
	arrived  time.Time     // of the latest request
	answered time.Time     // when requests were last answered
	silence  time.Duration // between the two
	silent   bool          // whether that was long, and nothing came since
	full     bool          // whether the source was at its limit in that silence
	closed   float64       // from 0, open-loop, to 1, closed-loop
}

const (
	// prompt is how soon behind an answer a request comes that waited for it: a client's time to take the answer and
	// send, beside a round trip in one region.
	prompt = 4 * time.Millisecond
	// A sign for a closed loop is believed at once, since to wait for such a source costs a window each time. It takes three
	// signs against it in a row to stop: a client may pause.
	weightFor, weightAgainst = 0.5, 0.25
)

// arrive takes note of a request.
func (h *habits) arrive(now time.Time, size int64) {
	if h.silent {
		late := now.Sub(h.answered) > max(prompt, h.silence/2)
		switch {
		case late:
			h.closed -= h.closed * weightAgainst
		case h.full:
			h.closed += (1 - h.closed) * weightFor
		}
	}
	h.silent = false
	h.arrived = now
	h.bytes += size
	h.largest = max(h.largest, size)
	if h.requests++; h.requests > h.limit {
		h.limit, h.closed = h.requests, 0 // what looked like a limit was none
	}
}

// answer takes note of answers to n requests of so many bytes; largest is that of the rest. A silence before it is long
// from pause on.
func (h *habits) answer(now time.Time, n int, bytes, largest int64, pause time.Duration) {
	if h.silence = now.Sub(h.arrived); h.silence >= pause && !h.silent {
		h.silent, h.full = true, h.atLimit()
	}
	h.requests -= n
	h.bytes -= bytes
	h.largest = largest
	h.answered = now
}

// atLimit tells whether the source can send nothing, and would send more if it could: its requests are about as large as
// they get.
func (h *habits) atLimit() bool {
	return h.requests >= h.limit && 10*h.bytes >= 7*h.largest*int64(h.requests)
}

// stalled tells whether the source waits for our answers, and would be faster with faster ones.
func (h *habits) stalled() bool { return h.closed >= 0.5 && h.atLimit() }

// share is what a segment holds of a source.
type share struct {
	source   *Source
	segment  *segmentWrite
	requests int
	bytes    int64
	eager    int64 // bytes that may cause an early PUT
	largest  int64 // bytes of a request
	stalled  int64 // bytes counted in segment.stalled
}

// count updates what the segment has of stalled sources. A source counts where it has most of its requests: what it
// waits for elsewhere will be answered soon, and bring company for the rest.
func (s *share) count() {
	s.segment.stalled -= s.stalled
	s.stalled = 0
	if 2*s.requests >= s.source.requests && s.source.habits.stalled() {
		s.stalled = s.eager
	}
	s.segment.stalled += s.stalled
}

var sources atomic.Int64 // ids given; 0 is of requests without a source

// NewSource makes a source of its own. It costs nothing to leave it.
func NewSource() *Source { return &Source{id: sources.Add(1)} }

// join notes a request of the source in the open segment.
func (s *Source) join(seg *segmentWrite, now time.Time, size, eager int64) {
	s.arrive(now, size)
	var own *share
	if n := len(s.shares); n > 0 && s.shares[n-1].segment == seg {
		own = s.shares[n-1]
	} else {
		own = &share{source: s, segment: seg}
		s.shares = append(s.shares, own)
		seg.shares = append(seg.shares, own)
	}
	own.requests++
	own.bytes += size
	own.eager += eager
	own.largest = max(own.largest, size)
	own.count()
}

// leave notes that a segment was answered.
func (s *Source) leave(seg *segmentWrite, now time.Time, pause time.Duration) {
	var n int
	var bytes, largest int64
	kept := s.shares[:0]
	for _, own := range s.shares {
		if own.segment == seg {
			n, bytes = n+own.requests, bytes+own.bytes
			continue
		}
		largest = max(largest, own.largest)
		kept = append(kept, own)
	}
	clear(s.shares[len(kept):])
	s.shares = kept
	s.answer(now, n, bytes, largest, pause)
	for _, own := range kept {
		own.count()
	}
}
