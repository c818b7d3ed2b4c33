// Package assignor spreads the partitions of topics over the members of a consumer group that subscribe to them, as the
// server-side assignors of KIP-848 do. It is pure: the same input gives the same assignment on every broker.
package assignor

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/runnel-io/runnel/metastore"
)

// Member is a member that partitions are assigned to.
type Member struct {
	ID       string
	Instance string              // group.instance.id of a static member, else ""
	Topics   []metastore.TopicID // subscribed, sorted, each once
	// Owned is what the last assignment gave it, which may no longer exist or be subscribed.
	Owned []metastore.TopicPartition
}

// Func gives each partition of every topic to exactly one of the members that subscribe to it, if there are any. Partitions
// says how many each topic has; topics without an entry do not exist. The result is in the order of the members, and what
// each gets is sorted. Members are not modified.
type Func func(members []Member, partitions map[metastore.TopicID]int32) [][]metastore.TopicPartition

// Names of the assignors, as clients ask for them (group.remote.assignor).
const (
	UniformName = "uniform"
	RangeName   = "range"
)

// ByName returns the assignor of the name.
func ByName(name string) (Func, bool) {
	switch name {
	case UniformName:
		return Uniform, true
	case RangeName:
		return Range, true
	}
	return nil, false
}

// Compare orders partitions by topic id and number.
func Compare(a, b metastore.TopicPartition) int {
	return cmp.Or(bytes.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Partition, b.Partition))
}

func compareTopics(a, b metastore.TopicID) int { return bytes.Compare(a[:], b[:]) }

// subscribers returns the existing topics that are subscribed, sorted, and who subscribes to each, by index.
func subscribers(members []Member, partitions map[metastore.TopicID]int32) ([]metastore.TopicID, map[metastore.TopicID][]int) {
	of := make(map[metastore.TopicID][]int)
	for i := range members {
		for _, t := range members[i].Topics {
			if partitions[t] > 0 {
				of[t] = append(of[t], i)
			}
		}
	}
	topics := make([]metastore.TopicID, 0, len(of))
	for t := range of {
		topics = append(topics, t)
	}
	slices.SortFunc(topics, compareTopics)
	return topics, of
}
