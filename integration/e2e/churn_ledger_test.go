package e2e

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
)

// groupLedger remembers what brokers told the members of a group, and which of it cannot be: two owners of a partition in
// one generation, or a committed offset that went back.
type groupLedger struct {
	mu          sync.Mutex
	owners      map[ownership]string
	generation  int32 // the newest of which anybody was told an assignment
	committed   map[int32]int64
	commits     int            // that were acknowledged
	refused     map[string]int // commits, by error
	takenOver   int            // assignments to a member that another had in an earlier generation
	last        map[int32]string
	contradicts []error
	holders     map[string]holding // of groups of the consumer protocol
}

// holding is what a member has, and until when nobody else may have it, whatever becomes of the member.
type holding struct {
	partitions []int32
	until      time.Time
}

type ownership struct {
	generation, partition int32
}

func newGroupLedger() *groupLedger {
	return &groupLedger{
		owners: make(map[ownership]string), committed: make(map[int32]int64), refused: make(map[string]int), last: make(map[int32]string),
		holders: make(map[string]holding),
	}
}

func (l *groupLedger) contradiction(format string, args ...any) {
	if len(l.contradicts) < 10 {
		l.contradicts = append(l.contradicts, fmt.Errorf(format, args...))
	}
}

// owns: a member was told its assignment.
func (l *groupLedger) owns(member string, generation int32, partitions []int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.generation = max(l.generation, generation)
	for _, p := range partitions {
		at := ownership{generation, p}
		if other, ok := l.owners[at]; ok && other != member {
			l.contradiction("partition %d belongs to %s and to %s in generation %d", p, other, member, generation)
		}
		l.owners[at] = member
		if l.last[p] != member && l.last[p] != "" {
			l.takenOver++
		}
		l.last[p] = member
	}
}

// holds: a member of a group of the consumer protocol has partitions.
func (l *groupLedger) holds(member string, epoch int32, partitions []int32, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.generation = max(l.generation, epoch)
	l.holders[member] = holding{slices.Clone(partitions), until}
	for other, has := range l.holders {
		if other == member || !time.Now().Before(has.until) {
			continue
		}
		for _, p := range partitions {
			if slices.Contains(has.partitions, p) {
				l.contradiction("partition %d belongs to %s in epoch %d, and still to %s", p, member, epoch, other)
			}
		}
	}
	for _, p := range partitions {
		if l.last[p] != member && l.last[p] != "" {
			l.takenOver++
		}
		l.last[p] = member
	}
}

// held counts the partitions that somebody holds.
func (l *groupLedger) held() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []int32
	for _, has := range l.holders {
		if time.Now().Before(has.until) {
			all = append(all, has.partitions...)
		}
	}
	slices.Sort(all)
	return len(slices.Compact(all))
}

// floor returns what is known to be committed of the partitions: what is read from now on must not be less.
func (l *groupLedger) floor() map[int32]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.committed)
}

// read: an offset was read after the floor was taken.
func (l *groupLedger) read(who string, partition int32, offset int64, floor map[int32]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if low, ok := floor[partition]; ok && offset < low {
		l.contradiction("%s reads offset %d of partition %d after %d was committed", who, offset, partition, low)
	}
}

// acked: a commit was acknowledged.
func (l *groupLedger) acked(who string, generation, partition int32, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commits++
	if before := l.committed[partition]; offset < before {
		l.contradiction("%s commits %d of partition %d in generation %d after %d", who, offset, partition, generation, before)
		return
	}
	l.committed[partition] = offset
}

func (l *groupLedger) refuse(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[why]++
}

// owned counts the partitions that have an owner in a generation, and the owners.
func (l *groupLedger) owned(generation int32) (partitions, members int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for at, member := range l.owners {
		if at.generation == generation {
			partitions++
			all = append(all, member)
		}
	}
	slices.Sort(all)
	return partitions, len(slices.Compact(all))
}

func (l *groupLedger) newest() int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.generation
}

func (l *groupLedger) progress() (generation int32, commits, takenOver int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.generation, l.commits, l.takenOver
}

func (l *groupLedger) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.contradicts...)
}

// TestGroupLedgerSeesWhatCannotBe: the ledger itself.
func TestGroupLedgerSeesWhatCannotBe(t *testing.T) {
	soon := time.Now().Add(time.Hour)
	for _, tc := range []struct {
		name string
		tell func(l *groupLedger)
		want bool
	}{
		{"a partition changes hands", func(l *groupLedger) { l.owns("a", 1, []int32{0, 1}); l.owns("b", 2, []int32{1}) }, false},
		{"told twice", func(l *groupLedger) { l.owns("a", 1, []int32{0}); l.owns("a", 1, []int32{0}) }, false},
		{"two owners", func(l *groupLedger) { l.owns("a", 1, []int32{0, 1}); l.owns("b", 1, []int32{1}) }, true},
		{"a member holds what another gave up", func(l *groupLedger) {
			l.holds("a", 1, []int32{0, 1}, soon)
			l.holds("a", 2, []int32{0}, soon)
			l.holds("b", 2, []int32{1}, soon)
		}, false},
		{"a member holds what another had", func(l *groupLedger) { l.holds("a", 1, []int32{0}, time.Now()); l.holds("b", 2, []int32{0}, soon) }, false},
		{"two hold the same", func(l *groupLedger) { l.holds("a", 1, []int32{0}, soon); l.holds("b", 2, []int32{0}, soon) }, true},
		{"commits grow", func(l *groupLedger) { l.acked("a", 1, 0, 5); l.acked("b", 2, 0, 6) }, false},
		{"a commit goes back", func(l *groupLedger) { l.acked("b", 2, 0, 6); l.acked("a", 1, 0, 5) }, true},
		{"a commit is lost", func(l *groupLedger) { l.acked("a", 1, 0, 5); l.read("b", 0, -1, l.floor()) }, true},
		{"read before it was acknowledged", func(l *groupLedger) { floor := l.floor(); l.acked("a", 1, 0, 5); l.read("b", 0, -1, floor) }, false},
	} {
		l := newGroupLedger()
		tc.tell(l)
		if got := l.err() != nil; got != tc.want {
			t.Errorf("%s: contradiction %v, want %v (%v)", tc.name, got, tc.want, l.err())
		}
	}
}
