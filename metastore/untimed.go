package metastore

import (
	"time"

	"github.com/runnel-io/runnel/planted"
)

// leastStored is a time, in ms, before which no run was stored: 2004. What a producer may give for timestamps below 0 is less.
const leastStored = 1 << 40

// Untimed tells whether no record of a run has a timestamp, and when the newest of them was stored, which retention goes by then, as Kafka
// goes by the time of its file. A run of tier 0 is as old as its object. A rewritten one has the age of what it was made of
// in its MaxTimestamp: see UntimedSince. That of earlier versions has not, and is as old as its object.
func (r *Run) Untimed() (stored time.Time, ok bool) {
	if r.Marker != nil || r.MaxTimestamp >= 0 {
		return time.Time{}, false
	}
	if r.Segment.Tier() == 1 && r.MaxTimestamp <= -leastStored {
		return time.UnixMilli(-r.MaxTimestamp), true
	}
	return r.Segment.Time(), true
}

// Stored is when the newest of what is in a run was stored. Of a rewritten run with timestamps it is when it was rewritten, which was
// later.
func (r *Run) Stored() time.Time {
	if r.Marker != nil {
		return time.UnixMilli(r.MaxTimestamp)
	}
	if stored, ok := r.Untimed(); ok {
		return stored
	}
	return r.Segment.Time()
}

// Newest is the time, in ms, by which what is in a run is too old or too young: its greatest timestamp, or when it was stored if
// there is none.
func (r *Run) Newest() int64 {
	if stored, ok := r.Untimed(); ok && !planted.Is(planted.UntimedOld) {
		return stored.UnixMilli()
	}
	return r.MaxTimestamp
}

// UntimedSince is the MaxTimestamp of a rewritten run without timestamps, the newest of whose records were stored at a time.
func UntimedSince(stored time.Time) int64 { return min(-stored.UnixMilli(), -1) }
