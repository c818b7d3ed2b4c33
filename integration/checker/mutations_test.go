package checker_test

import (
	"math/rand/v2"
	"slices"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

// mutation makes a sound history wrong, if it can, and then one of want must be found.
type mutation struct {
	name  string
	apply func(*mutable) bool
	want  []string
}

// mutable is a history that is being changed.
type mutable struct {
	*history.History
	rng *rand.Rand
}

// operation picks one of those that fit, nil if none does.
func (m *mutable) operation(fits func(*history.Operation) bool) *history.Operation {
	var all []*history.Operation
	for i := range m.Operations {
		if fits(&m.Operations[i]) {
			all = append(all, &m.Operations[i])
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[m.rng.IntN(len(all))]
}

// step picks a step of an operation that fits.
func (m *mutable) step(fits func(*history.Operation, *history.Step) bool) *history.Step {
	var all []*history.Step
	for i := range m.Operations {
		for j := range m.Operations[i].Steps {
			if s := &m.Operations[i].Steps[j]; fits(&m.Operations[i], s) {
				all = append(all, s)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[m.rng.IntN(len(all))]
}

// removeReads takes a value out of all reads that fit, and tells from how many.
func (m *mutable) removeReads(value int64, fits func(*history.Operation) bool) int {
	n := 0
	for i := range m.Operations {
		o := &m.Operations[i]
		for j := range o.Steps {
			before := len(o.Steps[j].Read)
			if fits(o) {
				o.Steps[j].Read = slices.DeleteFunc(o.Steps[j].Read, func(r history.Record) bool { return r.Value == value })
			}
			n += before - len(o.Steps[j].Read)
		}
	}
	return n
}

// sends gives all sends with their operations.
func (m *mutable) sends(fits func(*history.Operation, *history.Step) bool) *history.Step {
	return m.step(func(o *history.Operation, s *history.Step) bool { return s.Send != nil && fits(o, s) })
}

func anyOperation(*history.Operation) bool     { return true }
func final(o *history.Operation) bool          { return o.Final }
func finalCommitted(o *history.Operation) bool { return o.Final && o.Isolation == rc }
func deletable(s *history.Step) bool           { return !stays(s.Send.Partition) }

// stays tells whether nothing of a partition may go.
func stays(p history.Partition) bool {
	return p != plain[0] && slices.Contains([]string{"plain", "in", "out"}, p.Topic)
}

// certain tells whether a send is acknowledged and, if it is in a transaction, committed.
func certain(o *history.Operation, s *history.Step) bool {
	return s.Outcome == history.OK && (o.Kind == history.Produce || o.Fate() == history.OK)
}

var mutations = append(losing, []mutation{
	{"an acknowledged record is gone", func(m *mutable) bool {
		s := m.sends(func(o *history.Operation, s *history.Step) bool { return certain(o, s) && !deletable(s) })
		return s != nil && m.removeReads(s.Send.Value, anyOperation) > 0
	}, []string{checker.LostWrite, checker.Unseen}},
	{"an acknowledged record is gone from one final reader", func(m *mutable) bool {
		s := m.sends(func(o *history.Operation, s *history.Step) bool { return certain(o, s) && !deletable(s) })
		return s != nil && m.removeReads(s.Send.Value, func(o *history.Operation) bool { return o.Client == "final read_committed" }) > 0
	}, []string{checker.LostWrite}},
	{"a record of an aborted transaction is gone from the log", func(m *mutable) bool {
		s := m.sends(func(o *history.Operation, s *history.Step) bool {
			return o.Kind == history.Transaction && o.Fate() == history.Failed && s.Outcome == history.OK && !deletable(s)
		})
		return s != nil && m.removeReads(s.Send.Value, anyOperation) > 0
	}, []string{checker.LostWrite, checker.Unseen}},
	{"a record is acknowledged at another offset", func(m *mutable) bool {
		s := m.sends(func(o *history.Operation, s *history.Step) bool { return certain(o, s) && !deletable(s) })
		if s != nil {
			s.Send.Offset += 1000
		}
		return s != nil
	}, []string{checker.InconsistentOffsets}},
	{"a record is acknowledged without an offset", func(m *mutable) bool {
		s := m.sends(certain)
		if s != nil {
			s.Send.Offset = -1
		}
		return s != nil
	}, []string{checker.BadOffset}},
	{"an error comes with an offset", func(m *mutable) bool {
		s := m.sends(func(_ *history.Operation, s *history.Step) bool { return s.Outcome == history.Failed })
		if s != nil {
			s.Send.Offset = 0
		}
		return s != nil
	}, []string{checker.BadOffset}},
	{"two acknowledgements of a producer are swapped", func(m *mutable) bool {
		var two [2]*history.Record
		s := m.sends(func(o *history.Operation, s *history.Step) bool {
			return o.Kind == history.Produce && s.Outcome == history.OK && slices.ContainsFunc(o.Steps, func(other history.Step) bool {
				if other.Outcome != history.OK || other.Send == s.Send || other.Send.Partition != s.Send.Partition {
					return false
				}
				two = [2]*history.Record{s.Send, other.Send}
				return true
			})
		})
		if s != nil {
			two[0].Offset, two[1].Offset = two[1].Offset, two[0].Offset
		}
		return s != nil
	}, []string{checker.NonmonotonicSend}},
	{"two records of a poll are swapped", func(m *mutable) bool {
		s, i := m.adjacent(0)
		if s != nil {
			s.Read[i], s.Read[i+1] = s.Read[i+1], s.Read[i]
		}
		return s != nil
	}, []string{checker.NonmonotonicPoll}},
	{"the values of two records of a poll are swapped", func(m *mutable) bool {
		s, i := m.adjacent(0)
		if s != nil {
			s.Read[i].Value, s.Read[i+1].Value = s.Read[i+1].Value, s.Read[i].Value
		}
		return s != nil
	}, []string{checker.InconsistentOffsets}},
	{"a record is missing in a poll", func(m *mutable) bool {
		s, i := m.adjacent(1)
		if s != nil {
			s.Read = slices.Delete(s.Read, i, i+1)
		}
		return s != nil
	}, []string{checker.PollSkip}},
	{"a record is in a poll twice", func(m *mutable) bool {
		s, i := m.adjacent(0)
		if s != nil {
			s.Read = slices.Insert(s.Read, i, s.Read[i])
		}
		return s != nil
	}, []string{checker.NonmonotonicPoll}},
	{"a record is in the log twice", func(m *mutable) bool {
		s := m.step(func(o *history.Operation, s *history.Step) bool { return o.Final && len(s.Read) > 0 })
		again := s.Read[0]
		again.Offset = 1_000_000
		s.Read = append(s.Read, again)
		return true
	}, []string{checker.Duplicate}},
	{"a record is altered", func(m *mutable) bool {
		s := m.step(func(_ *history.Operation, s *history.Step) bool { return len(s.Read) > 0 })
		s.Read[0].Key += 100
		return true
	}, []string{checker.WrongRecord}},
	{"a record comes from nowhere", func(m *mutable) bool {
		s := m.step(func(_ *history.Operation, s *history.Step) bool { return len(s.Read) > 0 })
		s.Read[0].Value += 1_000_000
		return true
	}, []string{checker.WrongRecord}},
	{"a committed transaction was to abort", func(m *mutable) bool {
		o := m.visibleTransaction(func(o *history.Operation) bool { return o.Fate() == history.OK })
		if o != nil {
			o.Commit = false
		}
		return o != nil
	}, []string{checker.AbortedRead}},
	{"a committed transaction was never decided", func(m *mutable) bool {
		o := m.visibleTransaction(func(o *history.Operation) bool { return o.Fate() != history.Failed })
		if o != nil {
			o.Deciding = history.Moment{}
		}
		return o != nil
	}, []string{checker.AbortedRead}},
	{"a transaction is decided after all reads", func(m *mutable) bool {
		o := m.visibleTransaction(func(o *history.Operation) bool { return o.Fate() != history.Failed })
		if o != nil {
			o.Deciding.Seq = 1_000_000
		}
		return o != nil
	}, []string{checker.PrecommittedRead}},
	{"a transaction in doubt is torn", func(m *mutable) bool {
		o := m.visibleTransaction(func(o *history.Operation) bool { return o.Fate() != history.Failed && acked(o) > 1 })
		if o == nil {
			return false
		}
		o.Outcome = history.Unknown
		for i := range o.Steps {
			if s := &o.Steps[i]; s.Send != nil && s.Outcome == history.OK && !deletable(s) {
				return m.removeReads(s.Send.Value, func(o *history.Operation) bool { return o.Isolation == rc }) > 0
			}
		}
		return false
	}, []string{checker.TornTransaction}},
	{"two transactions read each other", func(m *mutable) bool {
		one := m.visibleTransaction(func(o *history.Operation) bool { return o.Fate() == history.OK })
		two := m.visibleTransaction(func(o *history.Operation) bool { return o.Fate() == history.OK && o != one })
		if one == nil || two == nil {
			return false
		}
		first, second := history.Step{Outcome: history.OK, Read: []history.Record{*firstSend(two)}}, history.Step{Outcome: history.OK, Read: []history.Record{*firstSend(one)}}
		one.Steps, two.Steps = append(one.Steps, first), append(two.Steps, second)
		return true
	}, []string{checker.G1c}},
	{"the high watermark goes back", func(m *mutable) bool {
		o := m.later(func(o *history.Operation) int64 { return o.Marks.High })
		if o != nil {
			o.Marks.High = 0
		}
		return o != nil
	}, []string{checker.HWMBack}},
	{"the last stable offset goes back", func(m *mutable) bool {
		o := m.later(func(o *history.Operation) int64 { return o.Marks.Stable })
		if o != nil {
			o.Marks.Stable = 0
		}
		return o != nil
	}, []string{checker.LSOBack}},
	{"the last stable offset is ahead", func(m *mutable) bool {
		o := m.operation(func(o *history.Operation) bool { return o.Kind == history.Observe })
		o.Marks.Stable = o.Marks.High + 1
		return true
	}, []string{checker.BadMarks}},
	{"a committed offset goes back", func(m *mutable) bool {
		last := &m.Operations[len(m.Operations)-1]
		for i := range last.Offsets {
			if last.Offsets[i].Offset > 0 {
				last.Offsets[i].Offset = -1
				return true
			}
		}
		return false
	}, []string{checker.CommittedOffsetBack}},
	{"two members have a partition", func(m *mutable) bool {
		o := *m.operation(func(o *history.Operation) bool { return o.Kind == history.Assigned })
		o.Member, o.Client, o.Worker = "another", "another", 99
		o.Begun.Seq, o.Ended.Seq = 1_000_000, 1_000_000
		m.Operations = append(m.Operations, o)
		return true
	}, []string{checker.TwoOwners}},
	{"a record of the output is gone", func(m *mutable) bool {
		s := m.output()
		return s != nil && m.removeReads(s.Send.Value, anyOperation) > 0
	}, []string{checker.NotExactlyOnce}},
	{"two records of the output were made from one", func(m *mutable) bool {
		one, two := m.output(), m.output()
		if one == nil || one == two {
			return false
		}
		for i := range m.Operations {
			for j := range m.Operations[i].Steps {
				for k, r := range m.Operations[i].Steps[j].Read {
					if r.Value == two.Send.Value {
						m.Operations[i].Steps[j].Read[k].Of = one.Send.Of
					}
				}
			}
		}
		two.Send.Of = one.Send.Of
		return true
	}, []string{checker.NotExactlyOnce}},
	{"no final reads", func(m *mutable) bool {
		for i := range m.Operations {
			m.Operations[i].Final = false
		}
		return true
	}, []string{checker.NoFinalRead}},
	{"a final read that failed", func(m *mutable) bool {
		for i := range m.Operations {
			if finalCommitted(&m.Operations[i]) {
				m.Operations[i].Outcome = history.Unknown
			}
		}
		return true
	}, []string{checker.NoFinalRead}},
	{"no acknowledgement", func(m *mutable) bool {
		for i := range m.Operations {
			for j := range m.Operations[i].Steps {
				if s := &m.Operations[i].Steps[j]; s.Send != nil {
					s.Outcome, s.Send.Offset = history.Unknown, -1
				}
			}
		}
		return true
	}, []string{checker.NothingHappened}},
	{"a value is sent twice", func(m *mutable) bool {
		one, two := m.sends(certain), m.sends(certain)
		two.Send.Value = one.Send.Value
		return one != two
	}, []string{checker.BadHistory}},
}...)

// adjacent picks a poll, not a final one, that returned consecutive records of one partition that cannot be deleted, and the
// first of the two; before is how many more records of the partition must stand before it.
func (m *mutable) adjacent(before int) (*history.Step, int) {
	at := func(s *history.Step) int {
		for i := before; i+1 < len(s.Read); i++ {
			p := s.Read[i].Partition
			same := s.Read[i+1].Partition == p && s.Read[i-before].Partition == p
			if same && stays(p) && s.Read[i+1].Offset > s.Read[i].Offset {
				return i
			}
		}
		return -1
	}
	s := m.step(func(o *history.Operation, s *history.Step) bool {
		return !final(o) && o.Kind == history.Poll && at(s) >= 0
	})
	if s == nil {
		return nil, 0
	}
	return s, at(s)
}

// visibleTransaction picks a transaction of which an acknowledged record was read finally at read_committed.
func (m *mutable) visibleTransaction(fits func(*history.Operation) bool) *history.Operation {
	visible := map[int64]bool{}
	for i := range m.Operations {
		for j := range m.Operations[i].Steps {
			for _, r := range m.Operations[i].Steps[j].Read {
				visible[r.Value] = visible[r.Value] || finalCommitted(&m.Operations[i])
			}
		}
	}
	return m.operation(func(o *history.Operation) bool {
		sent := firstSend(o)
		return o.Kind == history.Transaction && sent != nil && visible[sent.Value] && fits(o)
	})
}

// firstSend gives the first record that an operation sent and that was acknowledged.
func firstSend(o *history.Operation) *history.Record {
	for i := range o.Steps {
		if s := &o.Steps[i]; s.Send != nil && s.Outcome == history.OK {
			return s.Send
		}
	}
	return nil
}

// acked counts the acknowledged sends of an operation that stay.
func acked(o *history.Operation) int {
	n := 0
	for i := range o.Steps {
		if s := &o.Steps[i]; s.Send != nil && s.Outcome == history.OK && !deletable(s) {
			n++
		}
	}
	return n
}

// later picks an observation after which the same broker had told a border above 0 already.
func (m *mutable) later(border func(*history.Operation) int64) *history.Operation {
	return m.operation(func(o *history.Operation) bool {
		return o.Kind == history.Observe && slices.ContainsFunc(m.Operations, func(before history.Operation) bool {
			return before.Kind == history.Observe && before.Broker == o.Broker && before.Marks.Partition == o.Marks.Partition &&
				before.Ended.Seq < o.Begun.Seq && border(&before) > 0
		})
	})
}

// output picks a send of the pipeline's that is visible.
func (m *mutable) output() *history.Step {
	return m.sends(func(o *history.Operation, s *history.Step) bool { return certain(o, s) && s.Send.Topic == "out" })
}
