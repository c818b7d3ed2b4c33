package history_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

var (
	t0 = history.Partition{Topic: "t"}
	t1 = history.Partition{Topic: "t", Number: 1}
)

func moment(seq int64) history.Moment {
	return history.Moment{Seq: seq, At: time.Duration(seq) * time.Millisecond}
}

// sample has an operation of most kinds.
func sample() *history.History {
	return &history.History{
		Seed:      7,
		Pipelines: []history.Pipeline{{From: "t", To: "u", Group: "g"}},
		Operations: []history.Operation{
			{Begun: moment(1), Ended: moment(1), Kind: history.Fault, Outcome: history.OK, Text: "kill broker 2"},
			{
				Begun: moment(2), Ended: moment(7), Kind: history.Produce, Outcome: history.Unknown, Worker: 3, Client: "3.1",
				Error: "dial 127.0.0.1:4711: refused",
				Steps: []history.Step{
					{Begun: moment(3), Ended: moment(5), Outcome: history.OK, Send: &history.Record{Partition: t0, Offset: 4, Value: 11}},
					{Begun: moment(4), Ended: moment(6), Outcome: history.Failed, Error: "UNKNOWN_TOPIC_OR_PARTITION: no such topic", Send: &history.Record{Partition: t1, Offset: -1, Value: 12}},
				},
			},
			{
				Begun: moment(8), Kind: history.Transaction, Outcome: history.Unknown, Worker: 4, Client: "4.1", TransactionalID: "x",
				Commit: true, Deciding: moment(10), Group: "g", Offsets: []history.At{{Partition: t0, Offset: 5}},
				Steps: []history.Step{{Begun: moment(9), Ended: moment(9), Outcome: history.OK, Read: []history.Record{{Partition: t0, Offset: 4, Value: 11, Of: 2}}}},
			},
			{
				Begun: moment(11), Ended: moment(11), Kind: history.Observe, Outcome: history.OK, Broker: "1",
				Marks: &history.Marks{Partition: t1, LogStart: -1, High: 3, Stable: 2},
			},
			{
				Begun: moment(12), Ended: moment(13), Kind: history.Poll, Outcome: history.OK, Final: true, Isolation: history.ReadCommitted,
				Partitions: []history.Partition{t0}, Steps: []history.Step{{Begun: moment(12), Ended: moment(13), Outcome: history.OK}},
			},
		},
	}
}

func TestLoadGivesWhatWasSaved(t *testing.T) {
	var file bytes.Buffer
	if err := sample().Save(&file); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(file.String(), "\n"); lines != 6 {
		t.Errorf("%d lines for 5 operations, want 6", lines)
	}
	got, err := history.Load(&file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, sample()) {
		t.Errorf("loaded\n%+v, saved\n%+v", got, sample())
	}
}

func TestLoadRefuses(t *testing.T) {
	var file bytes.Buffer
	if err := sample().Save(&file); err != nil {
		t.Fatal(err)
	}
	whole := file.String()
	for name, text := range map[string]string{
		"nothing":                  "",
		"another format":           strings.Replace(whole, "runnel-history", "other", 1),
		"another version":          strings.Replace(whole, `"version":1`, `"version":2`, 1),
		"a field it does not know": strings.Replace(whole, `"worker":3`, `"walker":3`, 1),
		"a file cut at a line":     whole[:strings.LastIndex(strings.TrimSpace(whole), "\n")+1],
		"a file cut within a line": whole[:len(whole)-10],
	} {
		t.Run(name, func(t *testing.T) {
			if h, err := history.Load(strings.NewReader(text)); err == nil {
				t.Errorf("loaded %+v", h)
			}
		})
	}
}

