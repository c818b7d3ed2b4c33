package checker_test

import (
	"fmt"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

// janitor compacts what is compacted and moves the log starts of what is not kept.
func janitor(c *cluster, _ int, pause func()) {
	for range 2 * rounds {
		if p := pick(c, passing); p.Topic != "keyed" || c.chance(50) { // else hardly anybody finds what is superseded
			c.clean(c.logs[p])
		}
		pause()
	}
}

// clean does what a topic's settings let it do, up to where no transaction is open; and sometimes less.
func (c *cluster) clean(l *log) {
	end := l.stable()
	if c.chance(30) {
		end = min(end, l.start+c.rng.Int64N(l.high()+1))
	}
	if l.topic.Compacted {
		l.compact(end, c.now)
	}
	switch {
	case l.topic.Retention > 0:
		for l.start < end && (l.entries[l.start].gone || time.Duration(l.entries[l.start].record.Timestamp-epoch)*time.Millisecond+l.topic.Retention <= c.now) {
			l.start++ // a marker, which has no time, is old enough
		}
	case l.topic.Kept > 0:
		l.start = max(l.start, min(end, l.high()-l.topic.Kept))
	}
}

// compact takes away what is aborted, what is superseded, and tombstones that were met long ago.
func (l *log) compact(end int64, now time.Duration) {
	last := map[int64]int64{} // by key
	for offset := range end {
		if e := &l.entries[offset]; e.record.Value != 0 && time.Duration(e.record.Timestamp-epoch)*time.Millisecond+l.topic.Lag > now {
			end = offset
			break
		}
	}
	for offset := range end {
		if e := &l.entries[offset]; e.record.Value != 0 && (e.of == nil || e.of.committed) {
			last[e.record.Key] = offset
		}
	}
	for offset := range end {
		e := &l.entries[offset]
		switch {
		case e.record.Value == 0 || e.gone:
		case e.of != nil && !e.of.committed || last[e.record.Key] > offset:
			e.gone = true
		case e.record.Tombstone && e.met == 0:
			e.met = now
		case e.record.Tombstone && e.met+l.topic.Tombstones <= now:
			e.gone = true
		}
	}
}

// scanner reads compacted partitions from their start to their end, while others change them.
func scanner(c *cluster, number int, pause func()) {
	for round := range 2 * rounds {
		pause()
		pause()
		isolation := pick(c, []history.Isolation{history.ReadCommitted, history.ReadUncommitted})
		c.scan(number, fmt.Sprintf("scan.%d", round), isolation, pick(c, key), false, pause)
	}
}

// scan reads a partition from its start to its end.
func (c *cluster) scan(number int, client string, isolation history.Isolation, p history.Partition, final bool, pause func()) {
	l := c.logs[p]
	o := c.rec.Begin(history.Operation{
		Kind: history.Poll, Worker: number, Client: client, Isolation: isolation, Broker: "3", Whole: true, Final: final, Partitions: []history.Partition{p},
	})
	position := l.start
	for {
		end := l.high()
		if isolation == history.ReadCommitted {
			end = l.stable()
		}
		step := history.Step{Begun: c.rec.Moment(), Outcome: history.OK}
		step.Read, position = c.read(p, position, isolation, 6, true)
		step.Ended = c.rec.Moment()
		o.Steps = append(o.Steps, step)
		if position >= end {
			break
		}
		if c.chance(50) {
			pause()
		}
	}
	o.Offsets = []history.At{{Partition: p, Offset: position}}
	c.rec.End(o, history.OK, nil)
}

// recreator makes topics and deletes them.
func recreator(c *cluster, number int, pause func()) {
	for round := range rounds / 4 {
		p := history.Partition{Topic: fmt.Sprintf("again.%d", round)}
		broker := pick(c, []string{"1", "2"})
		c.logs[p] = &log{Partition: p}
		send := func(exists bool) {
			o := c.rec.Begin(history.Operation{Kind: history.Produce, Worker: number, Client: fmt.Sprintf("%d.%d", number, round)})
			c.value++
			sent := history.Record{Partition: p, Offset: -1, Value: c.value}
			step := history.Step{Begun: c.rec.Moment(), Outcome: history.Failed, Error: "UNKNOWN_TOPIC_ID: gone", Send: &sent}
			pause()
			if exists {
				sent.Offset, _ = c.append(sent, nil)
				step.Outcome, step.Error = history.OK, ""
			}
			step.Ended = c.rec.Moment()
			o.Steps = []history.Step{step}
			c.rec.End(o, step.Outcome, nil)
		}
		read := func() {
			o := c.rec.Begin(history.Operation{Kind: history.Poll, Worker: number, Client: fmt.Sprintf("%d.%d.r", number, round), Isolation: history.ReadUncommitted, Broker: broker})
			step := history.Step{Begun: c.rec.Moment(), Outcome: history.OK}
			step.Read, _ = c.read(p, 0, history.ReadUncommitted, 10, true)
			step.Ended = c.rec.Moment()
			o.Steps = []history.Step{step}
			c.rec.End(o, history.OK, nil)
		}
		send(true)
		send(true)
		read()
		o := c.rec.Begin(history.Operation{
			Kind: history.DeleteTopic, Worker: number, Broker: broker, Partitions: []history.Partition{{Topic: p.Topic, Number: -1}},
		})
		send(c.chance(50))
		outcome := pick(c, []history.Outcome{history.OK, history.Unknown})
		c.rec.End(o, outcome, nil)
		send(outcome == history.Unknown && c.chance(50))
		pause()
	}
}

// alterer changes the settings of a topic, and is told so, or not, or it comes to pass later.
func alterer(c *cluster, number int, pause func()) {
	for range rounds / 2 {
		pause()
		t := history.Topic{Name: fickle[0].Topic}
		if c.chance(50) {
			t.Compacted, t.Tombstones = true, 100*time.Millisecond
			t.Lag = pick(c, []time.Duration{0, 50 * time.Millisecond})
		}
		t.Retention = pick(c, []time.Duration{0, 150 * time.Millisecond, time.Hour})
		o := c.rec.Begin(history.Operation{Kind: history.AlterTopic, Worker: number, Settings: &t})
		pause()
		apply := func() { c.logs[fickle[0]].topic = t }
		switch fate := c.rng.IntN(100); {
		case fate < 10:
			c.rec.End(o, history.Failed, nil)
		case fate < 20:
			c.late = append(c.late, apply)
			c.rec.End(o, history.Unknown, errTimeout)
		case fate < 30:
			apply()
			c.rec.End(o, history.Unknown, errTimeout)
		default:
			apply()
			c.rec.End(o, history.OK, nil)
		}
	}
}
