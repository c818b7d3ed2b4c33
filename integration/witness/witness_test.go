package witness_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/witness"
)

var events = witness.Partition{Topic: "events", Number: 3}

// record is the one that belongs at an offset of a history without fault.
func record(offset int64, change ...func(*kgo.Record)) *kgo.Record {
	r := &kgo.Record{
		Topic: "events", Partition: 3, Offset: offset, Timestamp: time.UnixMilli(1_000 + offset),
		Key: []byte("k"), Value: fmt.Append(nil, "value ", offset), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("x")}},
	}
	for _, c := range change {
		c(r)
	}
	return r
}

func records(offsets ...int64) (all []*kgo.Record) {
	for _, offset := range offsets {
		all = append(all, record(offset))
	}
	return all
}

func marks(high int64) witness.Marks { return witness.Marks{High: high, Stable: high} }

// history is one in which nothing is wrong: five records of two producers, read from two brokers.
func history() (*witness.Witness, *witness.Reader, *witness.Producer) {
	w := witness.New()
	p, plain := w.Producer("p", true), w.Producer("plain", false)
	reader, other := w.Reader("r"), w.Reader("s")
	for offset := range int64(4) {
		p.Acked(record(offset), int(offset))
	}
	plain.Acked(record(4), 0)
	a := w.Ask("a", events)
	a.Marks(marks(3))
	reader.Take(a, 3, records(0, 1, 2))
	b := w.Ask("b", events)
	b.Marks(marks(2)) // behind, but not back
	other.Take(b, 2, records(0, 1))
	again := w.Ask("a", events)
	again.Marks(marks(5))
	again.End(5)
	reader.Take(again, 5, records(3, 4))
	w.Ask("b", events).Refused(kerr.OffsetNotAvailable, 5)
	return w, reader, p
}

func TestNothingIsWrongWithAGoodHistory(t *testing.T) {
	w, reader, _ := history()
	w.Conclude()
	if err := w.Err(); err != nil {
		t.Error(err)
	}
	if w.High(events) != 5 || reader.Next(events) != 5 || w.Refusals("b")["OFFSET_NOT_AVAILABLE"] != 1 {
		t.Errorf("high %d, next %d, refusals %v", w.High(events), reader.Next(events), w.Refusals("b"))
	}
}

