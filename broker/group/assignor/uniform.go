package assignor

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"slices"

	"github.com/runnel-io/runnel/metastore"
)

// Uniform gives every member as many partitions as the others, as far as subscriptions allow, and moves as few as that
// takes: members keep what they own, what nobody owns goes to the least loaded, and only then a partition moves, from a
// member that has at least two more than one that could have it.
//
// Topics with the same subscribers are one class: within it, it does not matter who has which partition. A group whose
// members all subscribe to the same topics has a single class, and comes out even.
func Uniform(members []Member, partitions map[metastore.TopicID]int32) [][]metastore.TopicPartition {
	u := newUniform(members, partitions)
	u.keep(members, partitions)
	for _, c := range u.classes {
		u.fill(c, partitions)
	}
	for moved := true; moved; {
		moved = false
		for _, c := range u.classes {
			moved = u.balance(c) || moved
		}
	}
	return u.result(len(members))
}

type uniform struct {
	classes []*class
	classOf map[metastore.TopicID]*class
	load    []int // of each member
	taken   map[metastore.TopicPartition]bool
}

// class is topics with the same subscribers.
type class struct {
	topics      []metastore.TopicID
	subscribers []int
	place       map[int]int                  // of a member in subscribers
	has         [][]metastore.TopicPartition // of each subscriber, the ones that it owned before first
}

func newUniform(members []Member, partitions map[metastore.TopicID]int32) *uniform {
	u := &uniform{
		classOf: make(map[metastore.TopicID]*class), load: make([]int, len(members)), taken: make(map[metastore.TopicPartition]bool),
	}
	topics, subscribed := subscribers(members, partitions)
	byKey := make(map[string]*class)
	var key []byte
	for _, t := range topics {
		key = key[:0]
		for _, m := range subscribed[t] {
			key = binary.BigEndian.AppendUint32(key, uint32(m))
		}
		c := byKey[string(key)]
		if c == nil {
			c = newClass(subscribed[t])
			byKey[string(key)] = c
			u.classes = append(u.classes, c)
		}
		c.topics = append(c.topics, t)
		u.classOf[t] = c
	}
	// Those that few can have go first: the others make up for them.
	slices.SortStableFunc(u.classes, func(a, b *class) int { return cmp.Compare(len(a.subscribers), len(b.subscribers)) })
	return u
}

func newClass(subscribers []int) *class {
	c := &class{
		subscribers: subscribers, place: make(map[int]int, len(subscribers)), has: make([][]metastore.TopicPartition, len(subscribers)),
	}
	for i, m := range subscribers {
		c.place[m] = i
	}
	return c
}

// keep leaves members what they own, as far as it exists, is subscribed, and is not owned twice.
func (u *uniform) keep(members []Member, partitions map[metastore.TopicID]int32) {
	for m := range members {
		for _, p := range members[m].Owned {
			c := u.classOf[p.Topic]
			if c == nil || p.Partition < 0 || p.Partition >= partitions[p.Topic] || u.taken[p] {
				continue
			}
			if i, subscribes := c.place[m]; subscribes {
				u.taken[p] = true
				u.give(c, i, p)
			}
		}
	}
}

func (u *uniform) give(c *class, i int, p metastore.TopicPartition) {
	c.has[i] = append(c.has[i], p)
	u.load[c.subscribers[i]]++
}

// fill gives out what nobody owns, always to the least loaded.
func (u *uniform) fill(c *class, partitions map[metastore.TopicID]int32) {
	queue := &leastLoaded{class: c, load: u.load, order: make([]int, len(c.subscribers))}
	for i := range queue.order {
		queue.order[i] = i
	}
	heap.Init(queue)
	for _, t := range c.topics {
		for n := range partitions[t] {
			p := metastore.TopicPartition{Topic: t, Partition: n}
			if !u.taken[p] {
				u.give(c, queue.order[0], p)
				heap.Fix(queue, 0)
			}
		}
	}
}

// balance moves partitions of the class from the most to the least loaded, while that makes them more even. The sum of the
// squares of all loads falls with each move, so it comes to an end.
func (u *uniform) balance(c *class) (moved bool) {
	for {
		most, least := -1, 0
		for i, m := range c.subscribers {
			if u.load[m] < u.load[c.subscribers[least]] {
				least = i
			}
			if len(c.has[i]) > 0 && (most < 0 || u.load[m] > u.load[c.subscribers[most]]) {
				most = i
			}
		}
		if most < 0 || u.load[c.subscribers[most]] < u.load[c.subscribers[least]]+2 {
			return moved
		}
		last := len(c.has[most]) - 1
		p := c.has[most][last]
		c.has[most] = c.has[most][:last]
		u.load[c.subscribers[most]]--
		u.give(c, least, p)
		moved = true
	}
}

func (u *uniform) result(members int) [][]metastore.TopicPartition {
	assigned := make([][]metastore.TopicPartition, members)
	for _, c := range u.classes {
		for i, m := range c.subscribers {
			assigned[m] = append(assigned[m], c.has[i]...)
		}
	}
	for _, a := range assigned {
		slices.SortFunc(a, Compare)
	}
	return assigned
}

// leastLoaded is a heap of the subscribers of a class.
type leastLoaded struct {
	class *class
	load  []int
	order []int // places in class.subscribers
}

// Len implements heap.Interface.
func (l *leastLoaded) Len() int { return len(l.order) }

// Less implements heap.Interface.
func (l *leastLoaded) Less(i, j int) bool {
	a, b := l.class.subscribers[l.order[i]], l.class.subscribers[l.order[j]]
	return cmp.Or(cmp.Compare(l.load[a], l.load[b]), cmp.Compare(a, b)) < 0
}

// Swap implements heap.Interface.
func (l *leastLoaded) Swap(i, j int) { l.order[i], l.order[j] = l.order[j], l.order[i] }

// Push implements heap.Interface.
func (l *leastLoaded) Push(x any) { l.order = append(l.order, x.(int)) }

// Pop implements heap.Interface.
func (l *leastLoaded) Pop() any {
	last := l.order[len(l.order)-1]
	l.order = l.order[:len(l.order)-1]
	return last
}
