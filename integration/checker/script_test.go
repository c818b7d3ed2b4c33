package checker_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

const (
	rc = history.ReadCommitted
	ru = history.ReadUncommitted
)

var (
	t0 = history.Partition{Topic: "t"}
	t1 = history.Partition{Topic: "t", Number: 1}
	u0 = history.Partition{Topic: "u"}
)

// script builds a history by hand. What it is told happens one after the other, but for what happens within during.
type script struct {
	h   history.History
	seq int64
}

func (b *script) moment() history.Moment {
	b.seq++
	return history.Moment{Seq: b.seq, At: time.Duration(b.seq) * time.Millisecond}
}

// op adds an operation; meanwhile happens after its steps, before it is decided and ended.
func (b *script) op(o history.Operation, meanwhile ...func()) {
	if o.Outcome == "" {
		o.Outcome = history.OK
	}
	o.Begun = b.moment()
	for i := range o.Steps {
		o.Steps[i].Begun = b.moment()
		o.Steps[i].Ended = b.moment()
	}
	at := len(b.h.Operations)
	b.h.Operations = append(b.h.Operations, o)
	for _, happen := range meanwhile {
		happen()
	}
	if o.Deciding.Seq < 0 {
		b.h.Operations[at].Deciding = b.moment()
	}
	b.h.Operations[at].Ended = b.moment()
}

// last is the operation that was added last.
func (b *script) last() *history.Operation { return &b.h.Operations[len(b.h.Operations)-1] }

func (b *script) produce(client string, steps ...history.Step) {
	b.op(history.Operation{Kind: history.Produce, Client: client, Steps: steps})
}

func (b *script) poll(client string, isolation history.Isolation, records ...history.Record) {
	b.op(history.Operation{Kind: history.Poll, Client: client, Isolation: isolation, Steps: []history.Step{reads(records...)}})
}

// final adds a final reader that came to the end of partitions.
func (b *script) final(isolation history.Isolation, partitions []history.Partition, records ...history.Record) {
	b.op(history.Operation{
		Kind: history.Poll, Client: "final " + string(isolation), Isolation: isolation, Final: true, Partitions: partitions,
		Steps: []history.Step{reads(records...)},
	})
}

// ends are the ways in which a transaction may end.
type ends struct {
	decided, commit bool
	outcome         history.Outcome
}

var (
	committed     = ends{true, true, history.OK}
	commitRefused = ends{true, true, history.Failed}
	inDoubt       = ends{true, true, history.Unknown}
	aborted       = ends{true, false, history.OK}
	abortInDoubt  = ends{true, false, history.Unknown}
	undecided     = ends{false, false, history.Unknown}
)

// txn gives a transaction that reads at read_committed.
func txn(client string, end ends, steps ...history.Step) history.Operation {
	o := history.Operation{
		Kind: history.Transaction, Client: client, TransactionalID: "id " + client, Isolation: rc,
		Commit: end.commit, Outcome: end.outcome, Steps: steps,
	}
	if end.decided {
		o.Deciding.Seq = -1 // when it comes to that
	}
	return o
}

func sent(p history.Partition, offset, value int64) history.Step {
	return history.Step{Outcome: history.OK, Send: &history.Record{Partition: p, Offset: offset, Value: value}}
}

func sentOf(p history.Partition, offset, value, of int64) history.Step {
	s := sent(p, offset, value)
	s.Send.Of = of
	return s
}

func unanswered(p history.Partition, value int64) history.Step {
	return history.Step{Outcome: history.Unknown, Error: "time-out", Send: &history.Record{Partition: p, Offset: -1, Value: value}}
}

func refused(p history.Partition, value int64) history.Step {
	return history.Step{Outcome: history.Failed, Error: "FENCED", Send: &history.Record{Partition: p, Offset: -1, Value: value}}
}

func reads(records ...history.Record) history.Step {
	return history.Step{Outcome: history.OK, Read: records}
}

func rec(p history.Partition, offset, value int64) history.Record {
	return history.Record{Partition: p, Offset: offset, Value: value}
}

func recOf(p history.Partition, offset, value, of int64) history.Record {
	return history.Record{Partition: p, Offset: offset, Value: value, Of: of}
}

func only(p ...history.Partition) []history.Partition { return p }

// a case of a table: a history, and the names of the anomalies that it has, and no others.
type scripted struct {
	name   string
	script func(*script)
	want   []string
}

func found(h *history.History) []string {
	var names []string
	for _, a := range checker.Check(h) {
		names = append(names, a.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// judge runs the cases. To each it adds, in a topic of its own, a record that is acknowledged and read finally.
func judge(t *testing.T, cases []scripted) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			other := history.Partition{Topic: "other"}
			b := &script{}
			b.produce("other", sent(other, 0, 1000))
			c.script(b)
			b.op(history.Operation{
				Kind: history.Poll, Client: "final other", Isolation: rc, Final: true, Partitions: only(other),
				Steps: []history.Step{reads(rec(other, 0, 1000))},
			})
			anomalies := checker.Check(&b.h)
			slices.Sort(c.want)
			if got := found(&b.h); !slices.Equal(got, c.want) {
				var text strings.Builder
				for _, a := range anomalies {
					if err := a.Print(&text, &b.h, 1000); err != nil {
						t.Fatal(err)
					}
				}
				if len(anomalies) == 0 {
					b.h.Print(&text, history.Window{})
				}
				t.Errorf("found %q, want %q\n%s", got, c.want, text.String())
			}
			for _, a := range anomalies {
				if len(a.Seqs) == 0 && a.Name != checker.NoFinalRead {
					t.Errorf("%s names no operations", a.Name)
				}
			}
		})
	}
}
