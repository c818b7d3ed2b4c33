package checker_test

import (
	"errors"
	"fmt"
	"slices"

	"github.com/runnel-io/runnel/integration/history"
)

var errTimeout = errors.New("REQUEST_TIMED_OUT: no answer")

const rounds = 16

// sendAll sends some records, begun at once, applied and answered in order. It tells whether all were acknowledged.
func (c *cluster) sendAll(o *history.Operation, of *transaction, records []history.Record, sure bool, pause func()) bool {
	for _, r := range records {
		c.value++
		sent := r
		sent.Value, sent.Offset = c.value, -1
		o.Steps = append(o.Steps, history.Step{Begun: c.rec.Moment(), Outcome: history.Unknown, Send: &sent})
		pause()
	}
	steps := o.Steps[len(o.Steps)-len(records):]
	all := true
	for i := range steps {
		pause()
		all = c.send(&steps[i], of, sure) && all
	}
	return all
}

// send applies a send and answers it, or does one and not the other, or neither, or applies it later.
func (c *cluster) send(step *history.Step, of *transaction, sure bool) bool {
	fate := c.rng.IntN(100)
	if sure {
		fate = 100
	}
	r := *step.Send
	switch {
	case fate < 3:
		step.Outcome, step.Error = history.Failed, "TOPIC_AUTHORIZATION_FAILED: no"
	case fate < 6:
		step.Error = errTimeout.Error()
	case fate < 9:
		c.append(r, of)
		step.Error = errTimeout.Error()
	case fate < 12:
		c.late = append(c.late, func() { c.append(r, of) })
		step.Error = errTimeout.Error()
	default:
		offset, ok := c.append(r, of)
		step.Outcome = history.Unknown
		if ok {
			step.Outcome, step.Send.Offset = history.OK, offset
		}
	}
	step.Ended = c.rec.Moment()
	return step.Outcome == history.OK
}

func (c *cluster) someRecords(partitions []history.Partition) []history.Record {
	var records []history.Record
	for range 1 + c.rng.IntN(5) {
		r := history.Record{
			Partition: pick(c, partitions), Key: c.rng.Int64N(4), Timestamp: epoch + c.now.Milliseconds() - c.rng.Int64N(20),
		}
		r.Tombstone = r.Topic == "keyed" && c.chance(20)
		records = append(records, r)
	}
	return records
}

// writable are the partitions that all kinds of producers write to.
var writable = slices.Concat(plain, in, passing)

// producer sends outside of transactions.
func producer(c *cluster, number int, pause func()) {
	for round := range rounds {
		o := c.rec.Begin(history.Operation{Kind: history.Produce, Worker: number, Client: fmt.Sprintf("%d.%d", number, round/4)})
		pause()
		outcome := history.Unknown
		if c.sendAll(o, nil, c.someRecords(writable), false, pause) {
			outcome = history.OK
		}
		if c.chance(97) { // else it never hears of the end
			c.rec.End(o, outcome, nil)
		}
	}
}

// transactor sends in transactions, and reads in some.
func transactor(c *cluster, number int, pause func()) {
	for round := range rounds {
		client := fmt.Sprintf("%d.%d", number, round)
		o := c.rec.Begin(history.Operation{
			Kind: history.Transaction, Worker: number, Client: client, TransactionalID: fmt.Sprint("x", number), Isolation: history.ReadCommitted,
		})
		of := &transaction{}
		if c.chance(30) {
			step := history.Step{Begun: c.rec.Moment(), Outcome: history.OK}
			pause()
			step.Read, _ = c.read(pick(c, plain), 0, history.ReadCommitted, 4, false)
			step.Ended = c.rec.Moment()
			o.Steps = append(o.Steps, step)
		}
		c.sendAll(o, of, c.someRecords(writable), false, pause)
		c.end(o, of, c.chance(70), false, pause)
	}
}

