package checker_test

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

// start is when scripts started, on the clock of records.
const start = 1_000_000

// stamped gives a record a time, in milliseconds since the start.
func stamped(r history.Step, at int64) history.Step {
	r.Send.Timestamp = start + at
	return r
}

// pass lets time go by.
func (b *script) pass(d time.Duration) { b.seq += d.Milliseconds() }

// lastly observes a partition in the end.
func (b *script) lastly(o history.Operation) {
	o.Final = true
	b.op(o)
}

// retained names the topic of t0, of which records may go after so long, and has three records in it.
func retained(b *script, retention time.Duration) {
	b.h.Start = start
	b.h.Topics = []history.Topic{{Name: "t", Retention: retention}}
	b.produce("p", stamped(sent(t0, 0, 1), 1), stamped(sent(t0, 1, 2), 2), stamped(sent(t0, 2, 3), 60))
}

// three are the records that retained, sized and keyed topics have.
func three() []history.Record {
	return []history.Record{stampedRec(t0, 0, 1, 1), stampedRec(t0, 1, 2, 2), stampedRec(t0, 2, 3, 60)}
}

func stampedRec(p history.Partition, offset, value, at int64) history.Record {
	r := rec(p, offset, value)
	r.Timestamp = start + at
	return r
}

func TestRetentionByTime(t *testing.T) {
	const retention = 100 * time.Millisecond
	judge(t, []scripted{
		{"all are there", func(b *script) {
			retained(b, retention)
			b.final(rc, only(t0), three()...)
			b.lastly(observe("1", 0, 3, 3))
		}, nil},
		{"the old ones are gone", func(b *script) {
			retained(b, retention)
			b.pass(100 * time.Millisecond)
			b.final(rc, only(t0), three()[2])
			b.lastly(observe("1", 2, 3, 3))
		}, nil},
		{"gone before they are old", func(b *script) {
			retained(b, retention)
			b.final(rc, only(t0), three()[2])
			b.lastly(observe("1", 2, 3, 3))
		}, []string{checker.LogStartAhead}},
		{"one that is young is gone with them", func(b *script) {
			retained(b, retention)
			b.pass(100 * time.Millisecond)
			b.final(rc, only(t0))
			b.lastly(observe("1", 3, 3, 3))
		}, []string{checker.LogStartAhead}},
		{"old by when it was sent, and young by its time", func(b *script) {
			b.h.Start, b.h.Topics = start, []history.Topic{{Name: "t", Retention: retention}}
			b.produce("p", stamped(sent(t0, 0, 1), 500))
			b.pass(200 * time.Millisecond)
			b.final(rc, only(t0))
			b.lastly(observe("1", 1, 1, 1))
		}, []string{checker.LogStartAhead}},
		{"young when it was sent, and old by its time", func(b *script) {
			b.h.Start, b.h.Topics = start, []history.Topic{{Name: "t", Retention: retention}}
			b.produce("p", stamped(sent(t0, 0, 1), -500))
			b.final(rc, only(t0))
			b.lastly(observe("1", 1, 1, 1))
		}, nil},
		{"old by a clock that was ahead", func(b *script) {
			retained(b, retention)
			b.h.Ahead = 50 * time.Millisecond
			b.pass(50 * time.Millisecond)
			b.final(rc, only(t0), three()[2])
			b.lastly(observe("1", 2, 3, 3))
		}, nil},
		{"young also by a clock that was ahead", func(b *script) {
			retained(b, retention)
			b.h.Ahead = 50 * time.Millisecond
			b.final(rc, only(t0), three()[2])
			b.lastly(observe("1", 2, 3, 3))
		}, []string{checker.LogStartAhead}},
		{"without times, by when they were sent", func(b *script) {
			b.h.Topics = []history.Topic{{Name: "t", Retention: retention}}
			b.produce("p", sent(t0, 0, 1))
			b.pass(100 * time.Millisecond)
			b.produce("p", sent(t0, 1, 2))
			b.op(observe("1", 1, 2, 2))
			b.final(rc, only(t0), rec(t0, 1, 2))
			b.lastly(observe("1", 2, 2, 2))
		}, []string{checker.LogStartAhead}},
		{"old ones are gone, which lie at the log start", func(b *script) {
			retained(b, retention)
			b.pass(100 * time.Millisecond)
			b.final(rc, only(t0), three()[2])
			b.lastly(observe("1", 1, 3, 3))
		}, []string{checker.LostWrite}},
		{"old ones are gone, and nobody was told of a log start", func(b *script) {
			retained(b, retention)
			b.pass(100 * time.Millisecond)
			b.final(rc, only(t0), three()[2])
		}, []string{checker.LostWrite}},
		{"one behind the log start is lost", func(b *script) {
			retained(b, retention)
			b.pass(200 * time.Millisecond)
			b.final(rc, only(t0), three()[1])
			b.lastly(observe("1", 1, 3, 3))
		}, []string{checker.Unseen}},
		{"the log starts ahead for a while, and not in the end", func(b *script) {
			retained(b, retention)
			b.op(observe("1", 1, 3, 3))
			b.pass(100 * time.Millisecond)
			b.op(observe("1", 1, 3, 3))
			b.final(rc, only(t0), three()[1:]...)
			b.lastly(observe("1", 1, 3, 3))
		}, []string{checker.LogStartAhead}},
		{"the topic keeps all", func(b *script) {
			retained(b, retention)
			b.h.Topics = nil
			b.pass(200 * time.Millisecond)
			b.final(rc, only(t0))
			b.lastly(observe("1", 3, 3, 3))
		}, []string{checker.LogStartAhead}},
	})
}

