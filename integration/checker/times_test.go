package checker_test

import (
	"testing"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

// timed is a record that was sent with a time, at its offset.
func timed(offset, timestamp int64) history.Record {
	return history.Record{Partition: t0, Offset: offset, Value: offset + 1, Timestamp: timestamp}
}

func findOffset(asked, offset, told int64) history.Operation {
	return history.Operation{Kind: history.FindOffset, Broker: "1", Asked: asked, Told: told, Offsets: at(t0, offset)}
}

func TestTimes(t *testing.T) {
	// At offset 3 is a marker.
	records := []history.Record{timed(0, 100), timed(1, 50), timed(2, 200), timed(4, 150), timed(5, 300)}
	asked := func(final bool, o history.Operation) func(*script) {
		return func(b *script) {
			for _, r := range records {
				b.produce("p", history.Step{Outcome: history.OK, Send: &r})
			}
			o.Final = final
			b.op(o)
			b.final(rc, only(t0), records...)
		}
	}
	wrong := []string{checker.WrongTime}
	judge(t, []scripted{
		{"the first record", asked(true, findOffset(60, 0, 100)), nil},
		{"a later record", asked(true, findOffset(101, 2, 200)), nil},
		{"a marker before the first record that would do", asked(true, findOffset(201, 3, 250)), nil},
		{"none", asked(true, findOffset(301, -1, -1)), nil},
		{"not the first", asked(true, findOffset(100, 2, 200)), wrong},
		{"a marker behind the first", asked(true, findOffset(200, 3, 250)), wrong},
		{"a record that is too old", asked(true, findOffset(120, 1, 50)), wrong},
		{"another record's time", asked(true, findOffset(120, 2, 300)), wrong},
		{"none, although there is one", asked(true, findOffset(250, -1, -1)), wrong},
		{"none, while records come", asked(false, findOffset(250, -1, -1)), nil},
		{"not the first, while records come", asked(false, findOffset(100, 5, 300)), wrong},
	})
}

// TestTimesOfWhatMayGo: the first record may be gone by then, and the next is the first then.
func TestTimesOfWhatMayGo(t *testing.T) {
	asked := func(wait bool, o history.Operation) func(*script) {
		return func(b *script) {
			first, second, third := sent(t0, 0, 1), sent(t0, 1, 2), sent(t0, 2, 3)
			first.Send.Timestamp, second.Send.Timestamp, third.Send.Timestamp = 100, 200, 300
			b.produce("p", keyed(first, 5), tombstone(second, 5), keyed(third, 6))
			if wait {
				b.pass(tombstones)
			}
			b.op(o)
			b.pass(tombstones)
			last := of(6, rec(t0, 2, 3))
			last.Timestamp = 300
			b.poll("c", rc, withTime(of(5, rec(t0, 0, 1)), 100), withTime(no(5, rec(t0, 1, 2)), 200), withTime(last, 300))
			b.final(rc, only(t0), last)
		}
	}
	judge(t, []scripted{
		compacted("what is superseded is there", asked(false, findOffset(100, 0, 100))),
		compacted("what is superseded is gone", asked(false, findOffset(100, 1, 200))),
		compacted("a tombstone is gone before its time", asked(false, findOffset(150, 2, 300)), checker.WrongTime),
		compacted("a tombstone is gone in time", asked(true, findOffset(150, 2, 300))),
		compacted("what stays is passed over", asked(true, findOffset(150, 3, 400)), checker.WrongTime),
	})
}

func withTime(r history.Record, timestamp int64) history.Record {
	r.Timestamp = timestamp
	return r
}

func TestATimeIsReadAsItWasSent(t *testing.T) {
	judge(t, []scripted{{"another time", func(b *script) {
		was, is := timed(0, 100), timed(0, 101)
		b.produce("p", history.Step{Outcome: history.OK, Send: &was})
		b.final(rc, only(t0), is)
	}, []string{checker.WrongRecord}}})
}

func TestAFreshEndIsBehindAllThatWasTold(t *testing.T) {
	end := func(fresh bool, high int64) history.Operation {
		o := observe("1", -1, -1, high)
		o.Fresh = fresh
		return o
	}
	after := func(o history.Operation) func(*script) {
		return func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.produce("p", sent(t0, 1, 2))
			b.op(o)
			b.final(rc, only(t0), rec(t0, 0, 1), rec(t0, 1, 2))
		}
	}
	judge(t, []scripted{
		{"at the end", after(end(true, 2)), nil},
		{"before what was acknowledged", after(end(true, 1)), []string{checker.StaleOffset}},
		{"who promises nothing may be behind", after(end(false, 1)), nil},
		{"before what was read", func(b *script) {
			b.op(history.Operation{Kind: history.Produce, Client: "p", Outcome: history.Unknown, Steps: []history.Step{unanswered(t0, 1)}})
			b.poll("c", ru, rec(t0, 0, 1))
			b.op(end(true, 0))
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, []string{checker.StaleOffset}},
		{"at the same time", func(b *script) {
			b.op(end(true, 0), func() { b.produce("p", sent(t0, 0, 1)) })
			b.final(rc, only(t0), rec(t0, 0, 1))
		}, nil},
	})
}
