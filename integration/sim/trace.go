package sim

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"sync"
	"time"
)

// Trace is everything that crossed the network or went to a store in a run, each with the time. Two runs are the same if
// their traces are. A nil Trace notes nothing.
type Trace struct {
	mu    sync.Mutex
	start time.Time
	keep  bool
	line  []byte
	kept  bytes.Buffer
	lines int
	sum   [8]byte
}

// NewTrace returns an empty trace; what it is told of now is at 0. One that is to be kept can be read later; of another
// there is only a checksum.
func NewTrace(keep bool) *Trace { return &Trace{start: time.Now(), keep: keep} }

func (t *Trace) notef(format string, args ...any) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line = fmt.Appendf(t.line[:0], "%12.6f ", time.Since(t.start).Seconds())
	t.line = fmt.Appendf(t.line, format, args...)
	t.line = append(t.line, '\n')
	h := fnv.New64a()
	_, _ = h.Write(t.sum[:])
	_, _ = h.Write(t.line)
	h.Sum(t.sum[:0])
	t.lines++
	if t.keep {
		t.kept.Write(t.line)
	}
}

// Sum is a checksum over all lines, and how many there are.
func (t *Trace) Sum() (sum string, lines int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%x", t.sum), t.lines
}

// Text is all lines, if they were kept.
func (t *Trace) Text() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.kept.Bytes())
}