func TestRetentionBySize(t *testing.T) {
	sized := func(b *script) {
		b.h.Topics = []history.Topic{{Name: "t", Kept: 2}}
		b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2), sent(t0, 2, 3))
	}
	judge(t, []scripted{
		{"as many are left as have to be", func(b *script) {
			sized(b)
			b.final(rc, only(t0), rec(t0, 1, 2), rec(t0, 2, 3))
			b.lastly(observe("1", 1, 3, 3))
		}, nil},
		{"fewer are left", func(b *script) {
			sized(b)
			b.final(rc, only(t0), rec(t0, 2, 3))
			b.lastly(observe("1", 2, 3, 3))
		}, []string{checker.LogStartAhead}},
		{"fewer were left when it was told of", func(b *script) {
			sized(b)
			b.op(observe("1", 1, 2, 2))
			b.final(rc, only(t0), rec(t0, 1, 2), rec(t0, 2, 3))
			b.lastly(observe("1", 1, 3, 3))
		}, []string{checker.LogStartAhead}},
		{"nobody was told of the end with it", func(b *script) {
			sized(b)
			b.op(observe("1", 1, -1, -1))
			b.final(rc, only(t0), rec(t0, 1, 2), rec(t0, 2, 3))
			b.lastly(observe("1", 1, 3, 3))
		}, nil},
		{"some for their size, and then some for their age", func(b *script) {
			retained(b, 100*time.Millisecond)
			b.h.Topics[0].Kept = 2
			b.op(observe("1", 1, 3, 3))
			b.pass(100 * time.Millisecond)
			b.final(rc, only(t0), three()[2])
			b.lastly(observe("1", 2, 3, 3))
		}, nil},
		{"neither for their size nor for their age", func(b *script) {
			retained(b, 100*time.Millisecond)
			b.h.Topics[0].Kept = 2
			b.pass(100 * time.Millisecond)
			b.final(rc, only(t0))
			b.lastly(observe("1", 3, 3, 3))
		}, []string{checker.LogStartAhead}},
	})
}

