package memory

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/runnel-io/runnel/metastore"
)

// state is what the store keeps. Byte slices in it are never written to, so that they can be read without the lock.
type state struct {
	cluster string

	base     metastore.Position // of the entry before entries[0], wherever the log was trimmed to
	entries  []metastore.Entry
	snapshot *metastore.Snapshot // nil: none yet

	brokerEpochs map[metastore.NodeID]int64
	groupEpoch   metastore.GroupEpoch // the last one given, to whichever group: a deleted group's epochs never return
	groups       map[string]*group
}

type group struct {
	metastore.GroupRecord
	offsets map[metastore.TopicPartition]metastore.CommittedOffset
}

func newState() state {
	return state{brokerEpochs: make(map[metastore.NodeID]int64), groups: make(map[string]*group)}
}

// end is the position of the newest entry.
func (s *state) end() metastore.Position {
	if n := len(s.entries); n > 0 {
		return s.entries[n-1].Position
	}
	return s.base
}

// apply makes a change that was decided on this state; on replay, one that follows what was replayed before.
func (s *state) apply(c change) { c.applyTo(s) }

// change is one durable step of the state: what the journal records. Changes hold results, not requests, so that
// replaying them decides nothing.
type change interface {
	applyTo(s *state)
}

// The changes.
type (
	clusterID struct{ id string }
	// logBase starts a log in the middle: a checkpoint of a trimmed log.
	logBase  struct{ metastore.Position }
	logEntry struct{ metastore.Entry }
	// logTrim drops the entries up to and including through.
	logTrim     struct{ through metastore.Seq }
	snapshot    struct{ metastore.Snapshot }
	brokerEpoch struct {
		id    metastore.NodeID
		epoch int64
	}
	// groupEpoch is the last epoch given: a checkpoint holds it since the group may be gone.
	groupEpoch struct{ epoch metastore.GroupEpoch }
	// groupClaim gives the group, made if need be, its coordinator and epoch.
	groupClaim struct {
		id    string
		epoch metastore.GroupEpoch
		owner metastore.NodeID
	}
	groupWrite    struct{ metastore.GroupRecord }
	groupDelete   struct{ id string }
	offsetsCommit struct {
		id      string
		offsets []metastore.CommittedOffset
	}
	offsetsDelete struct {
		id         string
		partitions []metastore.TopicPartition
	}
	topicOffsetsDelete struct{ topic metastore.TopicID }
)

func (c *clusterID) applyTo(s *state) { s.cluster = c.id }

func (c *logBase) applyTo(s *state) { s.base = c.Position }

func (c *logEntry) applyTo(s *state) { s.entries = append(s.entries, c.Entry) }

func (c *logTrim) applyTo(s *state) {
	n := int(c.through - s.base.Seq)
	s.base = s.entries[n-1].Position
	clear(s.entries[:n]) // the array may stay for long; what it pointed to must not
	s.entries = s.entries[n:]
}

func (c *snapshot) applyTo(s *state) { s.snapshot = &c.Snapshot }

func (c *brokerEpoch) applyTo(s *state) { s.brokerEpochs[c.id] = c.epoch }

func (c *groupEpoch) applyTo(s *state) { s.groupEpoch = max(s.groupEpoch, c.epoch) }

func (c *groupClaim) applyTo(s *state) {
	g := s.groups[c.id]
	if g == nil {
		g = &group{offsets: make(map[metastore.TopicPartition]metastore.CommittedOffset)}
		g.GroupID = c.id
		s.groups[c.id] = g
	}
	g.Epoch, g.Coordinator = c.epoch, c.owner
	s.groupEpoch = max(s.groupEpoch, c.epoch)
}

func (c *groupWrite) applyTo(s *state) {
	g := s.groups[c.GroupID]
	g.ProtocolType, g.StateName, g.State = c.ProtocolType, c.StateName, c.State
}

func (c *groupDelete) applyTo(s *state) { delete(s.groups, c.id) }

func (c *offsetsCommit) applyTo(s *state) {
	g := s.groups[c.id]
	for _, o := range c.offsets {
		g.offsets[o.TopicPartition] = o
	}
}

func (c *offsetsDelete) applyTo(s *state) {
	g := s.groups[c.id]
	for _, p := range c.partitions {
		delete(g.offsets, p)
	}
}

func (c *topicOffsetsDelete) applyTo(s *state) {
	for _, g := range s.groups {
		maps.DeleteFunc(g.offsets, func(tp metastore.TopicPartition, _ metastore.CommittedOffset) bool {
			return tp.Topic == c.topic
		})
	}
}

// sortedOffsets returns the offsets by topic id and partition.
func (g *group) sortedOffsets() []metastore.CommittedOffset {
	return slices.SortedFunc(maps.Values(g.offsets), func(a, b metastore.CommittedOffset) int {
		return comparePartitions(a.TopicPartition, b.TopicPartition)
	})
}

func comparePartitions(a, b metastore.TopicPartition) int {
	if c := bytes.Compare(a.Topic[:], b.Topic[:]); c != 0 {
		return c
	}
	return cmp.Compare(a.Partition, b.Partition)
}
