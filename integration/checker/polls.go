package checker

import (
	"cmp"
	"slices"

	"github.com/runnel-io/runnel/integration/history"
)

// checkPolls finds consumers that were given offsets which do not rise, or that passed over a record they had to see. It
// compares what one client read of a partition, one after the other, unless its position may have changed in between.
func checkPolls(x *index, f *findings) {
	visible, turns := x.visible(), x.turns()
	consumers := map[consumption]*consumer{}
	for i := range x.reads {
		r := &x.reads[i]
		key := consumption{x.ops[r.op].Client, r.partition}
		c := consumers[key]
		if c == nil {
			c = &consumer{x: x, f: f, turns: turns.of(key), op: -1}
			consumers[key] = c
		}
		c.read(r, &visible[r.partition])
	}
}

// consumption is one client's reading of one partition.
type consumption struct {
	client    string
	partition int32
}

// consumer follows a consumption.
type consumer struct {
	x     *index
	f     *findings
	turns []turn // by begin
	next  int    // the first turn that is not taken into account
	busy  int64  // the last Seq at which a turn may have moved the position to where nobody knows

	known    bool
	last     int64 // the offset before the position
	since    int64 // the Seq from which on it was there
	from     place // what put it there
	op, step int32 // of the last read; -1: none
}

// read takes a record that the client was given.
func (c *consumer) read(r *read, visible *visibility) {
	at := c.x.readPlace(r)
	begin := beginOfStep(at.op, at.step)
	// What one poll returns is in order whatever happened to the position around it.
	within := c.op == r.op && c.step == r.step
	if !within {
		c.take(begin, endOfStep(at.op, at.step))
	}
	if within || c.known && c.since > c.busy && at.op.Client != "" {
		c.compare(r, at, visible)
	}
	c.known, c.last, c.since, c.from, c.op, c.step = true, r.record.Offset, begin, at, r.op, r.step
}

// take takes the turns into account that began before the end of a step. They are instants, mostly, but told by somebody
// else than who polls: one that is not over when the step begins may have moved the position before or after it.
func (c *consumer) take(begin, end int64) {
	for c.next < len(c.turns) && c.turns[c.next].begin < end {
		t := &c.turns[c.next]
		c.next++
		if t.position >= 0 && t.end < begin {
			c.known, c.last, c.since, c.from, c.op = true, t.position-1, t.begin, place{op: t.op}, -1
		} else {
			c.busy = max(c.busy, t.end)
		}
	}
}

func (c *consumer) compare(r *read, at place, visible *visibility) {
	places := []place{c.from, at}
	if c.from == at {
		places = places[1:]
	}
	how := extent(c.op, r.op)
	if r.record.Offset <= c.last {
		c.f.add(NonmonotonicPoll, r.record.Partition, places, "%s at position %d was given offset %d (%s)", at.op.Client, c.last+1, r.record.Offset, how)
		return
	}
	if missed := visible.missed(c.x, r.committed, c.last+1, r.record.Offset, endOfRead(at.op, at.step)); len(missed) > 0 {
		c.f.add(PollSkip, r.record.Partition, places, "%s at position %d was given offset %d, past %d records from offset %d on (%s)",
			at.op.Client, c.last+1, r.record.Offset, len(missed), missed[0], how)
	}
}

// visibility is what a consumer of a partition cannot miss, by offset.
type visibility struct {
	committed, uncommitted []int64
	passing                []passing // instead, where records may go
}

// passing is a record that may go.
type passing struct {
	offset                 int64
	send                   int32
	committed, uncommitted bool  // who has to see it while it is there
	there                  int64 // the last Seq at which it is known to have been there yet
}

// missed gives the offsets, from one to before another, which a consumer that passed over them by then had to see.
func (v *visibility) missed(x *index, committed bool, from, to int64, then instant) []int64 {
	if v.passing != nil {
		return v.missedPassing(x, committed, from, to, then)
	}
	visible := v.uncommitted
	if committed {
		visible = v.committed
	}
	i, _ := slices.BinarySearch(visible, from)
	until, _ := slices.BinarySearch(visible, to)
	return visible[i:max(i, until)]
}

func (v *visibility) missedPassing(x *index, committed bool, from, to int64, then instant) (missed []int64) {
	i, _ := slices.BinarySearchFunc(v.passing, from, func(p passing, offset int64) int { return cmp.Compare(p.offset, offset) })
	for _, p := range v.passing[i:] {
		if p.offset >= to {
			break
		}
		due := committed && p.committed || !committed && p.uncommitted
		if due && (then.seq < p.there || !x.mayHaveGone(&x.sends[p.send], p.offset, then)) {
			missed = append(missed, p.offset)
		}
	}
	return missed
}

