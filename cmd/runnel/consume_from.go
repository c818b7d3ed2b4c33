package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// startPoint is a place in every partition to start reading from.
type startPoint struct {
	kind startKind
	n    int64 // an offset, a number of records, or ms since 1970
}

type startKind int

const (
	fromBeginning startKind = iota
	fromEnd
	fromOffset
	fromLast
	fromTime
)

func parseFrom(s string, now time.Time) (startPoint, error) {
	switch s {
	case "beginning", "earliest":
		return startPoint{kind: fromBeginning}, nil
	case "end", "latest":
		return startPoint{kind: fromEnd}, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		if n < 0 {
			return startPoint{fromLast, -n}, nil
		}
		return startPoint{fromOffset, n}, nil
	}
	if ms, ok := strings.CutPrefix(s, "@"); ok {
		if n, err := strconv.ParseInt(ms, 10, 64); err == nil && n >= 0 {
			return startPoint{fromTime, n}, nil
		}
	} else if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return startPoint{fromTime, now.Add(-d).UnixMilli()}, nil
	} else if t, err := time.Parse(time.RFC3339, s); err == nil {
		return startPoint{fromTime, t.UnixMilli()}, nil
	}
	return startPoint{}, usagef("--from must be beginning, end, an offset, -N, a time ago such as 15m, @MS or an RFC 3339 time, not %q", s)
}

// offset is the place for the client library.
func (s startPoint) offset() kgo.Offset {
	at := kgo.NewOffset()
	switch s.kind {
	case fromEnd:
		return at.AtEnd()
	case fromOffset:
		return at.At(s.n)
	case fromLast:
		return at.AtEnd().Relative(-s.n)
	case fromTime:
		return at.AfterMilli(s.n)
	}
	return at.AtStart()
}

// in is the place in a partition that holds the offsets from start up to, and without, end. An offset outside is
// taken as the start, where the client library then goes, too. Of a time it needs the offset of the first record at or
// after it, -1 if there is none.
func (s startPoint) in(start, end, afterTime int64) int64 {
	switch s.kind {
	case fromEnd:
		return end
	case fromOffset:
		if s.n < start || s.n > end {
			return start
		}
		return s.n
	case fromLast:
		return max(start, end-s.n)
	case fromTime:
		if afterTime < 0 {
			return end
		}
		return afterTime
	}
	return start
}
