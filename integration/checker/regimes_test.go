package checker_test

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

// alter asks for other settings of the topic of t0.
func (b *script) alter(outcome history.Outcome, to history.Topic) {
	to.Name = "t"
	b.op(history.Operation{Kind: history.AlterTopic, Outcome: outcome, Settings: &to})
}

// begun makes a case in which the settings of the topic of t0 are some at first.
func begun(name string, first history.Topic, then func(*script), want ...string) scripted {
	return scripted{name, func(b *script) {
		first.Name = "t"
		b.h.Start, b.h.Topics, b.h.Trailing = start, []history.Topic{first}, trailing
		then(b)
	}, want}
}

const trailing = 2 * time.Second

var (
	keeps    = history.Topic{}
	compacts = history.Topic{Compacted: true, Tombstones: time.Minute}
	lags     = history.Topic{Compacted: true, Tombstones: time.Minute, Lag: 100 * time.Millisecond}
)

func retains(d time.Duration) history.Topic { return history.Topic{Retention: d} }

// one and two are sends of a key, of which the second supersedes the first.
func one() history.Step { return keyed(stamped(sent(t0, 0, 1), 1), 5) }
func two() history.Step { return keyed(stamped(sent(t0, 1, 2), 2), 5) }

// readTwo is what is left of them.
func readTwo() history.Record { return of(5, stampedRec(t0, 1, 2, 2)) }

func TestCompactionBeginsAndEnds(t *testing.T) {
	lacks := func(b *script) { b.final(rc, only(t0), readTwo()) }
	judge(t, []scripted{
		begun("superseded while it was compacted", compacts, func(b *script) {
			b.produce("p", one(), two())
			b.alter(history.OK, keeps)
			b.pass(time.Minute)
			lacks(b)
		}),
		begun("superseded when it was not any more", compacts, func(b *script) {
			b.produce("p", one())
			b.alter(history.OK, keeps)
			b.pass(trailing)
			b.produce("q", two())
			lacks(b)
		}, checker.LostWrite),
		begun("superseded when it was just ended", compacts, func(b *script) {
			b.produce("p", one())
			b.alter(history.OK, keeps)
			b.pass(trailing / 2)
			b.produce("q", two())
			lacks(b)
		}),
		begun("superseded when its end had been refused", compacts, func(b *script) {
			b.produce("p", one())
			b.alter(history.Failed, keeps)
			b.pass(trailing)
			b.produce("q", two())
			lacks(b)
		}),
		begun("superseded when nobody knows whether it had ended", compacts, func(b *script) {
			b.produce("p", one())
			b.alter(history.Unknown, keeps)
			b.pass(trailing)
			b.produce("q", two())
			lacks(b)
		}),
		begun("superseded before it began", keeps, func(b *script) {
			b.produce("p", one(), two())
			b.alter(history.OK, compacts)
			lacks(b)
		}),
		begun("missing before it began", keeps, func(b *script) {
			b.produce("p", one(), two())
			lacks(b)
			b.alter(history.OK, compacts)
		}, checker.LostWrite),
		begun("passed over before it began", keeps, func(b *script) {
			b.produce("p", keyed(stamped(sent(t0, 0, 9), 0), 6), keyed(stamped(sent(t0, 1, 1), 1), 5), keyed(stamped(sent(t0, 2, 2), 2), 5))
			first, last := of(6, stampedRec(t0, 0, 9, 0)), of(5, stampedRec(t0, 2, 2, 2))
			b.poll("c", rc, first)
			b.poll("c", rc, last)
			b.alter(history.OK, compacts)
			b.final(rc, only(t0), first, last)
		}, checker.PollSkip),
		begun("superseded by what has gone for its age", keeps, func(b *script) {
			b.produce("p", one(), two(), keyed(stamped(sent(t0, 2, 3), 900), 6))
			b.alter(history.OK, history.Topic{Compacted: true, Tombstones: time.Minute, Retention: 500 * time.Millisecond})
			b.pass(600 * time.Millisecond)
			b.final(rc, only(t0), of(6, stampedRec(t0, 2, 3, 900)))
			b.lastly(observe("1", 2, 3, 3))
		}),
	})
}

