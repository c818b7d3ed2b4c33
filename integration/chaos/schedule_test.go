package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestScheduleFollowsFromItsSeed(t *testing.T) {
	a, b := plan(7, 5, time.Hour), plan(7, 5, time.Hour)
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Error("two schedules of one seed differ")
	}
	if fmt.Sprint(a) == fmt.Sprint(plan(8, 5, time.Hour)) {
		t.Error("schedules of two seeds are the same")
	}
	// A longer run of a seed begins as a shorter one.
	short := plan(7, 5, 10*time.Minute)
	if len(short) == 0 || fmt.Sprint(short) != fmt.Sprint(a[:len(short)]) {
		t.Error("a shorter run is not the begin of a longer one")
	}
}

// TestScheduleHasEveryFaultAndBreaksNothingTwice: what is broken is mended before it is broken again, and a process that does
// not run has no ways to cut.
func TestScheduleHasEveryFaultAndBreaksNothingTwice(t *testing.T) {
	for seed := range uint64(50) {
		const length = 10 * time.Minute
		all := plan(seed, 3, length)
		seen := make(map[string]bool)
		for i, a := range all {
			seen[a.Fault] = true
			if a.At < 0 || a.Lasts <= 0 || a.ends() > length {
				t.Fatalf("seed %d: %v of %v", seed, a, length)
			}
			fault := faultNamed(a.Fault)
			if (fault.victims == nil) != (len(a.Brokers) == 0) {
				t.Fatalf("seed %d: %v", seed, a)
			}
			active := 1
			for j, b := range all {
				if i == j || b.At >= a.ends() || b.ends() <= a.At {
					continue
				}
				if b.At <= a.At {
					active++
				}
				other := faultNamed(b.Fault)
				shared := slices.ContainsFunc(a.Brokers, func(i int) bool { return slices.Contains(b.Brokers, i) })
				if len(a.Brokers) == 0 && fault.breaks == other.breaks ||
					shared && (fault.breaks == other.breaks || fault.breaks == process || other.breaks == process) {
					t.Fatalf("seed %d: at the same time\n%v\n%v", seed, a, b)
				}
			}
			if active > together {
				t.Fatalf("seed %d: %d faults at %v", seed, active, a.At)
			}
		}
		if len(seen) != len(faults) {
			t.Errorf("seed %d: %d of %d kinds of faults in %v", seed, len(seen), len(faults), length)
		}
	}
}
