package checker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

func TestIsolation(t *testing.T) {
	readBy := func(end ends, isolation history.Isolation) func(*script) {
		return func(b *script) {
			b.op(txn("p", end, sent(t0, 0, 1)))
			b.poll("c", isolation, rec(t0, 0, 1))
			b.final(ru, only(t0), rec(t0, 0, 1))
			if end == committed {
				b.final(rc, only(t0), rec(t0, 0, 1))
			} else {
				b.final(rc, only(t0))
			}
		}
	}
	judge(t, []scripted{
		{"committed, read", readBy(committed, rc), nil},
		{"aborted, read", readBy(aborted, rc), []string{checker.AbortedRead}},
		{"aborted without an answer, read", readBy(abortInDoubt, rc), []string{checker.AbortedRead}},
		{"commit refused, read", readBy(commitRefused, rc), []string{checker.AbortedRead}},
		{"never decided, read", readBy(undecided, rc), []string{checker.AbortedRead}},
		{"aborted, read at read_uncommitted", readBy(aborted, ru), nil},
		{"never decided, read at read_uncommitted", readBy(undecided, ru), nil},
		{"commit refused, read at read_uncommitted", readBy(commitRefused, ru), nil},
		{"aborted, read finally", func(b *script) {
			b.op(txn("p", aborted, sent(t0, 0, 1)))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, []string{checker.AbortedRead}},
		{"aborted, a send without an answer is read", func(b *script) {
			b.op(txn("p", aborted, unanswered(t0, 1)))
			b.poll("c", rc, rec(t0, 0, 1))
			b.final(rc, only(t0))
		}, []string{checker.AbortedRead}},
		{"in doubt, read by all", func(b *script) {
			b.op(txn("p", inDoubt, sent(t0, 0, 1)))
			b.poll("c", rc, rec(t0, 0, 1))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, nil},
		{"refused, read", func(b *script) {
			b.produce("p", refused(t0, 1))
			b.final(ru, only(t0), rec(t0, 0, 1))
		}, []string{checker.AbortedRead}},
		{"refused in a transaction that is committed, read", func(b *script) {
			b.op(txn("p", committed, refused(t0, 1)))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, []string{checker.AbortedRead}},
		{"refused after an attempt whose answer was lost, in a transaction that is not committed", func(b *script) {
			b.op(txn("p", undecided, refused(t0, 1)))
			b.final(ru, only(t0), rec(t0, 0, 1))
			b.final(rc, only(t0))
		}, nil},
		{"read before it is to be committed", func(b *script) {
			b.op(txn("p", committed, sent(t0, 0, 1)), func() { b.poll("c", rc, rec(t0, 0, 1)) })
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, []string{checker.PrecommittedRead}},
		{"read before it is to be committed, which is in doubt", func(b *script) {
			b.op(txn("p", inDoubt, sent(t0, 0, 1)), func() { b.poll("c", rc, rec(t0, 0, 1)) })
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, []string{checker.PrecommittedRead}},
		{"read before it is to be committed, at read_uncommitted", func(b *script) {
			b.op(txn("p", committed, sent(t0, 0, 1)), func() { b.poll("c", ru, rec(t0, 0, 1)) })
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, nil},
		{"read between the decision and its answer", func(b *script) {
			o := txn("p", committed, sent(t0, 0, 1))
			o.Deciding = history.Moment{}
			b.op(o, func() {
				b.h.Operations[len(b.h.Operations)-1].Deciding = b.moment()
				b.poll("c", rc, rec(t0, 0, 1))
			})
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, nil},
		{"a poll that is over after the decision", func(b *script) {
			// The poll began before the transaction, and ends after its decision was asked for.
			b.op(history.Operation{Kind: history.Poll, Client: "c", Isolation: rc, Steps: []history.Step{reads(rec(t0, 0, 1))}}, func() {
				b.op(txn("p", committed, sent(t0, 0, 1)))
			})
			for i := range b.h.Operations {
				if o := &b.h.Operations[i]; o.Client == "c" {
					o.Steps[0].Ended = o.Ended
				}
			}
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, nil},
	})
}

func TestCycles(t *testing.T) {
	// Transactions that read each other must be open at once; each is decided only then.
	twoAtOnce := func(first, second history.Operation) func(*script) {
		return func(b *script) {
			b.op(first, func() { b.op(second) })
			decided := b.moment()
			for i := range b.h.Operations {
				o := &b.h.Operations[i]
				if o.Kind != history.Transaction {
					continue
				}
				o.Ended, o.Deciding = decided, history.Moment{Seq: o.Begun.Seq + 1}
				for j := range o.Steps {
					o.Steps[j].Ended = decided
				}
			}
			b.final(rc, only(t0, t1), rec(t0, 0, 1), rec(t1, 0, 2))
		}
	}
	judge(t, []scripted{
		{"two read each other", twoAtOnce(
			txn("p", committed, sent(t0, 0, 1), reads(rec(t1, 0, 2))),
			txn("q", committed, sent(t1, 0, 2), reads(rec(t0, 0, 1))),
		), []string{checker.G1c}},
		{"two read each other at read_uncommitted", func(b *script) {
			first, second := txn("p", committed, sent(t0, 0, 1), reads(rec(t1, 0, 2))), txn("q", committed, sent(t1, 0, 2), reads(rec(t0, 0, 1)))
			first.Isolation, second.Isolation = ru, ru
			twoAtOnce(first, second)(b)
		}, nil},
		{"one reads the other", twoAtOnce(
			txn("p", committed, sent(t0, 0, 1)),
			txn("q", committed, sent(t1, 0, 2), reads(rec(t0, 0, 1))),
		), nil},
		{"one reads itself", twoAtOnce(
			txn("p", committed, sent(t0, 0, 1), reads(rec(t0, 0, 1))),
			txn("q", committed, sent(t1, 0, 2)),
		), nil},
	})
}

func TestCyclesOfMany(t *testing.T) {
	// A chain of n transactions, each of which reads the one before it; close makes the first read the last.
	chain := func(n int64, circle bool) *history.History {
		b := &script{}
		for i := range n {
			o := txn(fmt.Sprint(i), committed, sent(t0, i, i+1))
			if i > 0 {
				o.Steps = append(o.Steps, reads(rec(t0, i-1, i)))
			} else if circle {
				o.Steps = append(o.Steps, reads(rec(t0, n-1, n)))
			}
			b.op(o)
		}
		return &b.h
	}
	const n = 5_000
	for _, a := range checker.Check(chain(n, false)) {
		if a.Name == checker.G1c {
			t.Errorf("a chain is no circle: %v", a)
		}
	}
	var circles []checker.Anomaly
	for _, a := range checker.Check(chain(n, true)) {
		if a.Name == checker.G1c {
			circles = append(circles, a)
		}
	}
	if len(circles) != 1 || !strings.Contains(circles[0].Text, "5000 transactions") {
		t.Errorf("found %v", circles)
	}
}
