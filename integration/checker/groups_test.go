package checker_test

import (
	"testing"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

func commitOf(offset int64, generation int32, outcome history.Outcome) history.Operation {
	return history.Operation{
		Kind: history.CommitOffsets, Client: "g", Group: "g", Member: "m", Generation: generation, Outcome: outcome, Offsets: at(t0, offset),
	}
}

func committing(o history.Operation, offset int64) history.Operation {
	o.Group, o.Offsets = "g", at(t0, offset)
	return o
}

func fetchOf(offset int64) history.Operation {
	return history.Operation{Kind: history.FetchOffsets, Group: "g", Offsets: at(t0, offset)}
}

// inOrder makes a script of operations one after the other.
func inOrder(operations ...history.Operation) func(*script) {
	return func(b *script) {
		for _, o := range operations {
			b.op(o)
		}
	}
}

func TestCommittedOffsets(t *testing.T) {
	const ok, failed, unknown = history.OK, history.Failed, history.Unknown
	elsewhere := fetchOf(0)
	elsewhere.Group = "another"
	inVain := fetchOf(-1)
	inVain.Outcome = unknown
	judge(t, []scripted{
		{"forward", inOrder(fetchOf(-1), commitOf(1, 1, ok), fetchOf(1), commitOf(5, 1, ok), fetchOf(5), fetchOf(5)), nil},
		{"back", inOrder(commitOf(1, 1, ok), commitOf(5, 1, ok), fetchOf(1)), []string{checker.CommittedOffsetBack}},
		{"lost", inOrder(commitOf(1, 1, ok), fetchOf(-1)), []string{checker.CommittedOffsetBack}},
		{"lost after it was found", inOrder(commitOf(1, 1, unknown), fetchOf(1), fetchOf(-1)), []string{checker.CommittedOffsetBack}},
		{"back to what nobody committed", inOrder(commitOf(5, 1, ok), fetchOf(4)), []string{checker.CommittedOffsetBack}},
		{"another group", inOrder(commitOf(5, 1, ok), elsewhere), nil},
		{"a fetch that failed says nothing", inOrder(commitOf(5, 1, ok), inVain), nil},
		{"without an answer, and not there", inOrder(commitOf(1, 1, ok), commitOf(5, 1, unknown), fetchOf(1)), nil},
		{"without an answer, and there", inOrder(commitOf(1, 1, ok), commitOf(5, 1, unknown), fetchOf(5)), nil},
		{"without an answer, found, and back", inOrder(commitOf(1, 1, ok), commitOf(5, 1, unknown), fetchOf(5), fetchOf(1)), []string{checker.CommittedOffsetBack}},
		{"without an answer, and applied after a later one", inOrder(commitOf(1, 1, unknown), commitOf(5, 1, ok), fetchOf(5), fetchOf(1)), nil},
		{"without an answer, and applied after a later generation", inOrder(commitOf(1, 1, unknown), commitOf(5, 2, ok), fetchOf(5), fetchOf(1)), []string{checker.CommittedOffsetBack}},
		{"refused, and not there", inOrder(commitOf(1, 1, ok), commitOf(5, 1, failed), fetchOf(1)), nil},
		{"committed back by the group itself", inOrder(commitOf(5, 1, ok), commitOf(1, 1, ok), fetchOf(1)), nil},
		{"while it is committed", func(b *script) {
			b.op(commitOf(1, 1, ok))
			b.op(commitOf(5, 1, ok), func() {
				b.op(fetchOf(1))
			})
			b.op(fetchOf(5))
		}, nil},
		{"begun before it was committed", func(b *script) {
			b.op(commitOf(1, 1, ok))
			b.op(fetchOf(1), func() { b.op(commitOf(5, 1, ok)) })
		}, nil},
		{"two fetches at once", func(b *script) {
			b.op(commitOf(1, 1, ok))
			b.op(commitOf(5, 1, ok), func() {
				b.op(fetchOf(5), func() { b.op(fetchOf(1)) })
			})
		}, nil},
		{"in a transaction, committed", inOrder(committing(txn("p", committed), 5), fetchOf(5)), nil},
		{"in a transaction, committed and lost", inOrder(committing(txn("p", committed), 5), fetchOf(-1)), []string{checker.CommittedOffsetBack}},
		{"in a transaction, aborted", inOrder(committing(txn("p", aborted), 5), fetchOf(-1)), nil},
		{"in a transaction, aborted and found", inOrder(committing(txn("p", aborted), 5), fetchOf(5)), []string{checker.AbortedRead}},
		{"in a transaction, never decided and found", inOrder(committing(txn("p", undecided), 5), fetchOf(5)), []string{checker.AbortedRead}},
		{"in a transaction, aborted, and committed by another", inOrder(committing(txn("p", aborted), 5), committing(txn("q", committed), 5), fetchOf(5)), nil},
		{"in a transaction, aborted and found, and committed only later", inOrder(committing(txn("p", aborted), 5), fetchOf(5), committing(txn("q", committed), 5)), []string{checker.AbortedRead}},
		{"in a transaction, in doubt", inOrder(committing(txn("p", inDoubt), 5), fetchOf(-1), fetchOf(5), fetchOf(5)), nil},
	})
}

func TestOffsetsAndRecordsOfATransaction(t *testing.T) {
	whole := func(end ends, after ...func(*script)) func(*script) {
		return func(b *script) {
			b.op(committing(txn("p", end, sent(u0, 0, 1)), 5))
			for _, then := range after {
				then(b)
			}
		}
	}
	there := func(b *script) { b.final(rc, only(u0), rec(u0, 0, 1)) }
	missing := func(b *script) { b.final(rc, only(u0)) }
	fetched := func(offset int64) func(*script) { return func(b *script) { b.op(fetchOf(offset)) } }
	judge(t, []scripted{
		{"both", whole(inDoubt, there, fetched(5)), nil},
		{"neither", whole(inDoubt, missing, fetched(-1)), nil},
		{"records without offsets", whole(inDoubt, there, fetched(-1)), []string{checker.TornTransaction}},
		{"records without offsets, but looked at before", whole(inDoubt, fetched(-1), there), nil},
		{"offsets without records", whole(inDoubt, fetched(5), missing), []string{checker.TornTransaction}},
		{"offsets that another committed, without records", func(b *script) {
			whole(inDoubt)(b)
			b.op(commitOf(5, 1, history.Unknown))
			fetched(5)(b)
			missing(b)
		}, nil},
		{"records with offsets that went on", whole(inDoubt, there, fetched(7)), nil},
	})
}

func assigned(worker int, member string, generation int32, partitions ...history.Partition) history.Operation {
	return history.Operation{
		Kind: history.Assigned, Worker: worker, Client: member, Group: "g", Member: member, Generation: generation, Partitions: partitions,
	}
}

func revoked(worker int, member string, generation int32, partitions ...history.Partition) history.Operation {
	o := assigned(worker, member, generation, partitions...)
	o.Kind = history.Revoked
	return o
}

func TestOwners(t *testing.T) {
	elsewhere := assigned(2, "b", 1, t0)
	elsewhere.Group = "another"
	judge(t, []scripted{
		{"one each", inOrder(assigned(1, "a", 1, t0), assigned(2, "b", 1, t1)), nil},
		{"both", inOrder(assigned(1, "a", 1, t0, t1), assigned(2, "b", 1, t1)), []string{checker.TwoOwners}},
		{"one after the other, revoked", inOrder(assigned(1, "a", 1, t0), revoked(1, "a", 1, t0), assigned(2, "b", 1, t0)), nil},
		{"one after the other, revoked without a generation", inOrder(assigned(1, "a", 1, t0), revoked(1, "a", 0, t0), assigned(2, "b", 1, t0)), nil},
		{"another partition revoked", inOrder(assigned(1, "a", 1, t0, t1), revoked(1, "a", 1, t1), assigned(2, "b", 1, t0)), []string{checker.TwoOwners}},
		{"revoked by another", inOrder(assigned(1, "a", 1, t0), revoked(2, "b", 1, t0), assigned(2, "b", 1, t0)), []string{checker.TwoOwners}},
		{"revoked too late", inOrder(assigned(1, "a", 1, t0), assigned(2, "b", 1, t0), revoked(1, "a", 1, t0)), []string{checker.TwoOwners}},
		{"in a later generation, not revoked: it was cut off", inOrder(assigned(1, "a", 1, t0), assigned(2, "b", 2, t0)), nil},
		{"told of it again in the later generation", inOrder(assigned(1, "a", 1, t0), assigned(1, "a", 2, t0), assigned(2, "b", 2, t0)), []string{checker.TwoOwners}},
		{"told of it again, and revoked", inOrder(assigned(1, "a", 1, t0), assigned(1, "a", 2, t0), revoked(1, "a", 2, t0), assigned(2, "b", 2, t0)), nil},
		{"another group", inOrder(assigned(1, "a", 1, t0), elsewhere), nil},
		{"the next life of a static member", inOrder(assigned(1, "a", 1, t0), assigned(1, "a-2", 1, t0)), nil},
		{"generations that nobody knows", inOrder(assigned(1, "a", 0, t0), assigned(2, "b", 0, t0)), nil},
	})
}

func TestPipelines(t *testing.T) {
	piped := func(name string, want []string, run func(*script)) scripted {
		return scripted{name, func(b *script) {
			b.h.Pipelines = []history.Pipeline{{From: "t", To: "u", Group: "g"}}
			run(b)
		}, want}
	}
	broken := []string{checker.NotExactlyOnce}
	judge(t, []scripted{
		piped("once", nil, func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t1, 0, 2))
			b.op(txn("q", committed, reads(rec(t0, 0, 1), rec(t1, 0, 2)), sentOf(u0, 0, 101, 1), sentOf(u0, 1, 102, 2)))
			b.final(rc, only(t0, t1, u0), rec(t0, 0, 1), rec(t1, 0, 2), recOf(u0, 0, 101, 1), recOf(u0, 1, 102, 2))
		}),
		piped("missing", broken, func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2))
			b.op(txn("q", committed, sentOf(u0, 0, 101, 1)))
			b.final(rc, only(t0, u0), rec(t0, 0, 1), rec(t0, 1, 2), recOf(u0, 0, 101, 1))
		}),
		piped("all missing", broken, func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}),
		piped("missing, and not acknowledged either: it came after the pipeline was done", nil, func(b *script) {
			b.produce("p", sent(t0, 0, 1), unanswered(t0, 2))
			b.op(txn("q", committed, sentOf(u0, 0, 101, 1)))
			b.final(rc, only(t0, u0), rec(t0, 0, 1), rec(t0, 1, 2), recOf(u0, 0, 101, 1))
		}),
		piped("missing, and not acknowledged, but what is after it was read", broken, func(b *script) {
			b.produce("p", unanswered(t0, 1), unanswered(t0, 2))
			b.poll("c", ru, rec(t0, 1, 2))
			b.op(txn("q", committed, sentOf(u0, 0, 102, 2)))
			b.final(rc, only(t0, u0), rec(t0, 0, 1), rec(t0, 1, 2), recOf(u0, 0, 102, 2))
		}),
		piped("missing from an output that is not read to its end", []string{checker.NoFinalRead}, func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.op(txn("q", committed, sentOf(u0, 0, 101, 1)))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}),
		piped("twice", broken, func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.op(txn("q", committed, sentOf(u0, 0, 101, 1)))
			b.op(txn("q", inDoubt, sentOf(u0, 1, 102, 1)))
			b.final(rc, only(t0, u0), rec(t0, 0, 1), recOf(u0, 0, 101, 1), recOf(u0, 1, 102, 1))
		}),
		piped("tried twice", nil, func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.op(txn("q", aborted, sentOf(u0, 0, 101, 1)))
			b.op(txn("q", inDoubt, sentOf(u0, 1, 102, 1)))
			b.op(txn("q", committed, sentOf(u0, 2, 103, 1)))
			b.poll("c", ru, recOf(u0, 0, 101, 1), recOf(u0, 1, 102, 1), recOf(u0, 2, 103, 1))
			b.final(rc, only(t0, u0), rec(t0, 0, 1), recOf(u0, 2, 103, 1))
		}),
		piped("one record twice", []string{checker.Duplicate, checker.NotExactlyOnce}, func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.op(txn("q", committed, sentOf(u0, 0, 101, 1)))
			b.final(rc, only(t0, u0), rec(t0, 0, 1), recOf(u0, 0, 101, 1), recOf(u0, 1, 101, 1))
		}),
		piped("made from what is aborted", broken, func(b *script) {
			b.op(txn("p", aborted, sent(t0, 0, 1)))
			b.op(txn("q", committed, sentOf(u0, 0, 101, 1)))
			b.final(rc, only(t0, u0), recOf(u0, 0, 101, 1))
		}),
		piped("made from what is aborted, and aborted itself", nil, func(b *script) {
			b.op(txn("p", aborted, sent(t0, 0, 1)))
			b.op(txn("q", aborted, sentOf(u0, 0, 101, 1)))
			b.final(rc, only(t0, u0))
		}),
		piped("made from nothing", broken, func(b *script) {
			b.op(txn("q", committed, sentOf(u0, 0, 101, 77)))
			b.final(rc, only(t0, u0), recOf(u0, 0, 101, 77))
		}),
		piped("made from what is in the topic of another pipeline", nil, func(b *script) {
			b.h.Pipelines = append(b.h.Pipelines, history.Pipeline{From: "v", To: "u", Group: "h"})
			v0 := history.Partition{Topic: "v"}
			b.produce("p", sent(t0, 0, 1), sent(v0, 0, 2))
			b.op(txn("q", committed, sentOf(u0, 0, 101, 1), sentOf(u0, 1, 102, 2)))
			b.final(rc, only(t0, u0, v0), rec(t0, 0, 1), rec(v0, 0, 2), recOf(u0, 0, 101, 1), recOf(u0, 1, 102, 2))
		}),
		piped("records of the output's own", nil, func(b *script) {
			b.produce("p", sent(u0, 0, 1))
			b.final(rc, only(t0, u0), rec(u0, 0, 1))
		}),
	})
}
