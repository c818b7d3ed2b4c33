package checker_test

import (
	"testing"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

func TestGenerations(t *testing.T) {
	commit := func(generation int32, outcome history.Outcome) history.Operation {
		return history.Operation{
			Kind: history.CommitOffsets, Outcome: outcome, Group: "g", Member: "m", Generation: generation, Classic: true, Offsets: at(t0, 1),
		}
	}
	assigned := func(generation int32) history.Operation {
		return history.Operation{
			Kind: history.Assigned, Client: "c", Group: "g", Member: "m", Generation: generation, Partitions: only(t0),
		}
	}
	all := func(operations ...history.Operation) func(*script) {
		return func(b *script) {
			for _, o := range operations {
				b.op(o)
			}
		}
	}
	epochs := commit(1, history.OK)
	epochs.Classic = false
	other := commit(1, history.OK)
	other.Group = "h"
	moved := txn("p", ends{true, true, history.OK}, sent(t0, 0, 1))
	moved.Group, moved.Generation, moved.Classic, moved.Offsets = "g", 1, true, at(t1, 1)
	stale := []string{checker.StaleGeneration}
	judge(t, []scripted{
		{"the present one", all(assigned(1), commit(1, history.OK), assigned(2), commit(2, history.OK)), nil},
		{"an earlier one", all(assigned(2), commit(1, history.OK)), stale},
		{"an earlier one than that of another commit", all(commit(2, history.OK), commit(1, history.OK)), stale},
		{"an earlier one is refused", all(assigned(2), commit(1, history.Failed)), nil},
		{"an earlier one without an answer", all(assigned(2), commit(1, history.Unknown)), nil},
		{"while the group goes on", func(b *script) { b.op(commit(1, history.OK), func() { b.op(assigned(2)) }) }, nil},
		{"members with epochs of their own", all(assigned(2), epochs), nil},
		{"another group", all(assigned(2), other), nil},
		{"in a transaction", func(b *script) {
			b.op(assigned(2))
			b.op(moved)
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, stale},
		{"after a transaction in a generation that nobody is known to have got assignments of", func(b *script) {
			later := moved
			later.Generation = 2
			b.op(later)
			b.op(commit(1, history.OK))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, nil},
	})
}

func TestAPatientProducerIsNotOutOfOrder(t *testing.T) {
	send := func(patient bool, text string) func(*script) {
		return func(b *script) {
			step := refused(t0, 1)
			step.Error = text
			b.op(history.Operation{Kind: history.Produce, Client: "p", Outcome: history.Failed, Patient: patient, Steps: []history.Step{step}})
		}
	}
	const outOfOrder = "OUT_OF_ORDER_SEQUENCE_NUMBER: The broker received an out of order sequence number."
	judge(t, []scripted{
		{"patient", send(true, outOfOrder), []string{checker.BadRefusal}},
		{"impatient", send(false, outOfOrder), nil},
		{"refused for another reason", send(true, "INVALID_PRODUCER_EPOCH"), nil},
	})
}
