package sim

import (
	"bytes"
	"fmt"
	"hash/crc64"
	"sync"
	"time"
)

// Trace is everything that crossed the network or went to a store in a run, each with the time. Two runs are the same if
// their traces are. A nil Trace notes nothing.
type Trace struct {
	mu    sync.Mutex
	start time.Time
	text  []byte
	lines int
}

// NewTrace returns an empty trace; what it is told of now is at 0.
func NewTrace() *Trace { return &Trace{start: time.Now()} }

func (t *Trace) notef(format string, args ...any) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = fmt.Appendf(t.text, "%13.9f ", time.Since(t.start).Seconds())
	t.text = fmt.Appendf(t.text, format, args...)
	t.text = append(t.text, '\n')
	t.lines++
}

// Sum is a checksum over all lines, and how many there are.
func (t *Trace) Sum() (sum string, lines int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%016x", crc64.Checksum(t.text, crc64.MakeTable(crc64.ECMA))), t.lines
}

// Text is all lines.
func (t *Trace) Text() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.text)
}
