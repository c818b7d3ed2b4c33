package checker_test

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

// tombstones is how long those of the topic of t0 stay.
const tombstones = 100 * time.Millisecond

// keyed gives a send a key.
func keyed(s history.Step, key int64) history.Step {
	s.Send.Key = key
	return s
}

// tombstone makes one of a send.
func tombstone(s history.Step, key int64) history.Step {
	s.Send.Tombstone = true
	return keyed(s, key)
}

// of is a record that was read, with its key.
func of(key int64, r history.Record) history.Record {
	r.Key = key
	return r
}

func no(key int64, r history.Record) history.Record {
	r.Tombstone = true
	return of(key, r)
}

// compacted makes a case in whose topic t is compacted.
func compacted(name string, then func(*script), want ...string) scripted {
	return scripted{name, func(b *script) {
		b.h.Topics = []history.Topic{{Name: "t", Compacted: true, Tombstones: tombstones}}
		then(b)
	}, want}
}

func TestCompaction(t *testing.T) {
	judge(t, []scripted{
		compacted("nothing is gone yet", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), keyed(sent(t0, 1, 2), 5))
			b.final(rc, only(t0), of(5, rec(t0, 0, 1)), of(5, rec(t0, 1, 2)))
		}),
		compacted("what is superseded is gone", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), keyed(sent(t0, 1, 2), 6), keyed(sent(t0, 2, 3), 5))
			b.final(rc, only(t0), of(6, rec(t0, 1, 2)), of(5, rec(t0, 2, 3)))
		}),
		compacted("the newest of a key is gone", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), keyed(sent(t0, 1, 2), 5), keyed(sent(t0, 2, 3), 6))
			b.final(rc, only(t0), of(5, rec(t0, 0, 1)), of(6, rec(t0, 2, 3)))
		}, checker.LostWrite, checker.PollSkip),
		compacted("a key has nothing left", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), keyed(sent(t0, 1, 2), 5), keyed(sent(t0, 2, 3), 6))
			b.final(rc, only(t0), of(6, rec(t0, 2, 3)))
		}, checker.LostWrite),
		compacted("the only one of a key is gone, at the end", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), keyed(sent(t0, 1, 2), 6))
			b.final(rc, only(t0), of(5, rec(t0, 0, 1)))
		}, checker.Unseen),
		compacted("superseded by the same key of another partition", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), keyed(sent(t1, 1, 2), 5), keyed(sent(t0, 1, 3), 6))
			b.final(rc, only(t0, t1), of(5, rec(t1, 1, 2)), of(6, rec(t0, 1, 3)))
		}, checker.LostWrite),
		compacted("superseded by one without an answer, which is there", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), keyed(unanswered(t0, 2), 5))
			b.final(rc, only(t0), of(5, rec(t0, 1, 2)))
		}),
		compacted("superseded by one without an answer, which is not there", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), keyed(unanswered(t0, 2), 5), keyed(sent(t0, 1, 3), 6))
			b.final(rc, only(t0), of(6, rec(t0, 1, 3)))
		}, checker.LostWrite),
		compacted("superseded by one that was refused", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), keyed(refused(t0, 2), 5), keyed(sent(t0, 1, 3), 6))
			b.final(rc, only(t0), of(6, rec(t0, 1, 3)))
		}, checker.LostWrite),
		compacted("superseded by one that one of two readers lacks", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), keyed(sent(t0, 1, 2), 5), keyed(sent(t0, 2, 3), 6))
			b.final(rc, only(t0), of(5, rec(t0, 1, 2)), of(6, rec(t0, 2, 3)))
			b.final(ru, only(t0), of(6, rec(t0, 2, 3)))
		}, checker.LostWrite),
		compacted("two values at an offset, before and after", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), keyed(sent(t0, 1, 2), 5))
			b.poll("c", rc, of(5, rec(t0, 0, 1)))
			b.final(rc, only(t0), of(5, rec(t0, 0, 2)))
		}, checker.InconsistentOffsets),
		compacted("the topic is another", func(b *script) {
			b.produce("p", keyed(sent(u0, 0, 1), 5), keyed(sent(u0, 1, 2), 5))
			b.final(rc, only(u0), of(5, rec(u0, 1, 2)))
		}, checker.LostWrite),
	})
}

