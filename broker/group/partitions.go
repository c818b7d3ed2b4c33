package group

import (
	"slices"

	"github.com/runnel-io/runnel/broker/group/assignor"
	"github.com/runnel-io/runnel/metastore"
)

// partitions is a set of partitions: sorted by topic id and number, each once. It is not modified once made.
type partitions []metastore.TopicPartition

// partitionsOf makes a set of anything.
func partitionsOf(all []metastore.TopicPartition) partitions {
	if len(all) == 0 {
		return nil
	}
	set := slices.Clone(all)
	slices.SortFunc(set, assignor.Compare)
	return slices.Compact(set)
}

// split returns the members of p that are in other, and those that are not.
func (p partitions) split(other partitions) (both, rest partitions) {
	for _, x := range p {
		for len(other) > 0 && assignor.Compare(other[0], x) < 0 {
			other = other[1:]
		}
		if len(other) > 0 && other[0] == x {
			both = append(both, x)
		} else {
			rest = append(rest, x)
		}
	}
	return both, rest
}

// with returns the union.
func (p partitions) with(other partitions) partitions {
	switch {
	case len(other) == 0:
		return p
	case len(p) == 0:
		return other
	}
	return partitionsOf(append(slices.Clone(p), other...))
}

// in tells whether all of p is in other.
func (p partitions) in(other partitions) bool {
	_, rest := p.split(other)
	return len(rest) == 0
}

// meets tells whether any of p is in other.
func (p partitions) meets(other partitions) bool {
	both, _ := p.split(other)
	return len(both) > 0
}

// equal tells whether both hold the same.
func (p partitions) equal(other partitions) bool { return slices.Equal(p, other) }