// visible gives the visibility of all partitions: what was read finally at the same isolation. At read_uncommitted that is
// also what read_committed finds, and, where nobody read finally at read_uncommitted, what was acknowledged.
func (x *index) visible() []visibility {
	all := make([]visibility, len(x.partitions))
	for i := range x.reads {
		r := &x.reads[i]
		if r.reader < 0 || r.send < 0 || x.partitions[r.partition].loses() {
			continue
		}
		v := &all[r.partition]
		v.uncommitted = append(v.uncommitted, r.record.Offset)
		if s := &x.sends[r.send]; (r.committed || !x.transactional) && !x.aborted(s, r) {
			v.committed = append(v.committed, r.record.Offset)
		}
	}
	plain := make([]bool, len(x.partitions)) // read finally at read_uncommitted
	for i := range plain {
		plain[i] = slices.ContainsFunc(x.readers, func(r reader) bool { return !r.committed && r.covers(int32(i)) })
	}
	for i := range x.sends {
		s := &x.sends[i]
		if s.acked() && !plain[s.partition] && !x.partitions[s.partition].loses() {
			all[s.partition].uncommitted = append(all[s.partition].uncommitted, s.record.Offset)
		}
	}
	for i := range all {
		all[i].committed, all[i].uncommitted = sorted(all[i].committed), sorted(all[i].uncommitted)
	}
	x.addPassing(all)
	return all
}

// addPassing adds what may go.
func (x *index) addPassing(all []visibility) {
	there := make([]int64, len(x.sends))
	for i := range x.reads {
		if r := &x.reads[i]; r.reader >= 0 && r.send >= 0 {
			at := x.readPlace(r)
			there[r.send] = max(there[r.send], beginOfStep(at.op, at.step))
		}
	}
	for i := range x.partitions {
		if x.partitions[i].loses() {
			all[i].passing = []passing{}
		}
	}
	for i := range x.sends {
		s := &x.sends[i]
		v := &all[s.partition]
		if offset := x.offsetOf(s); v.passing != nil && offset >= 0 {
			committed, uncommitted := x.due(s)
			v.passing = append(v.passing, passing{offset, int32(i), committed, uncommitted, there[i]})
		}
	}
	for i := range all {
		slices.SortStableFunc(all[i].passing, func(a, b passing) int { return cmp.Compare(a.offset, b.offset) })
	}
}

func sorted(offsets []int64) []int64 {
	slices.Sort(offsets)
	return slices.Compact(offsets)
}

// turn is something that moves a consumer's position.
type turn struct {
	op         *history.Operation
	begin, end int64
	position   int64 // where to; -1: nobody knows
}

// turns are those of all clients.
type turns struct {
	partly map[consumption][]turn // that concern some partitions
	wholly map[string][]turn      // that concern all partitions of a client
}

// of gives the turns of a consumption in order.
func (t *turns) of(c consumption) []turn {
	both := slices.Concat(t.partly[c], t.wholly[c.client])
	slices.SortStableFunc(both, func(a, b turn) int { return cmp.Compare(a.begin, b.begin) })
	// A turn that moves all partitions and says where some of them go to is in both: what it says counts.
	return slices.CompactFunc(both, func(a, b turn) bool { return a.op == b.op })
}

func (x *index) turns() *turns {
	t := &turns{partly: map[consumption][]turn{}, wholly: map[string][]turn{}}
	clients := x.clientsOfWorkers()
	for i := range x.ops {
		o := &x.ops[i]
		one := turn{op: o, begin: o.Begun.Seq, end: endOf(o.Ended), position: -1}
		switch o.Kind {
		case history.Assign, history.Rewind:
			for _, at := range o.Offsets {
				to := one
				if o.Outcome == history.OK {
					to.position = at.Offset
				}
				t.add(x, o.Client, at.Partition, to)
			}
			if o.Kind == history.Assign || len(o.Offsets) == 0 {
				t.wholly[o.Client] = append(t.wholly[o.Client], one)
			}
		case history.Subscribe:
			t.wholly[o.Client] = append(t.wholly[o.Client], one)
		case history.Assigned, history.Revoked:
			told := []string{o.Client}
			if o.Client == "" {
				told = clients[o.Worker]
			}
			for _, client := range told {
				for _, p := range o.Partitions {
					t.add(x, client, p, one)
				}
			}
		case history.Transaction:
			// What was read and not committed is read again.
			if last := lastRead(o); last != nil && o.Fate() != history.OK {
				one.begin = min(endOfStep(o, last), one.end)
				t.wholly[o.Client] = append(t.wholly[o.Client], one)
			}
		}
	}
	return t
}

// add notes a turn of a client in a partition, or in all if the partition stands for its topic. Nobody read those that the
// index does not know.
func (t *turns) add(x *index, client string, p history.Partition, one turn) {
	if p.Number < 0 {
		t.wholly[client] = append(t.wholly[client], one)
	} else if id, known := x.ids[p]; known {
		key := consumption{client, id}
		t.partly[key] = append(t.partly[key], one)
	}
}

// clientsOfWorkers gives the clients that each worker had.
func (x *index) clientsOfWorkers() map[int][]string {
	type client struct {
		worker int
		name   string
	}
	seen, clients := map[client]bool{}, map[int][]string{}
	for i := range x.ops {
		o := &x.ops[i]
		if key := (client{o.Worker, o.Client}); o.Client != "" && !seen[key] {
			seen[key] = true
			clients[o.Worker] = append(clients[o.Worker], o.Client)
		}
	}
	return clients
}

// lastRead gives the last step of an operation that read something, nil if none did.
func lastRead(o *history.Operation) *history.Step {
	for i := len(o.Steps) - 1; i >= 0; i-- {
		if len(o.Steps[i].Read) > 0 {
			return &o.Steps[i]
		}
	}
	return nil
}
