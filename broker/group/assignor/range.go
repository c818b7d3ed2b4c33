package assignor

import (
	"cmp"
	"slices"

	"github.com/runnel-io/runnel/metastore"
)

// Range gives each subscriber of a topic a contiguous range of its partitions, the first ones one more if they do not come
// out even. Topics with the same subscribers and the same number of partitions are cut alike, so that who reads one
// partition of one reads the same partition of the others, for joins. Static members come first, by instance id, and keep
// their ranges over restarts; the others follow by member id.
func Range(members []Member, partitions map[metastore.TopicID]int32) [][]metastore.TopicPartition {
	rank := ranks(members)
	topics, subscribed := subscribers(members, partitions)
	assigned := make([][]metastore.TopicPartition, len(members))
	for _, t := range topics {
		by := subscribed[t]
		slices.SortFunc(by, func(a, b int) int { return cmp.Compare(rank[a], rank[b]) })
		count, extra := int(partitions[t])/len(by), int(partitions[t])%len(by)
		next := int32(0)
		for i, m := range by {
			n := count
			if i < extra {
				n++
			}
			for range n {
				assigned[m] = append(assigned[m], metastore.TopicPartition{Topic: t, Partition: next})
				next++
			}
		}
	}
	return assigned
}

// ranks returns the place of each member among all.
func ranks(members []Member) []int {
	order := make([]int, len(members))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := &members[a], &members[b]
		switch {
		case (x.Instance == "") != (y.Instance == ""):
			if x.Instance != "" {
				return -1
			}
			return 1
		default:
			return cmp.Or(cmp.Compare(x.Instance, y.Instance), cmp.Compare(x.ID, y.ID))
		}
	})
	rank := make([]int, len(members))
	for place, m := range order {
		rank[m] = place
	}
	return rank
}
