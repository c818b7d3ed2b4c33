package memory

import (
	"bytes"
	"cmp"
	"fmt"
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
	leaseEpochs  map[string]int64
	groupEpoch   metastore.GroupEpoch // the last one given, to whichever group: a deleted group's epochs never return
	groups       map[string]*group
}

type group struct {
	metastore.GroupRecord
	offsets map[metastore.TopicPartition]metastore.CommittedOffset
}

func newState() state {
	return state{
		brokerEpochs: make(map[metastore.NodeID]int64),
		leaseEpochs:  make(map[string]int64),
		groups:       make(map[string]*group),
	}
}

// end is the position of the newest entry.
func (s *state) end() metastore.Position {
	if n := len(s.entries); n > 0 {
		return s.entries[n-1].Position
	}
	return s.base
}

func (s *state) group(id string) (*group, error) {
	if g := s.groups[id]; g != nil {
		return g, nil
	}
	return nil, fmt.Errorf("no group %q", id)
}

// writeGroup makes what WriteGroup does.
func (s *state) writeGroup(w *metastore.GroupRecord) error {
	g, err := s.group(w.GroupID)
	if err != nil {
		return err
	}
	g.ProtocolType, g.StateName, g.State, g.WrittenAt = w.ProtocolType, w.StateName, w.State, w.WrittenAt
	return nil
}

// image returns changes that make this state out of an empty one, in an order that depends on nothing else. They stay
// valid when the state changes.
func (s *state) image() []change {
	image := []change{&clusterID{s.cluster}}
	for _, id := range slices.Sorted(maps.Keys(s.brokerEpochs)) {
		image = append(image, &brokerEpoch{id, s.brokerEpochs[id]})
	}
	for _, name := range slices.Sorted(maps.Keys(s.leaseEpochs)) {
		image = append(image, &leaseEpoch{name, s.leaseEpochs[name]})
	}
	image = append(image, &groupEpoch{s.groupEpoch})
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[id]
		image = append(image, &groupClaim{id, g.Epoch, g.Coordinator}, &groupDatedWrite{g.GroupRecord})
		if len(g.offsets) > 0 {
			image = append(image, &offsetsCommit{id, g.sortedOffsets()})
		}
	}
	image = append(image, &logBase{s.base})
	for _, e := range s.entries {
		image = append(image, &logEntry{e})
	}
	if s.snapshot != nil {
		image = append(image, &snapshot{*s.snapshot})
	}
	return append(image, &checkpointEnd{})
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