func TestTombstones(t *testing.T) {
	deleted := func(b *script) {
		b.produce("p", keyed(sent(t0, 0, 1), 5), tombstone(sent(t0, 1, 2), 5), keyed(sent(t0, 2, 3), 6))
	}
	last := of(6, rec(t0, 2, 3))
	judge(t, []scripted{
		compacted("it is there", func(b *script) {
			deleted(b)
			b.final(rc, only(t0), no(5, rec(t0, 1, 2)), last)
		}),
		compacted("it is gone in time", func(b *script) {
			deleted(b)
			b.pass(tombstones)
			b.final(rc, only(t0), last)
		}),
		compacted("it is gone too early", func(b *script) {
			deleted(b)
			b.final(rc, only(t0), last)
		}, checker.LostWrite),
		compacted("it is gone in time by a clock that was ahead", func(b *script) {
			deleted(b)
			b.h.Ahead = tombstones
			b.final(rc, only(t0), last)
		}),
		compacted("it is gone in time by a clock that was behind and was set right", func(b *script) {
			deleted(b)
			b.h.Gains = tombstones
			b.final(rc, only(t0), last)
		}),
		compacted("it is gone before even that clock would have it", func(b *script) {
			deleted(b)
			b.h.Gains = tombstones / 2
			b.final(rc, only(t0), last)
		}, checker.LostWrite),
		compacted("it is gone in time, and what it deleted is there again", func(b *script) {
			deleted(b)
			b.pass(tombstones)
			whole(b, history.Operation{Client: "c"}, 3, of(5, rec(t0, 0, 1)), last)
			b.final(rc, only(t0), last)
		}, checker.WrongValue),
		compacted("it was without an answer, and is gone with what it deleted", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), tombstone(unanswered(t0, 2), 5), keyed(sent(t0, 2, 3), 6))
			b.pass(tombstones)
			b.final(rc, only(t0), last)
		}),
		compacted("it was without an answer, and is gone too early", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), tombstone(unanswered(t0, 2), 5), keyed(sent(t0, 2, 3), 6))
			b.final(rc, only(t0), last)
		}, checker.LostWrite),
		compacted("one that came later is gone with what came before", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), keyed(sent(t0, 1, 4), 5), keyed(sent(t0, 2, 3), 6), tombstone(sent(t0, 3, 2), 5))
			b.pass(tombstones)
			b.final(rc, only(t0), last)
		}),
		compacted("one that came before excuses nothing", func(b *script) {
			b.produce("p", tombstone(sent(t0, 0, 2), 5), keyed(sent(t0, 1, 1), 5), keyed(sent(t0, 2, 3), 6))
			b.pass(tombstones)
			b.final(rc, only(t0), last)
		}, checker.LostWrite),
	})
}

func TestCompactionOfTransactions(t *testing.T) {
	superseding := func(end ends) func(*script) {
		return func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5))
			b.op(txn("q", end, keyed(sent(t0, 1, 2), 5)))
			b.produce("p", keyed(sent(t0, 3, 3), 6))
		}
	}
	last := of(6, rec(t0, 3, 3))
	judge(t, []scripted{
		compacted("superseded by what is committed", func(b *script) {
			superseding(committed)(b)
			b.final(rc, only(t0), of(5, rec(t0, 1, 2)), last)
			b.final(ru, only(t0), of(5, rec(t0, 1, 2)), last)
		}),
		compacted("what is aborted is gone", func(b *script) {
			superseding(aborted)(b)
			b.final(rc, only(t0), of(5, rec(t0, 0, 1)), last)
			b.final(ru, only(t0), of(5, rec(t0, 0, 1)), last)
		}),
		compacted("superseded by what is aborted", func(b *script) {
			superseding(aborted)(b)
			b.final(rc, only(t0), last)
			b.final(ru, only(t0), last)
		}, checker.LostWrite),
		compacted("superseded by what is aborted, which is there", func(b *script) {
			superseding(aborted)(b)
			b.final(rc, only(t0), last)
			b.final(ru, only(t0), of(5, rec(t0, 1, 2)), last)
		}, checker.LostWrite),
		compacted("in doubt, and gone", func(b *script) {
			superseding(inDoubt)(b)
			b.final(rc, only(t0), of(5, rec(t0, 0, 1)), last)
			b.final(ru, only(t0), of(5, rec(t0, 0, 1)), last)
		}),
		compacted("in doubt, and superseding, and gone", func(b *script) {
			superseding(inDoubt)(b)
			b.final(rc, only(t0), last)
		}, checker.LostWrite),
		compacted("in doubt, read, and gone", func(b *script) {
			superseding(inDoubt)(b)
			b.poll("c", rc, of(5, rec(t0, 1, 2)))
			b.final(rc, only(t0), of(5, rec(t0, 0, 1)), last)
		}, checker.LostWrite, checker.PollSkip),
		compacted("what is aborted is shown", func(b *script) {
			superseding(aborted)(b)
			b.final(rc, only(t0), of(5, rec(t0, 1, 2)), last)
		}, checker.AbortedRead, checker.LostWrite),
		compacted("a part of a transaction is superseded", func(b *script) {
			b.op(txn("q", inDoubt, keyed(sent(t0, 0, 1), 5), keyed(sent(t0, 1, 2), 6)))
			b.produce("p", keyed(sent(t0, 3, 3), 5))
			b.final(rc, only(t0), of(6, rec(t0, 1, 2)), of(5, rec(t0, 3, 3)))
		}),
		compacted("a part of a transaction is lost", func(b *script) {
			b.op(txn("q", inDoubt, keyed(sent(t0, 0, 1), 5), keyed(sent(t0, 1, 2), 6)))
			b.produce("p", keyed(sent(t0, 3, 3), 6))
			b.final(rc, only(t0), of(6, rec(t0, 1, 2)), of(6, rec(t0, 3, 3)))
		}, checker.TornTransaction),
	})
}

