package group

import (
	"container/heap"
	"time"
)

// timer says when a group has to be ticked.
type timer struct {
	at    time.Time
	group *loaded
}

// timers is a heap, earliest first. A group may be in it more than once, as its deadline can move forward; a tick that
// comes too early does no harm.
type timers []timer

func (t *timers) add(x timer) { heap.Push(t, x) }
func (t *timers) take() timer { return heap.Pop(t).(timer) }

// Len implements heap.Interface.
func (t timers) Len() int { return len(t) }

// Less implements heap.Interface.
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }

// Swap implements heap.Interface.
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }

// Push implements heap.Interface.
func (t *timers) Push(x any) { *t = append(*t, x.(timer)) }

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	last := len(*t) - 1
	x := (*t)[last]
	(*t)[last] = timer{}
	*t = (*t)[:last]
	return x
}
