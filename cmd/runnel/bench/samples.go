package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Samples writes single latencies as lines of CSV: when the event was due, in microseconds since 1970, what of it was waited
// for, and for how many microseconds. Whoever changes something during a run can so tell what was before and after. The
// methods of a nil *Samples do nothing. Safe for concurrent use.
type Samples struct {
	mu   sync.Mutex
	out  *bufio.Writer
	file io.Closer
	err  error
}

// NewSamples writes to a new file of that name; none if it is empty.
func NewSamples(name string) (*Samples, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("samples: %w", err)
	}
	s := &Samples{out: bufio.NewWriterSize(f, 64<<10), file: f}
	_, s.err = s.out.WriteString("due_us,kind,took_us\n")
	return s, nil
}

// Add writes a latency.
func (s *Samples) Add(kind string, due time.Time, took time.Duration) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		_, s.err = fmt.Fprintf(s.out, "%d,%s,%d\n", due.UnixMicro(), kind, took.Microseconds())
	}
}

// Close returns what went wrong, too, since the file was made.
func (s *Samples) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = s.out.Flush()
	}
	if err := errors.Join(s.err, s.file.Close()); err != nil {
		return fmt.Errorf("samples: %w", err)
	}
	return nil
}
