package checker_test

import (
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

// cluster is a tiny model of one that keeps its promises: logs in memory, transactions, the offsets of groups. Its workers
// take turns at random, so that their operations overlap.
type cluster struct {
	rng    *rand.Rand
	rec    *history.Recorder
	logs   map[history.Partition]*log
	groups map[string]*group
	views  map[string]map[history.Partition]history.Marks // what brokers know, by broker
	late   []func()                                       // what happens some time after its client has given up
	now    time.Duration
	value  int64 // the last that was sent
	ready  bool  // the load is over
}

// log is a partition.
type log struct {
	history.Partition
	entries []entry
	start   int64
	topic   history.Topic
}

// entry is a record or, without a value, a marker.
type entry struct {
	record history.Record
	of     *transaction  // nil: none
	gone   bool          // compacted away
	met    time.Duration // by compaction first; 0: not yet
}

type transaction struct{ decided, committed bool }

type group struct {
	generation int32
	offsets    map[history.Partition]int64
	pending    map[history.Partition]int64 // of the transaction
	open       *transaction
}

// Topics: "plain" takes records of all kinds, and so do "keyed", which is compacted, "timed" and "sized", whose log starts
// move by themselves, and "altered", whose settings change; "in" is made into "out".
var (
	plain  = []history.Partition{{Topic: "plain", Number: 0}, {Topic: "plain", Number: 1}, {Topic: "plain", Number: 2}}
	in     = []history.Partition{{Topic: "in", Number: 0}, {Topic: "in", Number: 1}}
	out    = []history.Partition{{Topic: "out", Number: 0}, {Topic: "out", Number: 1}}
	key    = []history.Partition{{Topic: "keyed", Number: 0}, {Topic: "keyed", Number: 1}}
	timely = []history.Partition{{Topic: "timed", Number: 0}}
	size   = []history.Partition{{Topic: "sized", Number: 0}}
	fickle = []history.Partition{{Topic: "altered", Number: 0}}

	passing    = slices.Concat(key, timely, size, fickle) // partitions that lose records by their settings
	everywhere = slices.Concat(plain, in, out, passing)
)

// settings are those of topics that lose records.
var settings = []history.Topic{
	{Name: "keyed", Compacted: true, Tombstones: 200 * time.Millisecond},
	{Name: "timed", Retention: 150 * time.Millisecond},
	{Name: "sized", Kept: 10},
	{Name: "altered"},
}

// epoch is when the model starts, on the clock of records.
const epoch = 1_000_000

// worker does operations until its rounds are done. Between calls of pause, others do theirs.
type worker func(c *cluster, number int, pause func())

// runModel gives the history of a run.
func runModel(seed uint64) *history.History {
	c := &cluster{
		rng:    rand.New(rand.NewPCG(seed, 1)),
		logs:   map[history.Partition]*log{},
		groups: map[string]*group{"pipe": newGroup(), "plain": newGroup()},
		views:  map[string]map[history.Partition]history.Marks{"1": {}, "2": {}},
	}
	c.rec = history.NewRecorder(func() time.Duration { c.now += time.Millisecond; return c.now })
	c.rec.Clock(time.UnixMilli(epoch + (c.now + time.Millisecond).Milliseconds()))
	for _, p := range everywhere {
		c.logs[p] = &log{Partition: p}
	}
	for _, t := range settings {
		c.rec.Topic(t)
		for _, p := range passing {
			if p.Topic == t.Name {
				c.logs[p].topic = t
			}
		}
	}
	c.rec.Pipeline(history.Pipeline{From: "in", To: "out", Group: "pipe"})
	load := []worker{producer, producer, transactor, transactor, reader, reader, committer, observer, janitor, scanner, recreator, alterer}
	c.interleave(append(load, piper))
	return c.rec.History(seed)
}

func newGroup() *group {
	return &group{offsets: map[history.Partition]int64{}, pending: map[history.Partition]int64{}}
}

// interleave runs the workers, and the last of them, the pipeline, until it has nothing left to do after the others; then the
// final reads.
func (c *cluster) interleave(workers []worker) {
	var next []func() (struct{}, bool)
	for number, w := range workers {
		resume, stop := iter.Pull(func(yield func(struct{}) bool) {
			w(c, number, func() { yield(struct{}{}) })
		})
		defer stop()
		next = append(next, resume)
	}
	last := next[len(next)-1]
	for next = next[:len(next)-1]; len(next) > 0; {
		if c.chance(20) {
			last()
		}
		if len(c.late) > 0 && c.chance(10) {
			c.happenLate(c.rng.IntN(len(c.late)))
		}
		i := c.rng.IntN(len(next))
		if _, more := next[i](); !more {
			next = append(next[:i], next[i+1:]...)
		}
	}
	for len(c.late) > 0 {
		c.happenLate(0)
	}
	c.ready = true
	for {
		if _, more := last(); !more {
			break
		}
	}
	for len(c.late) > 0 {
		c.happenLate(0)
	}
	c.finish()
}

func (c *cluster) happenLate(i int) {
	happen := c.late[i]
	c.late = append(c.late[:i], c.late[i+1:]...)
	happen()
}

func (c *cluster) chance(percent int) bool { return c.rng.IntN(100) < percent }

func pick[T any](c *cluster, of []T) T { return of[c.rng.IntN(len(of))] }

// append gives a record its offset. Nothing joins a transaction that is decided.
func (c *cluster) append(r history.Record, of *transaction) (int64, bool) {
	l := c.logs[r.Partition]
	if of != nil && of.decided {
		return -1, false
	}
	r.Offset = int64(len(l.entries))
	l.entries = append(l.entries, entry{record: r, of: of})
	return r.Offset, true
}

// decide ends a transaction: a marker in each partition that it wrote to.
func (c *cluster) decide(t *transaction, commit bool) {
	if t.decided {
		return
	}
	t.decided, t.committed = true, commit
	for _, p := range everywhere {
		l := c.logs[p]
		for _, e := range l.entries {
			if e.of == t {
				l.entries = append(l.entries, entry{of: t})
				break
			}
		}
	}
	for _, g := range c.groups {
		if g.open == t {
			if commit {
				for p, offset := range g.pending {
					g.offsets[p] = offset
				}
			}
			clear(g.pending)
			g.open = nil
		}
	}
}

func (l *log) high() int64 { return int64(len(l.entries)) }

func (l *log) stable() int64 {
	for offset, e := range l.entries {
		if e.of != nil && !e.of.decided {
			return int64(offset)
		}
	}
	return l.high()
}

// read gives up to most records from a position on, and the next position. It stops before the end now and then, as one does
// that asks a broker which lags.
func (c *cluster) read(p history.Partition, position int64, isolation history.Isolation, most int, all bool) ([]history.Record, int64) {
	l := c.logs[p]
	end := l.high()
	if isolation == history.ReadCommitted {
		end = l.stable()
	}
	if !all && end > position {
		end = position + c.rng.Int64N(end-position+1)
	}
	var records []history.Record
	for position = max(position, l.start); position < end && len(records) < most; position++ {
		e := l.entries[position]
		if e.gone || e.record.Value == 0 || isolation == history.ReadCommitted && e.of != nil && !e.of.committed {
			continue
		}
		records = append(records, e.record)
	}
	return records, position
}

// finish reads everything finally: twice at each isolation, once all at once and once partition by partition.
func (c *cluster) finish() {
	all := everywhere
	for _, isolation := range []history.Isolation{history.ReadCommitted, history.ReadUncommitted} {
		client := "final " + string(isolation)
		c.finalRead(client, isolation, all)
		for _, p := range all {
			c.finalRead(client+" one by one", isolation, []history.Partition{p})
			c.clean(c.logs[p])
		}
	}
	for _, p := range passing {
		for _, isolation := range []history.Isolation{history.ReadCommitted, history.ReadUncommitted} {
			c.scan(100, "final "+string(isolation)+" whole", isolation, p, true, func() {})
		}
		l := c.logs[p]
		c.rec.Happened(history.Operation{
			Kind: history.Observe, Worker: 100, Broker: "1", Final: true, Marks: &history.Marks{Partition: p, LogStart: l.start, High: l.high(), Stable: l.stable()},
		})
	}
	c.fetchOffsets("pipe", in)
	c.fetchOffsets("plain", plain)
}

func (c *cluster) finalRead(client string, isolation history.Isolation, partitions []history.Partition) {
	c.rec.Happened(history.Operation{Kind: history.Assign, Worker: 100, Client: client, Final: true, Partitions: partitions})
	position := map[history.Partition]int64{}
	for _, p := range partitions {
		for {
			o := c.rec.Begin(history.Operation{Kind: history.Poll, Worker: 100, Client: client, Final: true, Isolation: isolation})
			step := history.Step{Begun: c.rec.Moment(), Outcome: history.OK}
			step.Read, position[p] = c.read(p, position[p], isolation, 7, true)
			step.Ended = c.rec.Moment()
			o.Steps = []history.Step{step}
			c.rec.End(o, history.OK, nil)
			if len(step.Read) == 0 {
				break
			}
		}
	}
}

func (c *cluster) fetchOffsets(name string, partitions []history.Partition) map[history.Partition]int64 {
	o := c.rec.Begin(history.Operation{Kind: history.FetchOffsets, Group: name})
	found := map[history.Partition]int64{}
	for _, p := range partitions {
		offset, some := c.groups[name].offsets[p]
		if !some {
			offset = -1
		}
		found[p] = max(offset, 0)
		o.Offsets = append(o.Offsets, history.At{Partition: p, Offset: offset})
	}
	c.rec.End(o, history.OK, nil)
	return found
}