func TestPrint(t *testing.T) {
	for _, c := range []struct {
		name   string
		window history.Window
		want   string
	}{
		{"all", history.Window{}, `
  #1 1ms fault ok: kill broker 2
  #2..#7 2ms +5ms worker 3 (3.1) produce unknown "dial 127.0.0.1:4711: refused"; send t/0@4=11; send t/1@?=12 failed "UNKNOWN_TOPIC_OR_PARTITION: no such topic"
  #8..never 8ms worker 4 (4.1) transaction "x" commit at #10 group "g" offsets t/0@5 unknown; read 1: t/0@4=11(of 2)
  #11 11ms observe t/1 at broker "1": log start -1, high 3, stable 2 ok
  #12..#13 12ms +1ms final poll read_committed of t/0 ok; read nothing
`},
		{"around one", history.Window{Around: []int64{8}, Margin: 1}, `
  ...
  #2..#7 2ms +5ms worker 3 (3.1) produce unknown "dial 127.0.0.1:4711: refused"; send t/0@4=11; send t/1@?=12 failed "UNKNOWN_TOPIC_OR_PARTITION: no such topic"
> #8..never 8ms worker 4 (4.1) transaction "x" commit at #10 group "g" offsets t/0@5 unknown; read 1: t/0@4=11(of 2)
  #11 11ms observe t/1 at broker "1": log start -1, high 3, stable 2 ok
`},
		{"around two, of a partition", history.Window{Around: []int64{11, 12}, Partition: &t1}, `
  ...
> #11 11ms observe t/1 at broker "1": log start -1, high 3, stable 2 ok
> #12..#13 12ms +1ms final poll read_committed of t/0 ok; read nothing
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b strings.Builder
			if err := sample().Print(&b, c.window); err != nil {
				t.Fatal(err)
			}
			// A gap at the end is not told.
			if got := b.String(); got != c.want[1:] {
				t.Errorf("printed\n%swant\n%s", got, c.want[1:])
			}
		})
	}
}

func TestLongOperationsPrintShortly(t *testing.T) {
	o := history.Operation{Kind: history.Poll, Outcome: history.OK, Steps: []history.Step{{Outcome: history.OK}}}
	for i := range 1000 {
		o.Steps[0].Read = append(o.Steps[0].Read, history.Record{Partition: t0, Offset: int64(i), Value: int64(i + 1)})
	}
	text := o.String()
	if len(text) > 500 || !strings.Contains(text, "t/0@999=1000") || !strings.Contains(text, "read 1000") {
		t.Errorf("printed %s", text)
	}
}

func TestSummaryCounts(t *testing.T) {
	got := history.Summarize(sample()).String()
	want := `seed 7, 13ms
records: 2 sent, 1 acknowledged, 1 refused, 1 read, 0 read finally
transactions: 0 committed, 0 aborted, 1 in doubt
fault: 1 ok
observe: 1 ok
poll: 1 ok
produce: 1 unknown
transaction: 1 unknown
error UNKNOWN_TOPIC_OR_PARTITION: 1
error dial #.#.#.#:#: refused: 1
`
	if got != want {
		t.Errorf("summary\n%swant\n%s", got, want)
	}
}

// TestSummaryHasALineForAnError: errors that were joined have several.
func TestSummaryHasALineForAnError(t *testing.T) {
	failed := errors.Join(errors.New("client closed"), errors.New("no broker left"))
	h := &history.History{Operations: []history.Operation{{Kind: history.Poll, Outcome: history.Failed, Error: failed.Error()}}}
	if got := history.Summarize(h).String(); !strings.HasSuffix(got, "\nerror client closed; no broker left: 1\n") {
		t.Errorf("summary\n%s", got)
	}
}

func TestFate(t *testing.T) {
	for _, c := range []struct {
		name      string
		operation history.Operation
		want      history.Outcome
	}{
		{"committed", history.Operation{Commit: true, Deciding: moment(1), Outcome: history.OK}, history.OK},
		{"commit refused", history.Operation{Commit: true, Deciding: moment(1), Outcome: history.Failed}, history.Failed},
		{"commit without an answer", history.Operation{Commit: true, Deciding: moment(1), Outcome: history.Unknown}, history.Unknown},
		{"aborted", history.Operation{Deciding: moment(1), Outcome: history.OK}, history.Failed},
		{"abort without an answer", history.Operation{Deciding: moment(1), Outcome: history.Unknown}, history.Failed},
		{"never decided", history.Operation{Commit: true, Outcome: history.Unknown}, history.Failed},
	} {
		if got := c.operation.Fate(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestRecorderOrdersWhatItRecorded(t *testing.T) {
	var now time.Duration
	r := history.NewRecorder(func() time.Duration { now++; return now })
	open := r.Begin(history.Operation{Kind: history.Poll})
	done := r.Begin(history.Operation{Kind: history.Produce})
	r.End(done, history.Failed, errors.New("no"))
	r.Happened(history.Operation{Kind: history.Fault})
	h := r.History(3)
	if len(h.Operations) != 3 || h.Operations[0].Kind != history.Poll || !h.Operations[0].Ended.Never() || h.Operations[0].Outcome != history.Unknown {
		t.Errorf("recorded %+v", h.Operations)
	}
	if o := h.Operations[1]; o.Begun.Seq != 2 || o.Ended.Seq != 3 || o.Outcome != history.Failed || o.Error != "no" {
		t.Errorf("recorded %+v", o)
	}
	if o := h.Operations[2]; o.Outcome != history.OK || o.Begun != o.Ended || o.Begun.Seq != 4 {
		t.Errorf("recorded %+v", o)
	}
	_ = open
}

// TestJumpsAddUp: a clock that was behind, and then is ahead, has gained both.
func TestJumpsAddUp(t *testing.T) {
	r := history.NewRecorder(func() time.Duration { return 0 })
	for _, d := range []time.Duration{2 * time.Second, -3 * time.Second, time.Second, -time.Second} {
		r.Jumps(d)
	}
	if h := r.History(1); h.Ahead != 2*time.Second || h.Gains != 5*time.Second {
		t.Errorf("ahead by %v, gains of %v", h.Ahead, h.Gains)
	}
}