// TestCompactionIsPassedBy: a consumer passes over what may be gone by then, and over nothing else.
func TestCompactionIsPassedBy(t *testing.T) {
	judge(t, []scripted{
		compacted("what is superseded", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 4), keyed(sent(t0, 1, 2), 5), keyed(sent(t0, 2, 3), 5))
			b.poll("c", rc, of(4, rec(t0, 0, 1)), of(5, rec(t0, 2, 3)))
			b.final(rc, only(t0), of(4, rec(t0, 0, 1)), of(5, rec(t0, 2, 3)))
		}),
		compacted("what is superseded later", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 4), keyed(sent(t0, 1, 2), 5), keyed(sent(t0, 2, 3), 6))
			b.poll("c", rc, of(4, rec(t0, 0, 1)), of(6, rec(t0, 2, 3)))
			b.produce("p", keyed(sent(t0, 3, 4), 5))
			b.final(rc, only(t0), of(4, rec(t0, 0, 1)), of(6, rec(t0, 2, 3)), of(5, rec(t0, 3, 4)))
		}, checker.PollSkip),
		compacted("what is superseded, and there yet", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 4), keyed(sent(t0, 1, 2), 5), keyed(sent(t0, 2, 3), 5))
			b.poll("c", rc, of(4, rec(t0, 0, 1)), of(5, rec(t0, 2, 3)))
			b.final(rc, only(t0), of(4, rec(t0, 0, 1)), of(5, rec(t0, 1, 2)), of(5, rec(t0, 2, 3)))
		}, checker.PollSkip),
		compacted("a final reader past what an earlier one found", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 4), keyed(sent(t0, 1, 2), 5), keyed(sent(t0, 2, 3), 5))
			b.final(ru, only(t0), of(4, rec(t0, 0, 1)), of(5, rec(t0, 1, 2)), of(5, rec(t0, 2, 3)))
			b.final(rc, only(t0), of(4, rec(t0, 0, 1)), of(5, rec(t0, 2, 3)))
		}),
		compacted("a tombstone that is young", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 4), tombstone(sent(t0, 1, 2), 5), keyed(sent(t0, 2, 3), 6))
			b.poll("c", rc, of(4, rec(t0, 0, 1)), of(6, rec(t0, 2, 3)))
			b.pass(tombstones)
			b.final(rc, only(t0), of(4, rec(t0, 0, 1)), of(6, rec(t0, 2, 3)))
		}, checker.PollSkip),
		compacted("a tombstone that is old", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 4), tombstone(sent(t0, 1, 2), 5), keyed(sent(t0, 2, 3), 6))
			b.pass(tombstones)
			b.poll("c", rc, of(4, rec(t0, 0, 1)), of(6, rec(t0, 2, 3)))
			b.final(rc, only(t0), of(4, rec(t0, 0, 1)), of(6, rec(t0, 2, 3)))
		}),
		compacted("back to an offset before", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 4), keyed(sent(t0, 1, 2), 5))
			b.poll("c", rc, of(5, rec(t0, 1, 2)))
			b.poll("c", rc, of(4, rec(t0, 0, 1)))
			b.final(rc, only(t0), of(4, rec(t0, 0, 1)), of(5, rec(t0, 1, 2)))
		}, checker.NonmonotonicPoll),
	})
}

