package checker_test

import (
	"slices"
	"strings"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

// losing are the mutations of topics that lose records.
var losing = []mutation{
	{"the newest record of a key is gone", func(m *mutable) bool {
		s := m.sends(func(o *history.Operation, s *history.Step) bool {
			return certain(o, s) && s.Send.Topic == "keyed" && !s.Send.Tombstone && !m.superseded(s.Send)
		})
		return s != nil && m.removeReads(s.Send.Value, anyOperation) > 0
	}, []string{checker.LostWrite, checker.Unseen}},
	{"an old value of a key is read last", func(m *mutable) bool {
		committed := m.committed()
		o, at := m.wholeOf(func(r []history.Record, last int) bool {
			return slices.ContainsFunc(r[:last], func(before history.Record) bool { return before.Key == r[last].Key && committed[before.Value] > 0 })
		})
		if o == nil {
			return false
		}
		o.Steps[at.step].Read = slices.Delete(slices.Clone(o.Steps[at.step].Read), at.record, at.record+1)
		return true
	}, []string{checker.WrongValue}},
	{"nothing of a key is read", func(m *mutable) bool {
		o, at := m.wholeOf(func(r []history.Record, last int) bool { return !r[last].Tombstone && !m.superseded(&r[last]) })
		if o == nil {
			return false
		}
		key := o.Steps[at.step].Read[at.record].Key
		for i := range o.Steps {
			o.Steps[i].Read = slices.DeleteFunc(o.Steps[i].Read, func(r history.Record) bool { return r.Key == key })
		}
		return true
	}, []string{checker.WrongValue}},
	{"a partition has lost what has to stay for its size", func(m *mutable) bool {
		o := m.last("sized")
		if o != nil {
			o.Marks.LogStart = o.Marks.High
		}
		return o != nil
	}, []string{checker.LogStartAhead}},
	{"a partition has lost what is young", func(m *mutable) bool {
		s := m.sends(func(_ *history.Operation, s *history.Step) bool {
			return s.Send.Topic == "timed" && s.Outcome == history.OK && s.Ended.At.Milliseconds() < s.Send.Timestamp-epoch+100
		})
		if s == nil {
			return false
		}
		m.Operations = append(m.Operations, history.Operation{
			Kind: history.Observe, Begun: s.Ended, Ended: s.Ended, Outcome: history.OK, Broker: "7",
			Marks: &history.Marks{Partition: s.Send.Partition, LogStart: s.Send.Offset + 1, High: -1, Stable: -1},
		})
		return true
	}, []string{checker.LogStartAhead}},
	{"the log starts where nobody asked for it", func(m *mutable) bool {
		o := m.operation(func(o *history.Operation) bool {
			return o.Kind == history.Observe && stays(o.Marks.Partition) && o.Marks.Stable > 0
		})
		if o != nil {
			o.Marks.LogStart = 1
		}
		return o != nil
	}, []string{checker.LogStartAhead}},
	{"a broker gives what lies before its log start", func(m *mutable) bool {
		o := m.operation(func(o *history.Operation) bool { return o.Whole && len(o.Steps[0].Read) > 0 })
		if o == nil {
			return false
		}
		read := o.Steps[0].Read[0]
		before := o.Begun
		before.Seq--
		m.Operations = append(m.Operations, history.Operation{
			Kind: history.Observe, Begun: before, Ended: before, Outcome: history.OK, Broker: o.Broker,
			Marks: &history.Marks{Partition: read.Partition, LogStart: read.Offset + 1, High: -1, Stable: -1},
		})
		return true
	}, []string{checker.LogStartBack}},
	{"a record is acknowledged in a topic that was deleted", func(m *mutable) bool {
		gone := m.deleted()
		s := m.sends(func(o *history.Operation, s *history.Step) bool {
			return o.Begun.Seq > gone[s.Send.Topic] && gone[s.Send.Topic] > 0
		})
		if s != nil {
			s.Outcome, s.Send.Offset = history.OK, 1000
		}
		return s != nil
	}, []string{checker.LostWrite}},
	{"a topic that was deleted is read", func(m *mutable) bool {
		gone := m.deleted()
		o := m.operation(func(o *history.Operation) bool {
			return o.Kind == history.Poll && o.Broker != "" && len(o.Steps[0].Read) > 0 && gone[o.Steps[0].Read[0].Topic] > 0
		})
		if o == nil {
			return false
		}
		again := *o
		again.Begun.Seq, again.Ended.Seq, again.Client = 1_000_000, 1_000_001, "another"
		again.Steps = slices.Clone(o.Steps)
		again.Steps[0].Begun, again.Steps[0].Ended = again.Begun, again.Ended
		m.Operations = append(m.Operations, again)
		return true
	}, []string{checker.DeletedRead}},
}

// last picks the last observation of a topic's partition, if something was left there.
func (m *mutable) last(topic string) *history.Operation {
	left := m.step(func(o *history.Operation, s *history.Step) bool {
		return o.Whole && o.Final && len(s.Read) > 0 && s.Read[0].Topic == topic
	})
	return m.operation(func(o *history.Operation) bool {
		return left != nil && o.Kind == history.Observe && o.Final && o.Marks.Topic == topic
	})
}

// superseded tells whether a record of the same key may come after one.
func (m *mutable) superseded(r *history.Record) bool {
	return m.step(func(_ *history.Operation, s *history.Step) bool {
		return s.Send != nil && s.Send.Partition == r.Partition && s.Send.Key == r.Key && s.Outcome != history.Failed &&
			(s.Send.Offset < 0 || s.Send.Offset > r.Offset)
	}) != nil
}

// spot is a record that an operation read.
type spot struct{ step, record int }

// wholeOf picks a record that was acknowledged and committed before it was read as the last of its key by who read the whole of
// a compacted partition in time. fits is given what was read, and where it is.
func (m *mutable) wholeOf(fits func(r []history.Record, last int) bool) (*history.Operation, spot) {
	committed := m.committed()
	found := map[*history.Operation]spot{}
	for i := range m.Operations {
		o := &m.Operations[i]
		if !o.Whole || o.Partitions[0].Topic != "keyed" || o.Ended.At-o.Begun.At >= settings[0].Tombstones {
			continue
		}
		var all []history.Record
		var spots []spot
		for j := range o.Steps {
			for k, r := range o.Steps[j].Read {
				all, spots = append(all, r), append(spots, spot{j, k})
			}
		}
		for last, r := range all {
			since, known := committed[r.Value]
			isLast := !slices.ContainsFunc(all[last+1:], func(after history.Record) bool { return after.Key == r.Key })
			if known && since < o.Begun.Seq && isLast && fits(all, last) {
				found[o] = spots[last]
			}
		}
	}
	o := m.operation(func(o *history.Operation) bool { _, ok := found[o]; return ok })
	return o, found[o]
}

// committed gives the values that are acknowledged and committed in the compacted topic, each with since when.
func (m *mutable) committed() map[int64]int64 {
	all := map[int64]int64{}
	for i := range m.Operations {
		o := &m.Operations[i]
		for j := range o.Steps {
			if s := &o.Steps[j]; s.Send != nil && certain(o, s) && s.Send.Topic == "keyed" && !o.Ended.Never() {
				all[s.Send.Value] = o.Ended.Seq
			}
		}
	}
	return all
}

// deleted gives the topics that are deleted, each with when.
func (m *mutable) deleted() map[string]int64 {
	gone := map[string]int64{}
	for i := range m.Operations {
		if o := &m.Operations[i]; o.Kind == history.DeleteTopic && o.Outcome == history.OK && strings.HasPrefix(o.Partitions[0].Topic, "again.") {
			gone[o.Partitions[0].Topic] = o.Ended.Seq
		}
	}
	return gone
}
