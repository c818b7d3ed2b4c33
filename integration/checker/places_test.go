package checker_test

import (
	"testing"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

func TestPlaces(t *testing.T) {
	judge(t, []scripted{
		{"read twice at one offset", func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.poll("c", ru, rec(t0, 0, 1))
			b.poll("d", rc, rec(t0, 0, 1))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, nil},
		{"at two offsets", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2))
			b.final(rc, only(t0), rec(t0, 0, 1), rec(t0, 1, 2), rec(t0, 2, 1))
		}, []string{checker.Duplicate}},
		{"at two offsets, without an answer", func(b *script) {
			b.produce("p", unanswered(t0, 1))
			b.final(rc, only(t0), rec(t0, 0, 1), rec(t0, 1, 1))
		}, []string{checker.Duplicate}},
		{"at two offsets, for two readers", func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.poll("c", ru, rec(t0, 1, 1))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, []string{checker.Duplicate}},
		{"in two partitions", func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.final(rc, only(t0, t1), rec(t0, 0, 1), rec(t1, 0, 1))
		}, []string{checker.Duplicate, checker.WrongRecord}},
		{"in another partition", func(b *script) {
			b.produce("p", unanswered(t0, 1))
			b.final(rc, only(t0, t1), rec(t1, 0, 1))
		}, []string{checker.WrongRecord}},
		{"acknowledged elsewhere", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2))
			b.final(rc, only(t0), rec(t0, 0, 1), rec(t0, 2, 2))
		}, []string{checker.InconsistentOffsets}},
		{"acknowledged at one offset", func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.produce("q", sent(t0, 0, 2))
			b.final(rc, only(t0), rec(t0, 0, 1), rec(t0, 1, 2))
		}, []string{checker.InconsistentOffsets}},
		{"two readers find two records", func(b *script) {
			b.produce("p", unanswered(t0, 1))
			b.produce("q", unanswered(t0, 2))
			b.poll("c", ru, rec(t0, 0, 1))
			b.poll("d", rc, rec(t0, 0, 2))
			b.final(rc, only(t0), rec(t0, 0, 2))
		}, []string{checker.InconsistentOffsets, checker.LostWrite}},
		{"one offset in two partitions", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t1, 0, 2), sent(u0, 0, 3))
			b.final(rc, only(t0, t1, u0), rec(t0, 0, 1), rec(t1, 0, 2), rec(u0, 0, 3))
		}, nil},
	})
}

func TestRecords(t *testing.T) {
	judge(t, []scripted{
		{"nobody sent it", func(b *script) {
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, []string{checker.WrongRecord}},
		{"altered key", func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			altered := rec(t0, 0, 1)
			altered.Key = 5
			b.final(rc, only(t0), altered)
		}, []string{checker.WrongRecord}},
		{"altered source", func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.final(rc, only(t0), recOf(t0, 0, 1, 7))
		}, []string{checker.WrongRecord}},
		{"read before it was sent", func(b *script) {
			b.poll("c", ru, rec(t0, 0, 1))
			b.produce("p", sent(t0, 0, 1))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, []string{checker.WrongRecord}},
		{"read while it was sent", func(b *script) {
			b.op(history.Operation{Kind: history.Produce, Client: "p", Steps: []history.Step{sent(t0, 0, 1)}}, func() {
				b.poll("c", ru, rec(t0, 0, 1))
			})
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, nil},
		{"sent twice", func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.produce("p", unanswered(t0, 1))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, []string{checker.BadHistory}},
	})
}

func TestAcknowledgements(t *testing.T) {
	judge(t, []scripted{
		{"in order, with gaps", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t1, 5, 2), unanswered(t0, 3), sent(t0, 4, 4))
			b.produce("p", sent(t1, 6, 5), sent(t0, 7, 6))
			b.final(rc, only(t0, t1), rec(t0, 0, 1), rec(t0, 4, 4), rec(t0, 7, 6), rec(t1, 5, 2), rec(t1, 6, 5))
		}, nil},
		{"out of order within an operation", func(b *script) {
			b.produce("p", sent(t0, 1, 1), sent(t0, 0, 2))
			b.final(rc, only(t0), rec(t0, 0, 2), rec(t0, 1, 1))
		}, []string{checker.NonmonotonicSend}},
		{"out of order across operations", func(b *script) {
			b.produce("p", sent(t0, 1, 1))
			b.op(txn("p", committed, sent(t0, 0, 2)))
			b.final(rc, only(t0), rec(t0, 0, 2), rec(t0, 1, 1))
		}, []string{checker.NonmonotonicSend}},
		{"out of order with one that was not answered in between", func(b *script) {
			b.produce("p", sent(t0, 2, 1), unanswered(t0, 2), sent(t0, 1, 3))
			b.final(rc, only(t0), rec(t0, 0, 2), rec(t0, 1, 3), rec(t0, 2, 1))
		}, []string{checker.NonmonotonicSend}},
		{"one that was not answered stands later", func(b *script) {
			b.produce("p", unanswered(t0, 1), sent(t0, 0, 2))
			b.final(rc, only(t0), rec(t0, 0, 2), rec(t0, 1, 1))
		}, nil},
		{"two producers", func(b *script) {
			b.produce("p", sent(t0, 1, 1))
			b.produce("q", sent(t0, 0, 2))
			b.final(rc, only(t0), rec(t0, 0, 2), rec(t0, 1, 1))
		}, nil},
		{"two partitions", func(b *script) {
			b.produce("p", sent(t0, 1, 1), sent(t1, 0, 2))
			b.final(rc, only(t0, t1), rec(t0, 1, 1), rec(t1, 0, 2))
		}, nil},
		{"acknowledged without an offset", func(b *script) {
			b.produce("p", sent(t0, -1, 1))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, []string{checker.BadOffset}},
		{"acknowledged without an offset, and never seen", func(b *script) {
			b.produce("p", sent(t0, -1, 1), sent(t0, 0, 2))
			b.final(rc, only(t0), rec(t0, 0, 2))
		}, []string{checker.BadOffset, checker.Unseen}},
		{"refused with offset 0", func(b *script) {
			step := refused(t0, 1)
			step.Send.Offset = 0
			b.produce("p", step)
		}, []string{checker.BadOffset}},
		{"not answered, with offset 0", func(b *script) {
			step := unanswered(t0, 1)
			step.Send.Offset = 0
			b.produce("p", step)
		}, []string{checker.BadOffset}},
		{"read at a negative offset", func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.poll("c", ru, rec(t0, -1, 1))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, []string{checker.BadOffset, checker.Duplicate}},
	})
}