// whole adds a reading of t0 from its start to an end; within the time that is given with the operation, if any.
func whole(b *script, o history.Operation, end int64, records ...history.Record) {
	o.Kind, o.Broker, o.Whole = history.Poll, "1", true
	o.Partitions, o.Offsets, o.Steps = only(t0), at(t0, end), []history.Step{reads(records...)}
	if o.Isolation == "" {
		o.Isolation = rc
	}
	b.op(o)
}

func TestWholeReadings(t *testing.T) {
	all := []history.Record{of(5, rec(t0, 0, 1)), of(5, rec(t0, 1, 2)), of(6, rec(t0, 2, 3))}
	// reading is one of three records, of which the second supersedes the first, and is read finally without it.
	reading := func(o history.Operation, end int64, records ...history.Record) func(*script) {
		return func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), keyed(sent(t0, 1, 2), 5), keyed(sent(t0, 2, 3), 6))
			o.Client = "c"
			whole(b, o, end, records...)
			b.final(rc, only(t0), all[1:]...)
		}
	}
	judge(t, []scripted{
		compacted("all", reading(history.Operation{}, 3, all...)),
		compacted("what is left", reading(history.Operation{}, 3, all[1:]...)),
		compacted("the old value alone", reading(history.Operation{}, 3, all[0], all[2]), checker.WrongValue, checker.PollSkip),
		compacted("the old value, and it did not come further", reading(history.Operation{}, 1, all[0])),
		compacted("nothing of a key", reading(history.Operation{}, 3, all[2]), checker.WrongValue),
		compacted("nothing at all", reading(history.Operation{}, 3), checker.WrongValue),
		compacted("nothing at all, and it failed", reading(history.Operation{Outcome: history.Failed}, 3)),
		compacted("what came after it began is missing", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5))
			b.op(history.Operation{
				Kind: history.Poll, Client: "c", Isolation: rc, Broker: "1", Whole: true, Partitions: only(t0), Offsets: at(t0, 1),
				Steps: []history.Step{reads(all[0])},
			}, func() { b.produce("p", keyed(sent(t0, 1, 2), 5), keyed(sent(t0, 2, 3), 6)) })
			b.final(rc, only(t0), all[1:]...)
		}),
		compacted("in more time than tombstones stay", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), tombstone(sent(t0, 1, 2), 5), keyed(sent(t0, 2, 3), 6))
			b.op(history.Operation{
				Kind: history.Poll, Client: "c", Isolation: rc, Broker: "1", Whole: true, Partitions: only(t0), Offsets: at(t0, 3),
				Steps: []history.Step{reads(all[0], all[2])},
			}, func() { b.pass(tombstones) })
			b.last().Steps[0].Ended = history.Moment{} // with the operation
			b.final(rc, only(t0), all[2])
		}),
		compacted("a tombstone is gone with what it deleted", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), tombstone(sent(t0, 1, 2), 5), keyed(sent(t0, 2, 3), 6))
			b.pass(tombstones)
			whole(b, history.Operation{Client: "c"}, 3, all[2])
			b.final(rc, only(t0), all[2])
		}),
		compacted("at read_uncommitted, what is aborted is no newer value", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5), keyed(sent(t0, 1, 2), 5))
			b.op(txn("q", aborted, keyed(sent(t0, 2, 3), 5)))
			whole(b, history.Operation{Client: "c", Isolation: ru}, 4, all[0], of(5, rec(t0, 2, 3)))
			b.final(rc, only(t0), all[1])
		}, checker.WrongValue, checker.PollSkip),
		compacted("the newest is in a transaction that was open", func(b *script) {
			b.produce("p", keyed(sent(t0, 0, 1), 5))
			b.op(txn("q", committed, keyed(sent(t0, 1, 2), 5)), func() {
				whole(b, history.Operation{Client: "c", Isolation: rc}, 2, all[0])
			})
			b.final(rc, only(t0), all[1])
		}),
	})
}