// end asks to end a transaction, or crashes, and tells whether it is known to be committed.
func (c *cluster) end(o *history.Operation, of *transaction, commit, sure bool, pause func()) bool {
	pause()
	fate := c.rng.IntN(100)
	if sure {
		fate = 100
	}
	if fate < 8 {
		c.late = append(c.late, func() { c.decide(of, false) }) // past its time-out
		return false
	}
	o.Deciding, o.Commit = c.rec.Moment(), commit
	pause()
	outcome := history.OK
	switch {
	case fate < 12:
		c.decide(of, false)
		outcome = history.Failed
	case fate < 18:
		c.decide(of, commit)
		outcome = history.Unknown
	case fate < 24:
		late := commit && c.chance(50)
		c.late = append(c.late, func() { c.decide(of, late) })
		outcome = history.Unknown
	default:
		c.decide(of, commit)
	}
	pause()
	var err error
	if outcome == history.Unknown {
		err = errTimeout
	}
	c.rec.End(o, outcome, err)
	return commit && outcome == history.OK
}

// reader follows all partitions at one isolation, rewinds, or starts anew as another client.
func reader(c *cluster, number int, pause func()) {
	isolation := []history.Isolation{history.ReadCommitted, history.ReadUncommitted}[number%2]
	position := map[history.Partition]int64{}
	client := ""
	for round := range 4 * rounds {
		switch {
		case client == "" || c.chance(5):
			client = fmt.Sprintf("%d.%d", number, round)
			clear(position)
			o := history.Operation{Kind: history.Assign, Worker: number, Client: client, Partitions: writable}
			if c.chance(50) {
				for _, p := range o.Partitions {
					position[p] = c.rng.Int64N(c.logs[p].stable() + 1)
					o.Offsets = append(o.Offsets, history.At{Partition: p, Offset: position[p]})
				}
			}
			c.rec.Happened(o)
		case c.chance(10):
			p := pick(c, plain)
			position[p] = c.rng.Int64N(c.logs[p].stable() + 1)
			c.rec.Happened(history.Operation{
				Kind: history.Rewind, Worker: number, Client: client, Offsets: []history.At{{Partition: p, Offset: position[p]}},
			})
		}
		o := c.rec.Begin(history.Operation{Kind: history.Poll, Worker: number, Client: client, Isolation: isolation})
		pause()
		step := history.Step{Begun: c.rec.Moment(), Outcome: history.OK}
		for range 3 {
			p := pick(c, writable)
			var records []history.Record
			records, position[p] = c.read(p, position[p], isolation, 5, false)
			step.Read = append(step.Read, records...)
			pause()
		}
		step.Ended = c.rec.Moment()
		o.Steps = []history.Step{step}
		c.rec.End(o, history.OK, nil)
	}
}

// committer commits offsets of a group forward, as one member after the other; what a member committed without an answer may
// be applied later, but not in the next generation.
func committer(c *cluster, number int, pause func()) {
	g := c.groups["plain"]
	var offsets map[history.Partition]int64
	for round := range 2 * rounds {
		if round%6 == 0 {
			g.generation++
			offsets = c.fetchOffsets("plain", plain)
			c.rec.Happened(history.Operation{
				Kind: history.Assigned, Worker: number, Client: fmt.Sprint(number), Group: "plain", Member: fmt.Sprint("m", g.generation),
				Generation: g.generation, Partitions: plain,
			})
		}
		p := pick(c, plain)
		generation := g.generation
		offsets[p] += 1 + c.rng.Int64N(3)
		offset := offsets[p]
		apply := func() {
			if g.generation == generation {
				g.offsets[p] = offset
			}
		}
		o := c.rec.Begin(history.Operation{
			Kind: history.CommitOffsets, Worker: number, Client: fmt.Sprint(number), Group: "plain", Member: fmt.Sprint("m", generation),
			Generation: generation, Offsets: []history.At{{Partition: p, Offset: offset}},
		})
		pause()
		outcome := history.Unknown
		switch fate := c.rng.IntN(100); {
		case fate < 10:
			c.late = append(c.late, apply)
		case fate < 20:
			apply()
		case fate < 25:
			outcome = history.Failed
		default:
			apply()
			outcome = history.OK
		}
		pause()
		c.rec.End(o, outcome, nil)
		if c.chance(40) {
			c.fetchOffsets("plain", plain)
		}
	}
}