func TestRetentionAndTransactions(t *testing.T) {
	const retention = 10 * time.Millisecond
	open := func(end ends, meanwhile func(*script)) func(*script) {
		return func(b *script) {
			b.h.Topics = []history.Topic{{Name: "t", Retention: retention}}
			b.op(txn("q", end, sent(t0, 0, 1)), func() {
				b.pass(20 * time.Millisecond)
				meanwhile(b)
			})
			b.pass(20 * time.Millisecond)
			b.final(rc, only(t0))
			b.lastly(observe("1", 2, 2, 2))
		}
	}
	judge(t, []scripted{
		{"goes when it is committed", open(committed, func(b *script) { b.op(observe("1", 0, 0, 1)) }), nil},
		{"goes while it is open", open(committed, func(b *script) { b.op(observe("1", 1, 1, 1)) }), []string{checker.LogStartAhead}},
		{"goes while it may have been aborted by the cluster", open(inDoubt, func(b *script) { b.op(observe("1", 1, 1, 1)) }), nil},
		{"goes while it is open, as was asked", open(committed, func(b *script) {
			b.op(history.Operation{Kind: history.DeleteRecords, Offsets: at(t0, 1)})
			b.op(observe("1", 1, 1, 1))
		}), nil},
	})
}

// TestLogStartsMove: whoever reads meanwhile passes over what is gone, and over nothing else.
func TestLogStartsMove(t *testing.T) {
	const retention = 100 * time.Millisecond
	reading := func(wait time.Duration, second history.Record, then ...history.Record) func(*script) {
		return func(b *script) {
			retained(b, retention)
			b.poll("c", rc, three()[0])
			b.pass(wait)
			b.poll("c", rc, second)
			b.pass(200 * time.Millisecond)
			b.final(rc, only(t0), then...)
			b.lastly(observe("1", 3-int64(len(then)), 3, 3))
		}
	}
	judge(t, []scripted{
		{"past what is gone", reading(100*time.Millisecond, three()[2]), nil},
		{"past what is gone and past what cannot be", reading(0, three()[2]), []string{checker.PollSkip}},
		{"past what is there yet", reading(100*time.Millisecond, three()[2], three()[1:]...), []string{checker.PollSkip}},
		{"past what was asked to be deleted", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2), sent(t0, 2, 3))
			b.poll("c", rc, rec(t0, 0, 1))
			b.op(history.Operation{Kind: history.DeleteRecords, Outcome: history.Unknown, Offsets: at(t0, 2)})
			b.poll("c", rc, rec(t0, 2, 3))
			b.final(rc, only(t0), rec(t0, 2, 3))
			b.lastly(observe("1", 2, 3, 3))
		}, nil},
		{"past what was asked to be deleted later", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2), sent(t0, 2, 3))
			b.poll("c", rc, rec(t0, 0, 1))
			b.poll("c", rc, rec(t0, 2, 3))
			b.op(history.Operation{Kind: history.DeleteRecords, Offsets: at(t0, 2)})
			b.final(rc, only(t0), rec(t0, 2, 3))
			b.lastly(observe("1", 2, 3, 3))
		}, []string{checker.PollSkip}},
		{"past a record behind what was asked to be deleted", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2), sent(t0, 2, 3))
			b.op(history.Operation{Kind: history.DeleteRecords, Offsets: at(t0, 1)})
			b.poll("c", ru, rec(t0, 0, 1))
			b.poll("c", ru, rec(t0, 2, 3))
			b.final(rc, only(t0), rec(t0, 1, 2), rec(t0, 2, 3))
			b.lastly(observe("1", 1, 3, 3))
		}, []string{checker.PollSkip}},
		{"asked to be deleted, and not, as the log starts before it", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2), sent(t0, 2, 3))
			b.op(history.Operation{Kind: history.DeleteRecords, Outcome: history.Unknown, Offsets: at(t0, 2)})
			b.final(rc, only(t0), rec(t0, 2, 3))
			b.lastly(observe("1", 1, 3, 3))
		}, []string{checker.LostWrite}},
	})
}