func TestContradictionsAreNamed(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(*witness.Witness, *witness.Reader, *witness.Producer)
		want  string
	}{
		{"high watermark back", func(w *witness.Witness, _ *witness.Reader, _ *witness.Producer) {
			w.Ask("a", events).Marks(marks(4))
		}, "broker a, partition events/3: the high watermark went back from 5 to 4"},
		{"last stable offset back", func(w *witness.Witness, _ *witness.Reader, _ *witness.Producer) {
			w.Ask("a", events).Marks(witness.Marks{High: 6, Stable: 4})
		}, "broker a, partition events/3: the last stable offset went back from 5 to 4"},
		{"borders out of order", func(w *witness.Witness, _ *witness.Reader, _ *witness.Producer) {
			w.Ask("a", events).Marks(witness.Marks{High: 5, Stable: 6})
		}, "broker a, partition events/3: log start 0, last stable offset 6, high watermark 5 are not in order"},
		{"log start moved", func(w *witness.Witness, _ *witness.Reader, _ *witness.Producer) {
			w.Ask("b", events).Marks(witness.Marks{High: 5, Stable: 5, LogStart: 1})
		}, "broker b, partition events/3: the log starts at 1, and started at 0"},
		{"end before what another broker told", func(w *witness.Witness, _ *witness.Reader, _ *witness.Producer) {
			w.Ask("b", events).End(4)
		}, "broker b, partition events/3: it says that the end is 4 when another had told of 5"},
		{"gap", func(w *witness.Witness, r *witness.Reader, _ *witness.Producer) {
			r.Take(w.Ask("b", events), 9, records(6))
		}, "broker b, partition events/3: reader r is given offset 6, the next is 5"},
		{"offset again", func(w *witness.Witness, r *witness.Reader, _ *witness.Producer) {
			r.Take(w.Ask("b", events), 9, records(4))
		}, "broker b, partition events/3: reader r is given offset 4, the next is 5"},
		{"beyond the border", func(w *witness.Witness, r *witness.Reader, _ *witness.Producer) {
			r.Take(w.Ask("b", events), 5, records(5))
		}, "broker b, partition events/3: reader r is given offset 5, the border is 5"},
		{"another value", another(func(r *kgo.Record) { r.Value = []byte("else") }), "partition events/3, offset 0: there is \"else\", broker a gave another record"},
		{"another key", another(func(r *kgo.Record) { r.Key = nil }), "broker b, partition events/3, offset 0: there is"},
		{"an empty key for none", func(w *witness.Witness, r *witness.Reader, p *witness.Producer) {
			w.Reader("s").Take(w.Ask("a", events), 9, append(records(0, 1, 2, 3, 4), record(5, func(r *kgo.Record) { r.Key = nil })))
			w.Reader("t").Take(w.Ask("b", events), 9, append(records(0, 1, 2, 3, 4), record(5, func(r *kgo.Record) { r.Key = []byte{} })))
		}, "broker b, partition events/3, offset 5: there is"},
		{"another header", another(func(r *kgo.Record) { r.Headers[0].Value = []byte("y") }), "broker b, partition events/3, offset 0: there is"},
		{"another timestamp", another(func(r *kgo.Record) { r.Timestamp = r.Timestamp.Add(time.Millisecond) }), "broker b, partition events/3, offset 0: there is"},
		{"an error that resets consumers", func(w *witness.Witness, _ *witness.Reader, _ *witness.Producer) {
			w.Ask("b", events).Refused(kerr.OffsetOutOfRange, 5)
		}, "broker b, partition events/3, offset 5: OFFSET_OUT_OF_RANGE"},
		{"a lost record", func(_ *witness.Witness, _ *witness.Reader, p *witness.Producer) {
			p.Acked(record(5), 4)
		}, "partition events/3, offset 5: a record of producer p was acknowledged and is lost"},
		{"another record than the acknowledged one", func(w *witness.Witness, r *witness.Reader, p *witness.Producer) {
			p.Acked(record(5), 4)
			r.Take(w.Ask("a", events), 9, []*kgo.Record{record(5, func(r *kgo.Record) { r.Value = nil })})
		}, "partition events/3, offset 5: a record of producer p was acknowledged, broker a gave another"},
		{"one offset for two", func(w *witness.Witness, _ *witness.Reader, _ *witness.Producer) {
			w.Producer("q", true).Acked(record(2), 0)
		}, "partition events/3, offset 2: acknowledged to producer p and to producer q"},
		{"a duplicate", func(w *witness.Witness, r *witness.Reader, _ *witness.Producer) {
			twice := record(0)
			twice.Offset = 5
			r.Take(w.Ask("a", events), 9, []*kgo.Record{twice})
		}, "partition events/3, offset 5: a duplicate of the record of producer p at offset 0"},
		{"a record of nobody", func(w *witness.Witness, r *witness.Reader, _ *witness.Producer) {
			r.Take(w.Ask("a", events), 9, records(5))
		}, "partition events/3, offset 5: a record that was never acknowledged"},
		{"out of order", func(w *witness.Witness, r *witness.Reader, p *witness.Producer) {
			p.Acked(record(5), 9)
			p.Acked(record(6), 8)
			r.Take(w.Ask("a", events), 9, records(5, 6))
		}, "partition events/3, offset 5: producer p sent this record after the one at offset 6"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, reader, producer := history()
			tc.spoil(w, reader, producer)
			w.Conclude()
			if err := w.Err(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("verdict %v\nwant %s", err, tc.want)
			}
		})
	}
}

// another has a second reader read another record at offset 0.
func another(change func(*kgo.Record)) func(*witness.Witness, *witness.Reader, *witness.Producer) {
	return func(w *witness.Witness, _ *witness.Reader, _ *witness.Producer) {
		w.Reader("s").Take(w.Ask("b", events), 9, []*kgo.Record{record(0, change)})
	}
}

func TestARepeatOfAProducerThatIsNotIdempotentIsNoContradiction(t *testing.T) {
	w, reader, _ := history()
	twice := record(4)
	twice.Offset = 5
	reader.Take(w.Ask("a", events), 9, []*kgo.Record{twice})
	w.Conclude()
	if err := w.Err(); err != nil {
		t.Error(err)
	}
}

// Answers that cross each other may come in any order.
func TestOnlyWhatWasAnsweredBeforeARequestBindsIt(t *testing.T) {
	w, _, _ := history()
	slow := w.Ask("a", events)
	w.Ask("a", events).Marks(marks(7))
	slow.Marks(marks(5))
	slow.End(5)
	if err := w.Err(); err != nil {
		t.Error(err)
	}
	w.Ask("a", events).Marks(marks(6))
	if w.Err() == nil {
		t.Error("the high watermark went back from 7 to 6")
	}
}

func TestContradictionsAreBounded(t *testing.T) {
	w := witness.New()
	for range 1_000 {
		w.Ask("a", events).Refused(errors.New("no"), 0)
	}
	if err := w.Err(); err == nil || !strings.HasSuffix(err.Error(), "and 990 more") {
		t.Error(err)
	}
}