// observer asks brokers, which lag, for borders, and deletes some records.
func observer(c *cluster, number int, pause func()) {
	for range 3 * rounds {
		broker, p := pick(c, []string{"1", "2"}), pick(c, slices.Concat(plain, out, passing))
		l := c.logs[p]
		o := c.rec.Begin(history.Operation{Kind: history.Observe, Worker: number, Broker: broker})
		pause()
		marks := history.Marks{Partition: p, LogStart: l.start, High: l.high(), Stable: l.stable()}
		if before, some := c.views[broker][p]; some && c.chance(40) {
			marks = before
		}
		c.views[broker][p] = marks
		o.Marks = &marks
		pause()
		c.rec.End(o, history.OK, nil)
		if p == plain[0] && c.chance(10) {
			to := l.start + c.rng.Int64N(min(l.stable()-l.start, 4)+1)
			o := c.rec.Begin(history.Operation{Kind: history.DeleteRecords, Worker: number, Offsets: []history.At{{Partition: p, Offset: to}}})
			pause()
			l.start = to
			c.rec.End(o, pick(c, []history.Outcome{history.OK, history.Unknown}), nil)
		}
	}
}

// piper makes "out" from "in", exactly once, in one life after the other, until nothing is left once the load is over.
func piper(c *cluster, number int, pause func()) {
	g := c.groups["pipe"]
	var position map[history.Partition]int64
	for life := 0; ; {
		if position == nil {
			// A new life fences the old one, whose transaction is over then.
			if g.open != nil {
				c.decide(g.open, false)
			}
			life++
			g.generation++
			c.rec.Happened(history.Operation{
				Kind: history.Assigned, Worker: number, Client: fmt.Sprintf("pipe.%d", life), Group: "pipe", Member: fmt.Sprint("pipe", life),
				Generation: g.generation, Partitions: in,
			})
			position = c.fetchOffsets("pipe", in)
		}
		o := c.rec.Begin(history.Operation{
			Kind: history.Transaction, Worker: number, Client: fmt.Sprintf("pipe.%d", life), TransactionalID: "pipe", Isolation: history.ReadCommitted, Group: "pipe",
		})
		last := c.ready // before it reads: what it does not find then does not come any more
		records := c.take(o, position, last, pause)
		if len(records) == 0 && last {
			c.end(o, &transaction{}, true, true, pause)
			return
		}
		of := &transaction{}
		g.open = of
		done := c.sendAll(o, of, records, c.ready, pause)
		for _, p := range in {
			g.pending[p] = position[p]
			o.Offsets = append(o.Offsets, history.At{Partition: p, Offset: position[p]})
		}
		if !c.end(o, of, done, c.ready, pause) {
			position = nil
		}
	}
}

// take reads what a transaction of the pipeline is to be made from, and gives what to send.
func (c *cluster) take(o *history.Operation, position map[history.Partition]int64, all bool, pause func()) []history.Record {
	var records []history.Record
	for _, p := range in {
		step := history.Step{Begun: c.rec.Moment(), Outcome: history.OK}
		step.Read, position[p] = c.read(p, position[p], history.ReadCommitted, 4, all)
		pause()
		step.Ended = c.rec.Moment()
		o.Steps = append(o.Steps, step)
		for _, r := range step.Read {
			records = append(records, history.Record{Partition: pick(c, out), Key: r.Key, Of: r.Value})
		}
	}
	return records
}
