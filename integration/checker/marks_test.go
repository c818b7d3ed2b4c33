package checker_test

import (
	"testing"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

func observe(broker string, logStart, stable, high int64) history.Operation {
	return history.Operation{
		Kind: history.Observe, Broker: broker,
		Marks: &history.Marks{Partition: t0, LogStart: logStart, Stable: stable, High: high},
	}
}

func TestMarks(t *testing.T) {
	all := func(observations ...history.Operation) func(*script) {
		return func(b *script) {
			for _, o := range observations {
				b.op(o)
			}
		}
	}
	failed := observe("1", 0, 1, 1)
	failed.Outcome = history.Unknown
	judge(t, []scripted{
		{"rising", all(observe("1", 0, 0, 0), observe("1", 0, 3, 5), observe("1", 0, 5, 5)), nil},
		{"the high watermark goes back", all(observe("1", 0, 3, 5), observe("1", 0, 3, 4)), []string{checker.HWMBack}},
		{"the last stable offset goes back", all(observe("1", 0, 4, 5), observe("1", 0, 3, 5)), []string{checker.LSOBack}},
		{"both go back, after others", all(observe("1", 0, 5, 5), observe("2", 0, 1, 1), observe("1", 0, 4, 4)), []string{checker.HWMBack, checker.LSOBack}},
		{"another broker lags", all(observe("1", 0, 5, 5), observe("2", 0, 4, 4)), nil},
		{"what is not told does not go back", all(observe("1", 0, 5, 5), observe("1", -1, -1, -1), observe("1", 0, 5, 5)), nil},
		{"goes back after what is not told", all(observe("1", 0, 5, 5), observe("1", -1, -1, -1), observe("1", 0, 5, 4)), []string{checker.BadMarks, checker.HWMBack}},
		{"an observation that failed says nothing", all(observe("1", 0, 5, 5), failed), nil},
		{"at the same time, each may be the first", func(b *script) {
			b.op(observe("1", 0, 5, 5), func() { b.op(observe("1", 0, 4, 4)) })
			b.op(observe("1", 0, 5, 5))
		}, nil},
		{"after one that began earlier and ended later than another", func(b *script) {
			b.op(observe("1", 0, 4, 4), func() { b.op(observe("1", 0, 5, 5)) })
			b.op(observe("1", 0, 4, 4))
		}, []string{checker.HWMBack, checker.LSOBack}},
		{"another partition", func(b *script) {
			b.op(observe("1", 0, 5, 5))
			o := observe("1", 0, 4, 4)
			o.Marks.Partition = t1
			b.op(o)
		}, nil},
		{"stable beyond high", all(observe("1", 0, 6, 5)), []string{checker.BadMarks}},
		{"stable, and high is not told", all(observe("1", 0, 6, -1)), nil},
		{"log start beyond high", func(b *script) {
			b.op(history.Operation{Kind: history.DeleteRecords, Offsets: at(t0, 9)})
			b.op(observe("1", 6, 5, 5))
		}, []string{checker.BadMarks}},
		{"before the first offset", all(observe("1", 0, -2, 5)), []string{checker.BadMarks}},
		{"the log starts where it was deleted to", func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.op(history.Operation{Kind: history.DeleteRecords, Offsets: at(t0, 1)})
			b.op(observe("1", 1, 5, 5))
			b.final(rc, only(t0))
		}, nil},
		{"the log starts after where it was deleted to", func(b *script) {
			b.produce("p", sent(t0, 0, 1))
			b.op(history.Operation{Kind: history.DeleteRecords, Offsets: at(t0, 1)})
			b.op(observe("1", 2, 5, 5))
			b.final(rc, only(t0))
		}, []string{checker.LogStartAhead}},
		{"the log start goes back", func(b *script) {
			b.op(history.Operation{Kind: history.DeleteRecords, Offsets: at(t0, 3)})
			b.op(observe("1", 3, 5, 5))
			b.op(observe("1", 2, 5, 5))
		}, []string{checker.LogStartBack}},
	})
}
