package runneltest

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrFault is in the errors that brokers get from stores by Faults, and so in their log.
var ErrFault = errors.New("fault of the test")

// Always is a number of calls that does not end before Faults.Heal.
const Always = -1

// Faults are what is wrong with the stores of brokers: the object store, which has the records, and the metastore, which has the
// order of records and everything else. They can be set at any time, and count for calls that begin afterwards. What is set twice
// counts as set last.
//
// Brokers try again what fails. So a client mostly sees a delay: an error only when a fault lasts for more than a minute
// (WithGiveUpAfter), or longer than it is ready to wait itself. Brokers read what they have written lately from memory:
// WithConfig("memory.cache", "0") has them read most of it from the object store.
type Faults struct {
	parent *Faults // of all brokers; nil: this one is

	mu     sync.Mutex
	set    map[kind]*fault
	struck int
}

// kind is a kind of calls.
type kind int

const (
	none kind = iota
	puts
	gets
	commits
	offsetCommits
	objectsDown
	metastoreDown
)

// calls are the kinds that one call belongs to: its store's, and its own.
type calls [2]kind

// fault is what happens to calls of a kind.
type fault struct {
	fail, lose int // so many more; Always
	slow       time.Duration
}

func newFaults(parent *Faults) *Faults { return &Faults{parent: parent, set: make(map[kind]*fault)} }

// FailPuts fails the next n uploads of records before they have any effect, or all from now on (Always).
func (f *Faults) FailPuts(n int) { f.change(puts, func(x *fault) { x.fail = n }) }

// LosePutAnswers has the next n uploads take effect, and the broker told that they failed.
func (f *Faults) LosePutAnswers(n int) { f.change(puts, func(x *fault) { x.lose = n }) }

// SlowPuts has each upload take so much longer; 0 ends it.
func (f *Faults) SlowPuts(by time.Duration) { f.change(puts, func(x *fault) { x.slow = by }) }

// FailGets fails the next n reads of the object store.
func (f *Faults) FailGets(n int) { f.change(gets, func(x *fault) { x.fail = n }) }

// SlowGets has each read of the object store take so much longer; 0 ends it.
func (f *Faults) SlowGets(by time.Duration) { f.change(gets, func(x *fault) { x.slow = by }) }

// FailCommits fails the next n commits to the log before they have any effect: of records, and also of topics, configs, producer ids and
// transactions.
func (f *Faults) FailCommits(n int) { f.change(commits, func(x *fault) { x.fail = n }) }

// LoseCommitAnswers has the next n commits to the log take effect, and the broker told that they failed.
func (f *Faults) LoseCommitAnswers(n int) { f.change(commits, func(x *fault) { x.lose = n }) }

// SlowCommits has each commit to the log take so much longer; 0 ends it.
func (f *Faults) SlowCommits(by time.Duration) { f.change(commits, func(x *fault) { x.slow = by }) }

// FailOffsetCommits fails the next n commits of consumers' offsets.
func (f *Faults) FailOffsetCommits(n int) { f.change(offsetCommits, func(x *fault) { x.fail = n }) }

// StopObjectStore fails every call of the object store, until Heal.
func (f *Faults) StopObjectStore() { f.change(objectsDown, func(x *fault) { x.fail = Always }) }

// StopMetastore fails every call of the metastore, until Heal. After some seconds brokers do not know who of them lives.
func (f *Faults) StopMetastore() { f.change(metastoreDown, func(x *fault) { x.fail = Always }) }

// Heal ends all faults that were set here.
func (f *Faults) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.set)
}

// Struck is how many calls were failed, delayed, or had their answers lost by these faults: a test that wants to be sure that it tests
// something looks at it. Those of a broker do not count those of its cluster.
func (f *Faults) Struck() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.struck
}

func (f *Faults) change(k kind, how func(*fault)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.set[k] == nil {
		f.set[k] = new(fault)
	}
	how(f.set[k])
}

// before delays a call, or fails it.
func (f *Faults) before(ctx context.Context, of calls) error {
	for _, k := range of {
		for _, level := range []*Faults{f, f.parent} {
			slow, err := level.strike(k)
			if slow > 0 {
				err = wait(ctx, slow)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// strike says what happens to a call before it takes effect.
func (f *Faults) strike(k kind) (slow time.Duration, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.set[k]
	switch {
	case x == nil:
		return 0, nil
	case spend(&x.fail):
		f.struck++
		return 0, ErrFault
	case x.slow > 0:
		f.struck++
	}
	return x.slow, nil
}

// after loses the answer of a call, if it took effect.
func (f *Faults) after(of calls, result error) error {
	if result != nil {
		return result
	}
	for _, k := range of {
		for _, level := range []*Faults{f, f.parent} {
			if level.loses(k) {
				return ErrFault
			}
		}
	}
	return nil
}

func (f *Faults) loses(k kind) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.set[k]
	if x == nil || !spend(&x.lose) {
		return false
	}
	f.struck++
	return true
}

// spend takes one of a number of calls.
func spend(left *int) bool {
	if *left > 0 {
		*left--
		return true
	}
	return *left == Always
}
