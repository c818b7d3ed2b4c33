package checker_test

import (
	"testing"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

func TestWrites(t *testing.T) {
	judge(t, []scripted{
		{"all there", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2), sent(t1, 0, 3))
			b.final(rc, only(t0, t1), rec(t0, 0, 1), rec(t0, 1, 2), rec(t1, 0, 3))
		}, nil},
		{"lost in the middle", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2), sent(t0, 2, 3))
			b.final(rc, only(t0), rec(t0, 0, 1), rec(t0, 2, 3))
		}, []string{checker.LostWrite}},
		{"lost, and another in its place", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2))
			b.produce("q", unanswered(t0, 3))
			b.final(rc, only(t0), rec(t0, 0, 3), rec(t0, 1, 2))
		}, []string{checker.LostWrite, checker.InconsistentOffsets}},
		{"never seen, at the end", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, []string{checker.Unseen}},
		{"never seen, in a partition in which nothing is", func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.final(rc, only(t0))
		}, []string{checker.Unseen}},
		{"seen, and lost at the end", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2))
			b.poll("c", ru, rec(t0, 0, 1), rec(t0, 1, 2))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, []string{checker.LostWrite}},
		{"without an answer, read, and lost", func(b *script) {
			b.produce("p", unanswered(t0, 1))
			b.poll("c", rc, rec(t0, 0, 1))
			b.final(rc, only(t0))
		}, []string{checker.LostWrite}},
		{"without an answer, and lost", func(b *script) {
			b.produce("p", unanswered(t0, 1), sent(t0, 0, 2))
			b.final(rc, only(t0), rec(t0, 0, 2))
		}, nil},
		{"without an answer, and there much later", func(b *script) {
			b.produce("p", unanswered(t0, 1))
			b.produce("q", sent(t0, 0, 2))
			b.poll("c", rc, rec(t0, 0, 2))
			b.final(rc, only(t0), rec(t0, 0, 2), rec(t0, 1, 1))
		}, nil},
		{"without an answer, read, and lost from the log", func(b *script) {
			b.produce("p", unanswered(t0, 1))
			b.poll("c", ru, rec(t0, 0, 1))
			b.final(ru, only(t0))
		}, []string{checker.LostWrite}},
		{"without an answer, and there only for a later final reader", func(b *script) {
			b.produce("p", unanswered(t0, 1), sent(t0, 0, 2))
			b.final(rc, only(t0), rec(t0, 0, 2))
			b.final(ru, only(t0), rec(t0, 0, 2), rec(t0, 1, 1))
		}, nil},
		{"without an answer, and there only for an earlier final reader", func(b *script) {
			b.produce("p", unanswered(t0, 1), sent(t0, 0, 2))
			b.final(ru, only(t0), rec(t0, 0, 2), rec(t0, 1, 1))
			b.final(rc, only(t0), rec(t0, 0, 2))
		}, []string{checker.LostWrite}},
		{"without an answer, and a final reader that lacks it was past it", func(b *script) {
			b.produce("p", unanswered(t0, 1), sent(t0, 1, 2))
			b.final(rc, only(t0), rec(t0, 1, 2))
			b.final(ru, only(t0), rec(t0, 0, 1), rec(t0, 1, 2))
		}, []string{checker.LostWrite}},
		{"refused, and absent", func(b *script) {
			b.produce("p", refused(t0, 1))
			b.final(rc, only(t0))
		}, nil},
		{"one of two final readers lacks one", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2))
			b.final(rc, only(t0), rec(t0, 0, 1), rec(t0, 1, 2))
			b.final(rc, only(t0), rec(t0, 0, 1))
			b.last().Client = "another final"
		}, []string{checker.LostWrite}},
		{"read_uncommitted lacks one", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2))
			b.final(rc, only(t0), rec(t0, 0, 1), rec(t0, 1, 2))
			b.final(ru, only(t0), rec(t0, 1, 2))
		}, []string{checker.LostWrite}},
		{"finally read by many polls after an assignment", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2), sent(t1, 0, 3))
			b.op(history.Operation{Kind: history.Assign, Client: "f", Final: true, Partitions: only(t0, t1)})
			for _, r := range []history.Record{rec(t0, 0, 1), rec(t1, 0, 3), rec(t0, 1, 2)} {
				b.poll("f", rc, r)
				b.last().Final, b.last().Outcome = true, history.Unknown
			}
			b.last().Outcome = history.OK
		}, nil},
		{"deleted", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2))
			b.op(history.Operation{Kind: history.DeleteRecords, Outcome: history.Unknown, Offsets: []history.At{{Partition: t0, Offset: 1}}})
			b.final(rc, only(t0), rec(t0, 1, 2))
		}, nil},
		{"deleted, and more than that", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2), sent(t0, 2, 3))
			b.op(history.Operation{Kind: history.DeleteRecords, Offsets: []history.At{{Partition: t0, Offset: 1}}})
			b.final(rc, only(t0), rec(t0, 2, 3))
		}, []string{checker.LostWrite}},
		{"not deleted, since that was refused", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2))
			b.op(history.Operation{Kind: history.DeleteRecords, Outcome: history.Failed, Offsets: []history.At{{Partition: t0, Offset: 1}}})
			b.final(rc, only(t0), rec(t0, 1, 2))
		}, []string{checker.LostWrite}},
	})
}

