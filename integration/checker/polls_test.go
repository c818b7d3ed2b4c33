package checker_test

import (
	"testing"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

// five records, of which the second and the fourth are of a transaction that is aborted, read finally.
func five(b *script) {
	b.produce("p", sent(t0, 0, 1), sent(t0, 2, 3), sent(t0, 4, 5))
	b.op(txn("q", aborted, sent(t0, 1, 2), sent(t0, 3, 4)))
	b.final(rc, only(t0), rec(t0, 0, 1), rec(t0, 2, 3), rec(t0, 4, 5))
	b.final(ru, only(t0), rec(t0, 0, 1), rec(t0, 1, 2), rec(t0, 2, 3), rec(t0, 3, 4), rec(t0, 4, 5))
}

// withFive makes a case of what happens after five.
func withFive(name string, then func(*script), want ...string) scripted {
	return scripted{name, func(b *script) { five(b); then(b) }, want}
}

func at(p history.Partition, offset int64) []history.At {
	return []history.At{{Partition: p, Offset: offset}}
}

func TestPolls(t *testing.T) {
	moved := func(kind history.Kind, partitions []history.Partition, offsets []history.At) func(*script) {
		return func(b *script) {
			b.poll("c", ru, rec(t0, 0, 1))
			b.op(history.Operation{Kind: kind, Client: "c", Partitions: partitions, Offsets: offsets})
			b.poll("c", ru, rec(t0, 3, 4))
		}
	}
	judge(t, []scripted{
		withFive("read_uncommitted sees all", func(b *script) {
			b.poll("c", ru, rec(t0, 0, 1), rec(t0, 1, 2))
			b.poll("c", ru, rec(t0, 2, 3), rec(t0, 3, 4), rec(t0, 4, 5))
		}),
		withFive("read_committed does not see what is aborted", func(b *script) {
			b.poll("c", rc, rec(t0, 0, 1), rec(t0, 2, 3))
			b.poll("c", rc, rec(t0, 4, 5))
		}),
		withFive("read_committed skips within a poll", func(b *script) {
			b.poll("c", rc, rec(t0, 0, 1), rec(t0, 4, 5))
		}, checker.PollSkip),
		withFive("read_committed skips across polls", func(b *script) {
			b.poll("c", rc, rec(t0, 0, 1))
			b.poll("c", rc)
			b.poll("c", rc, rec(t0, 4, 5))
		}, checker.PollSkip),
		withFive("read_uncommitted skips what is aborted", func(b *script) {
			b.poll("c", ru, rec(t0, 0, 1), rec(t0, 2, 3))
		}, checker.PollSkip),
		withFive("starts in the middle", func(b *script) {
			b.poll("c", rc, rec(t0, 4, 5))
		}),
		withFive("goes back within a poll", func(b *script) {
			b.poll("c", ru, rec(t0, 1, 2), rec(t0, 0, 1))
		}, checker.NonmonotonicPoll),
		withFive("goes back across polls", func(b *script) {
			b.poll("c", ru, rec(t0, 0, 1), rec(t0, 1, 2))
			b.poll("c", ru, rec(t0, 1, 2))
		}, checker.NonmonotonicPoll),
		withFive("goes back to what another client read", func(b *script) {
			b.poll("c", ru, rec(t0, 3, 4))
			b.poll("d", ru, rec(t0, 0, 1))
		}),
		withFive("goes back in a poll that failed half way", func(b *script) {
			b.poll("c", ru, rec(t0, 1, 2))
			b.poll("c", ru, rec(t0, 0, 1))
			b.last().Outcome, b.last().Steps[0].Outcome = history.Unknown, history.Unknown
		}, checker.NonmonotonicPoll),
		withFive("goes back with the partitions assigned anew", moved(history.Assign, only(t0), nil)),
		withFive("moves when it is subscribed", moved(history.Subscribe, []history.Partition{{Topic: "t", Number: -1}}, nil)),
		withFive("moves when it was assigned the partition", moved(history.Assigned, only(t0), nil)),
		withFive("moves when the partition was revoked", moved(history.Revoked, only(t0), nil)),
		withFive("moves when it was rewound", moved(history.Rewind, nil, nil)),
		withFive("moves when it was assigned another partition", moved(history.Assigned, only(t1), nil), checker.PollSkip),
		withFive("moves when it was rewound in another partition", moved(history.Rewind, nil, at(t1, 0)), checker.PollSkip),
		withFive("is where it was moved to", moved(history.Rewind, nil, at(t0, 3))),
		withFive("is where it was assigned to", moved(history.Assign, only(t0), at(t0, 3))),
		withFive("is after where it was moved to", moved(history.Rewind, nil, at(t0, 2)), checker.PollSkip),
		withFive("is after where it was assigned to", moved(history.Assign, only(t0), at(t0, 0)), checker.PollSkip),
		withFive("is before where it was moved to", moved(history.Rewind, nil, at(t0, 4)), checker.NonmonotonicPoll),
		withFive("is moved to where nobody knows", moved(history.Rewind, nil, at(t0, -1))),
		withFive("first reads past where it was assigned to", func(b *script) {
			b.op(history.Operation{Kind: history.Assign, Client: "c", Partitions: only(t0), Offsets: at(t0, 0)})
			b.poll("c", rc, rec(t0, 2, 3))
		}, checker.PollSkip),
		withFive("first reads past what is aborted where it was assigned to", func(b *script) {
			b.op(history.Operation{Kind: history.Assign, Client: "c", Partitions: only(t0), Offsets: at(t0, 1)})
			b.poll("c", rc, rec(t0, 2, 3))
		}),
		withFive("a rebalance in the middle of a poll does not excuse what it returns itself", func(b *script) {
			b.op(history.Operation{Kind: history.Poll, Client: "c", Isolation: ru, Steps: []history.Step{reads(rec(t0, 1, 2), rec(t0, 0, 1))}}, func() {
				b.op(history.Operation{Kind: history.Assigned, Client: "c", Partitions: only(t0)})
			})
			for i := range b.h.Operations {
				if o := &b.h.Operations[i]; o.Client == "c" && o.Kind == history.Poll {
					o.Steps[0].Ended = o.Ended
				}
			}
		}, checker.NonmonotonicPoll),
		withFive("a rewind in the middle of a poll may be before or after what it returns", func(b *script) {
			b.op(history.Operation{Kind: history.Poll, Client: "c", Isolation: ru, Steps: []history.Step{reads(rec(t0, 0, 1))}}, func() {
				b.op(history.Operation{Kind: history.Rewind, Client: "c", Offsets: at(t0, 3)})
			})
			for i := range b.h.Operations {
				if o := &b.h.Operations[i]; o.Client == "c" && o.Kind == history.Poll {
					o.Steps[0].Ended = o.Ended
				}
			}
		}),
		withFive("a rebalance in the middle of a poll may be before or after what it returns", func(b *script) {
			b.poll("c", ru, rec(t0, 3, 4))
			b.op(history.Operation{Kind: history.Poll, Client: "c", Isolation: ru, Steps: []history.Step{reads(rec(t0, 0, 1))}}, func() {
				b.op(history.Operation{Kind: history.Assigned, Client: "c", Partitions: only(t0)})
			})
			for i := range b.h.Operations {
				if o := &b.h.Operations[i]; o.Client == "c" && o.Kind == history.Poll {
					o.Steps[0].Ended = o.Ended
				}
			}
			b.poll("c", ru, rec(t0, 3, 4))
			b.poll("c", ru, rec(t0, 4, 5))
		}),
		withFive("after a rebalance it is monotonic again", func(b *script) {
			b.poll("c", ru, rec(t0, 3, 4))
			b.op(history.Operation{Kind: history.Assigned, Client: "c", Partitions: only(t0)})
			b.poll("c", ru, rec(t0, 1, 2))
			b.poll("c", ru, rec(t0, 0, 1))
		}, checker.NonmonotonicPoll),
		withFive("a rebalance of a worker whose client is not told", func(b *script) {
			b.poll("c", ru, rec(t0, 3, 4))
			b.op(history.Operation{Kind: history.Revoked, Partitions: only(t0)})
			b.poll("c", ru, rec(t0, 0, 1))
		}),
		withFive("a rebalance of another client", func(b *script) {
			b.poll("c", ru, rec(t0, 3, 4))
			b.op(history.Operation{Kind: history.Revoked, Client: "d", Partitions: only(t0)})
			b.poll("c", ru, rec(t0, 0, 1))
		}, checker.NonmonotonicPoll),
	})
}

func TestPollsOfTransactions(t *testing.T) {
	again := func(end ends) func(*script) {
		return func(b *script) {
			b.op(txn("c", end, reads(rec(t0, 0, 1), rec(t0, 2, 3))))
			b.op(txn("c", committed, reads(rec(t0, 0, 1), rec(t0, 2, 3))))
		}
	}
	judge(t, []scripted{
		withFive("committed, and read again", again(committed), checker.NonmonotonicPoll),
		withFive("aborted, and read again", again(aborted)),
		withFive("in doubt, and read again", again(inDoubt)),
		withFive("commit refused, and read again", again(commitRefused)),
		withFive("goes back within a transaction", func(b *script) {
			b.op(txn("c", aborted, reads(rec(t0, 2, 3)), reads(rec(t0, 0, 1))))
		}, checker.NonmonotonicPoll),
		withFive("skips across two that are committed", func(b *script) {
			b.op(txn("c", committed, reads(rec(t0, 0, 1))))
			b.op(txn("c", committed, reads(rec(t0, 4, 5))))
		}, checker.PollSkip),
	})
}

func TestPollsWithoutAllFinalReads(t *testing.T) {
	judge(t, []scripted{
		{"what was acknowledged counts at read_uncommitted", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 2, 3))
			b.op(txn("q", aborted, sent(t0, 1, 2)))
			b.poll("c", ru, rec(t0, 0, 1), rec(t0, 2, 3))
			b.final(rc, only(t0), rec(t0, 0, 1), rec(t0, 2, 3))
		}, []string{checker.PollSkip}},
		{"without transactions, both isolations see the same", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2), sent(t0, 2, 3))
			b.poll("c", rc, rec(t0, 0, 1), rec(t0, 2, 3))
			b.final(ru, only(t0), rec(t0, 0, 1), rec(t0, 1, 2), rec(t0, 2, 3))
		}, []string{checker.PollSkip}},
		{"deleted records may be missed", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2), sent(t0, 2, 3))
			b.final(ru, only(t0), rec(t0, 0, 1), rec(t0, 1, 2), rec(t0, 2, 3))
			b.op(history.Operation{Kind: history.DeleteRecords, Offsets: at(t0, 2)})
			b.poll("c", ru, rec(t0, 0, 1), rec(t0, 2, 3))
		}, nil},
	})
}
