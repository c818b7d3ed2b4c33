package sim

import (
	"fmt"
	"hash/crc64"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Trace is everything that crossed the network or went to a store in a run, each with the time. Two runs are the same if
// their traces are. A nil Trace notes nothing.
type Trace struct {
	mu    sync.Mutex
	start time.Time
	text  [][]byte // in pieces, so that what is noted stays where it is
	lines int
}

// A piece is full when it has pieceBytes, or less than lineBytes left: a longer line moves it.
const (
	pieceBytes = 64 << 10
	lineBytes  = 512
)

// NewTrace returns an empty trace; what it is told of now is at 0.
func NewTrace() *Trace { return &Trace{start: time.Now()} }

// notef is for what does not happen often: see note.
func (t *Trace) notef(format string, args ...any) {
	t.note(func(line []byte) []byte { return fmt.Appendf(line, format, args...) })
}

// note adds a line, to which text appends what happened.
func (t *Trace) note(text func(line []byte) []byte) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	last := len(t.text) - 1
	if last < 0 || cap(t.text[last])-len(t.text[last]) < lineBytes {
		t.text = append(t.text, make([]byte, 0, pieceBytes))
		last++
	}
	line := text(append(appendSeconds(t.text[last], time.Since(t.start)), ' '))
	t.text[last] = append(line, '\n')
	t.lines++
}

// appendSeconds appends a time in seconds, as %13.9f.
func appendSeconds(b []byte, at time.Duration) []byte {
	seconds, rest := at/time.Second, at%time.Second
	for most := time.Duration(100); most > max(seconds, 1); most /= 10 {
		b = append(b, ' ')
	}
	b = append(strconv.AppendInt(b, int64(seconds), 10), '.')
	for digit := time.Second / 10; digit > 0; digit /= 10 {
		b = append(b, '0'+byte(rest/digit%10))
	}
	return b
}

// appendSum appends a checksum, as %08x.
func appendSum(b []byte, sum uint32) []byte {
	const digits = "0123456789abcdef"
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, digits[sum>>shift&15])
	}
	return b
}

// Sum is a checksum over all lines, and how many there are.
func (t *Trace) Sum() (sum string, lines int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var crc uint64
	for _, piece := range t.text {
		crc = crc64.Update(crc, crc64.MakeTable(crc64.ECMA), piece)
	}
	return fmt.Sprintf("%016x", crc), t.lines
}

// Text is all lines.
func (t *Trace) Text() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Concat(t.text...)
}