func TestWritesOfTransactions(t *testing.T) {
	judge(t, []scripted{
		{"committed", func(b *script) {
			b.op(txn("p", committed, sent(t0, 0, 1), sent(t1, 0, 2)))
			b.final(rc, only(t0, t1), rec(t0, 0, 1), rec(t1, 0, 2))
		}, nil},
		{"committed, and one lost", func(b *script) {
			b.op(txn("p", committed, sent(t0, 0, 1), sent(t1, 0, 2)))
			b.final(rc, only(t0, t1), rec(t0, 0, 1))
		}, []string{checker.Unseen}},
		{"committed, with a send that was not answered", func(b *script) {
			b.op(txn("p", committed, sent(t0, 0, 1), unanswered(t0, 2)))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, nil},
		{"committed, and only read_uncommitted finds it", func(b *script) {
			b.op(txn("p", committed, sent(t0, 0, 1)))
			b.final(ru, only(t0), rec(t0, 0, 1))
			b.final(rc, only(t0))
		}, []string{checker.LostWrite}},
		{"aborted, and absent where it should", func(b *script) {
			b.op(txn("p", aborted, sent(t0, 0, 1)))
			b.final(ru, only(t0), rec(t0, 0, 1))
			b.final(rc, only(t0))
		}, nil},
		{"aborted, and lost from the log", func(b *script) {
			b.op(txn("p", aborted, sent(t0, 0, 1), sent(t0, 1, 2)))
			b.final(ru, only(t0), rec(t0, 1, 2))
			b.final(rc, only(t0))
		}, []string{checker.LostWrite}},
		{"in doubt, and there", func(b *script) {
			b.op(txn("p", inDoubt, sent(t0, 0, 1), sent(t1, 0, 2)))
			b.final(rc, only(t0, t1), rec(t0, 0, 1), rec(t1, 0, 2))
		}, nil},
		{"in doubt, and not there", func(b *script) {
			b.op(txn("p", inDoubt, sent(t0, 0, 1), sent(t1, 0, 2)))
			b.final(rc, only(t0, t1))
		}, nil},
		{"in doubt, and in part", func(b *script) {
			b.op(txn("p", inDoubt, sent(t0, 0, 1), sent(t1, 0, 2)))
			b.final(rc, only(t0, t1), rec(t0, 0, 1))
		}, []string{checker.TornTransaction}},
		{"in doubt, and the part that was not answered is there", func(b *script) {
			b.op(txn("p", inDoubt, unanswered(t0, 1), sent(t1, 0, 2)))
			b.final(rc, only(t0, t1), rec(t0, 0, 1))
		}, []string{checker.TornTransaction}},
		{"in doubt, and the part that was not answered is not", func(b *script) {
			b.op(txn("p", inDoubt, unanswered(t0, 1), sent(t1, 0, 2)))
			b.final(rc, only(t0, t1), rec(t1, 0, 2))
		}, nil},
		{"in doubt, read, and gone", func(b *script) {
			b.op(txn("p", inDoubt, sent(t0, 0, 1)), func() {})
			b.poll("c", rc, rec(t0, 0, 1))
			b.final(rc, only(t0))
		}, []string{checker.LostWrite}},
		{"in doubt, read, and in part gone", func(b *script) {
			b.op(txn("p", inDoubt, sent(t0, 0, 1), sent(t1, 0, 2)))
			b.poll("c", rc, rec(t0, 0, 1), rec(t1, 0, 2))
			b.final(rc, only(t0, t1), rec(t0, 0, 1))
		}, []string{checker.LostWrite}},
		{"committed, without a send that was not answered and came too late for it", func(b *script) {
			b.op(txn("p", committed, sent(t0, 0, 1), unanswered(t0, 2)))
			b.poll("c", ru, rec(t0, 0, 1), rec(t0, 2, 2))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, nil},
		{"in doubt, read at read_uncommitted, and not committed", func(b *script) {
			b.op(txn("p", inDoubt, sent(t0, 0, 1)))
			b.poll("c", ru, rec(t0, 0, 1))
			b.final(rc, only(t0))
		}, nil},
		{"never decided", func(b *script) {
			b.op(txn("p", undecided, sent(t0, 0, 1)))
			b.final(rc, only(t0))
		}, nil},
	})
}

// No final read, no judgement; but what a final read that did not come to the end went past is missing all the same.
func TestFinalReads(t *testing.T) {
	judge(t, []scripted{
		{"a partition is not read", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t1, 0, 2))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, []string{checker.NoFinalRead}},
		{"did not come to the end", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2))
			b.final(rc, only(t0), rec(t0, 0, 1))
			b.last().Outcome = history.Unknown
		}, []string{checker.NoFinalRead}},
		{"did not come to the end, but past a record that it lacks", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2), sent(t0, 2, 3))
			b.final(rc, only(t0), rec(t0, 1, 2))
			b.last().Outcome = history.Unknown
		}, []string{checker.NoFinalRead, checker.LostWrite}},
		{"transactions, and none at read_committed", func(b *script) {
			b.op(txn("p", committed, sent(t0, 0, 1)))
			b.final(ru, only(t0), rec(t0, 0, 1))
		}, []string{checker.NoFinalRead}},
		{"no transactions, and one at read_uncommitted", func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.final(ru, only(t0), rec(t0, 0, 1))
		}, nil},
		{"nothing acknowledged in a partition that is not read", func(b *script) {
			b.produce("p", unanswered(t1, 1))
		}, nil},
	})
}