func TestRetentionChanges(t *testing.T) {
	const short, long = 5 * time.Second, time.Minute
	gone := func(b *script) {
		b.final(rc, only(t0))
		b.lastly(observe("1", 1, 1, 1))
	}
	judge(t, []scripted{
		begun("it was lowered", retains(long), func(b *script) {
			b.produce("p", one())
			b.alter(history.OK, retains(short))
			b.pass(short)
			gone(b)
		}),
		begun("it was to be lowered, and was not", retains(long), func(b *script) {
			b.produce("p", one())
			b.alter(history.Failed, retains(short))
			b.pass(short)
			gone(b)
		}, checker.LogStartAhead),
		begun("it may have been lowered", retains(long), func(b *script) {
			b.produce("p", one())
			b.alter(history.Unknown, retains(short))
			b.pass(short)
			gone(b)
		}),
		begun("it is to be lowered later", retains(long), func(b *script) {
			b.produce("p", one())
			b.pass(short)
			gone(b)
			b.alter(history.OK, retains(short))
		}, checker.LogStartAhead),
		begun("it was raised", retains(short), func(b *script) {
			b.produce("p", one())
			b.alter(history.OK, retains(long))
			b.pass(short)
			gone(b)
		}, checker.LogStartAhead),
		begun("it was raised when they were old", retains(short), func(b *script) {
			b.produce("p", one())
			b.pass(short)
			b.alter(history.OK, retains(long))
			gone(b)
		}),
		begun("it was raised after it may have been lowered", retains(long), func(b *script) {
			b.produce("p", one())
			b.alter(history.Unknown, retains(short))
			b.alter(history.OK, retains(long))
			b.pass(short)
			gone(b)
		}),
		begun("it was raised long after it may have been lowered", retains(long), func(b *script) {
			b.alter(history.Unknown, retains(short))
			b.pass(checker.Lingering)
			b.alter(history.OK, retains(long))
			b.pass(trailing)
			b.produce("p", keyed(stamped(sent(t0, 0, 1), (checker.Lingering+trailing).Milliseconds()), 5))
			b.pass(short)
			gone(b)
		}, checker.LogStartAhead),
	})
}

// TestLogStartsPassWhatIsCompactedAway: what is left around it is older.
func TestLogStartsPassWhatIsCompactedAway(t *testing.T) {
	const retention = 100 * time.Millisecond
	young := func(key int64) func(*script) {
		return func(b *script) {
			b.produce("p", one())
			b.pass(retention)
			b.produce("p", keyed(stamped(sent(t0, 1, 2), 100), 6), keyed(stamped(sent(t0, 2, 3), 100), key))
			b.final(rc, only(t0), of(key, stampedRec(t0, 2, 3, 100)))
			b.lastly(observe("1", 2, 3, 3))
		}
	}
	both := history.Topic{Compacted: true, Tombstones: time.Minute, Retention: retention}
	judge(t, []scripted{
		begun("superseded", both, young(6)),
		begun("not superseded", both, young(7), checker.LogStartAhead),
		begun("superseded, in a topic that is not compacted", retains(retention), young(6), checker.LogStartAhead),
	})
}

func TestCompactionLag(t *testing.T) {
	judge(t, []scripted{
		begun("superseded, and both are old enough", lags, func(b *script) {
			b.produce("p", one(), two())
			b.pass(lags.Lag)
			b.final(rc, only(t0), readTwo())
		}),
		begun("superseded, and both are too young", lags, func(b *script) {
			b.produce("p", one(), two())
			b.final(rc, only(t0), readTwo())
		}, checker.LostWrite),
		begun("superseded by one that is too young", lags, func(b *script) {
			b.produce("p", keyed(stamped(sent(t0, 0, 1), -900), 5), two())
			b.final(rc, only(t0), readTwo())
		}, checker.LostWrite),
		begun("aborted, and too young", lags, func(b *script) {
			b.op(txn("q", aborted, keyed(stamped(sent(t0, 0, 1), 5), 5)))
			b.final(ru, only(t0))
			b.final(rc, only(t0))
		}, checker.Unseen),
		begun("aborted, and old enough", lags, func(b *script) {
			b.op(txn("q", aborted, keyed(stamped(sent(t0, 0, 1), 5), 5)))
			b.pass(lags.Lag)
			b.final(ru, only(t0))
			b.final(rc, only(t0))
		}),
	})
}

// TestRecordsWithoutTimes are as old as it is since they were sent, by a clock that may have been behind.
func TestRecordsWithoutTimes(t *testing.T) {
	const retention = 100 * time.Millisecond
	untimed := func(gains, pass time.Duration) func(*script) {
		return func(b *script) {
			b.h.Gains = gains
			s := sent(t0, 0, 1)
			s.Send.Timestamp = -1
			b.produce("p", s)
			b.pass(pass)
			b.final(rc, only(t0))
			b.lastly(observe("1", 1, 1, 1))
		}
	}
	judge(t, []scripted{
		begun("old", retains(retention), untimed(0, retention)),
		begun("young", retains(retention), untimed(0, retention/2), checker.LogStartAhead),
		begun("old by a clock that was behind", retains(retention), untimed(retention/2, retention/2)),
	})
}