func TestLogStartsDoNotGoBack(t *testing.T) {
	from := func(broker string, r history.Record) history.Operation {
		return history.Operation{Kind: history.Poll, Client: "c", Isolation: rc, Broker: broker, Steps: []history.Step{reads(r)}}
	}
	cut := func(b *script) {
		b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2))
		b.op(history.Operation{Kind: history.DeleteRecords, Broker: "2", Offsets: at(t0, 1)})
	}
	end := func(b *script) {
		b.final(rc, only(t0), rec(t0, 1, 2))
		b.lastly(observe("1", 1, 2, 2))
	}
	judge(t, []scripted{
		{"a record before what the broker told of", func(b *script) {
			cut(b)
			b.op(observe("1", 1, 2, 2))
			b.op(from("1", rec(t0, 0, 1)))
			end(b)
		}, []string{checker.LogStartBack}},
		{"a record before what another broker told of", func(b *script) {
			cut(b)
			b.op(observe("1", 1, 2, 2))
			b.op(from("3", rec(t0, 0, 1)))
			end(b)
		}, nil},
		{"a record before what the broker was asked to delete", func(b *script) {
			cut(b)
			b.op(from("2", rec(t0, 0, 1)))
			end(b)
		}, []string{checker.LogStartBack}},
		{"a record that was asked for before", func(b *script) {
			cut(b)
			o := from("1", rec(t0, 0, 1))
			b.op(o, func() { b.op(observe("1", 1, 2, 2)) })
			end(b)
		}, nil},
		{"a record behind it", func(b *script) {
			cut(b)
			b.op(observe("1", 1, 2, 2))
			b.op(from("1", rec(t0, 1, 2)))
			end(b)
		}, nil},
		{"beyond the last stable offset", func(b *script) {
			b.op(history.Operation{Kind: history.DeleteRecords, Offsets: at(t0, 3)})
			b.op(observe("1", 3, 2, 5))
		}, []string{checker.BadMarks}},
	})
}

func TestDeletedTopics(t *testing.T) {
	gone := []history.Partition{{Topic: "t", Number: -1}}
	deleted := func(outcome history.Outcome) history.Operation {
		return history.Operation{Kind: history.DeleteTopic, Broker: "1", Outcome: outcome, Partitions: gone}
	}
	from := func(broker string) history.Operation {
		return history.Operation{Kind: history.Poll, Client: "c", Isolation: rc, Broker: broker, Steps: []history.Step{reads(rec(t0, 0, 1))}}
	}
	judge(t, []scripted{
		{"its records are gone, and nobody reads it", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2))
			b.op(deleted(history.OK))
		}, nil},
		{"perhaps", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2))
			b.op(deleted(history.Unknown))
			b.final(rc, only(t0))
		}, nil},
		{"that was refused", func(b *script) {
			b.produce("p", sent(t0, 0, 1), sent(t0, 1, 2))
			b.op(deleted(history.Failed))
			b.final(rc, only(t0))
		}, []string{checker.Unseen}},
		{"acknowledged after that", func(b *script) {
			b.op(deleted(history.OK))
			b.produce("p", sent(t0, 0, 1))
		}, []string{checker.LostWrite}},
		{"acknowledged at the same time", func(b *script) {
			b.op(deleted(history.OK), func() { b.produce("p", sent(t0, 0, 1)) })
		}, nil},
		{"acknowledged after it was perhaps deleted", func(b *script) {
			b.op(deleted(history.Unknown))
			b.produce("p", sent(t0, 0, 1))
		}, nil},
		{"read after that from the broker that said so", func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.op(deleted(history.OK))
			b.op(from("1"))
		}, []string{checker.DeletedRead}},
		{"read after that from another", func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.op(deleted(history.OK))
			b.op(from("2"))
		}, nil},
		{"its records are in another", func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.op(deleted(history.OK))
			b.poll("c", rc, rec(u0, 0, 1))
			b.final(rc, only(u0), rec(u0, 0, 1))
		}, []string{checker.WrongRecord, checker.InconsistentOffsets}},
	})
}