func TestFinalReadersThatDoNotSayWhatTheyRead(t *testing.T) {
	read := func(b *script, client string, outcome history.Outcome, records ...history.Record) {
		b.poll(client, rc, records...)
		b.last().Final, b.last().Outcome = true, outcome
	}
	for _, c := range []scripted{
		{"two that read everything together", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t1, 0, 2))
			read(b, "f", history.OK, rec(t0, 0, 1))
			read(b, "g", history.OK, rec(t1, 0, 2))
		}, nil},
		{"two that lack one", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t1, 0, 2))
			read(b, "f", history.OK, rec(t0, 0, 1))
			read(b, "g", history.OK)
		}, []string{checker.Unseen}},
		{"two of which one did not come to the end", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t1, 0, 2))
			read(b, "f", history.OK, rec(t0, 0, 1))
			read(b, "g", history.Unknown)
		}, []string{checker.NoFinalRead}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &script{}
			c.script(b)
			if got := found(&b.h); len(got) != len(c.want) || len(got) > 0 && got[0] != c.want[0] {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

func TestHistoriesThatProveNothing(t *testing.T) {
	t.Run("empty", func(t *testing.T) {
		if got := found(&history.History{}); len(got) != 2 || got[0] != checker.NoFinalRead || got[1] != checker.NothingHappened {
			t.Errorf("found %q", got)
		}
	})
	t.Run("nothing acknowledged", func(t *testing.T) {
		b := &script{}
		b.produce("p", unanswered(t0, 1))
		b.final(rc, only(t0), rec(t0, 0, 1))
		if got := found(&b.h); len(got) != 1 || got[0] != checker.NothingHappened {
			t.Errorf("found %q", got)
		}
	})
	t.Run("nothing read finally", func(t *testing.T) {
		b := &script{}
		b.produce("p", sent(t0, 0, 1))
		b.poll("c", rc, rec(t0, 0, 1))
		if got := found(&b.h); len(got) != 1 || got[0] != checker.NoFinalRead {
			t.Errorf("found %q", got)
		}
	})
}
