package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// topicPartition names a partition.
type topicPartition struct {
	topic     string
	partition int32
}

// stretch is what of a partition is to be read.
type stretch struct {
	next int64 // offset to be read
	end  int64 // offset before which reading ends
}

// goal is the end that partitions had when a command started. In a group it concerns the partitions that are assigned
// at present, and nothing before the first assignment.
type goal struct {
	done  context.Context // ends when every partition of ours has been read to its end
	reach context.CancelFunc

	mu         sync.Mutex
	stretches  map[topicPartition]stretch // nil: there is no goal
	group      bool
	everJoined bool
	assigned   map[topicPartition]bool // in a group
}

func newGoal() *goal {
	done, reach := context.WithCancel(context.Background())
	return &goal{done: done, reach: reach, assigned: make(map[topicPartition]bool)}
}

// followGroup makes the goal know what is assigned.
func (g *goal) followGroup() []kgo.Opt {
	g.group = true
	change := func(assigned bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			g.assign(partitions, assigned)
		}
	}
	return []kgo.Opt{kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false))}
}

func (g *goal) assign(partitions map[string][]int32, assigned bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.everJoined = g.everJoined || assigned
	for topic, numbers := range partitions {
		for _, p := range numbers {
			if assigned {
				g.assigned[topicPartition{topic, p}] = true
			} else {
				delete(g.assigned, topicPartition{topic, p})
			}
		}
	}
	if assigned {
		g.check()
	}
}

// set gives the goal what is to be read.
func (g *goal) set(stretches map[topicPartition]stretch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stretches = stretches
	g.check()
}

// passed notes that a record was read.
func (g *goal) passed(r *kgo.Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	tp := topicPartition{r.Topic, r.Partition}
	if s, ok := g.stretches[tp]; ok && r.Offset >= s.next {
		s.next = r.Offset + 1
		g.stretches[tp] = s
		if s.next >= s.end {
			g.check()
		}
	}
}

// beyond tells whether a record was written after the command started.
func (g *goal) beyond(r *kgo.Record) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, ok := g.stretches[topicPartition{r.Topic, r.Partition}]
	return ok && r.Offset >= s.end
}

// check ends done if nothing is left to read. The caller holds mu.
func (g *goal) check() {
	if g.stretches == nil || g.group && !g.everJoined {
		return
	}
	for tp, s := range g.stretches {
		if s.next < s.end && (!g.group || g.assigned[tp]) {
			return
		}
	}
	g.reach()
}

// findStretches asks the cluster where the partitions end now and where reading them starts.
func findStretches(ctx context.Context, admin *kadm.Client, topics []string, from startPoint, o *consumeOptions) (map[topicPartition]stretch, error) {
	listEnds := admin.ListCommittedOffsets
	if o.isolation == "read_uncommitted" {
		listEnds = admin.ListEndOffsets
	}
	ends, err := listEnds(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("read end offsets: %w", err)
	}
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("read start offsets: %w", err)
	}
	var times kadm.ListedOffsets
	if from.kind == fromTime {
		if times, err = admin.ListOffsetsAfterMilli(ctx, from.n, topics...); err != nil {
			return nil, fmt.Errorf("read offsets of the time: %w", err)
		}
	}
	var committed kadm.OffsetResponses
	if o.group != "" {
		if committed, err = committedOffsets(ctx, admin, o.group); err != nil {
			return nil, fmt.Errorf("read committed offsets: %w", err)
		}
	}
	stretches := make(map[topicPartition]stretch)
	for topic, partitions := range ends {
		for p, end := range partitions {
			if end.Err != nil {
				return nil, withDetail(fmt.Sprintf("read end offset of %s, partition %d", topic, p), end.Err, "")
			}
			if !o.reads(p) {
				continue
			}
			s := stretch{next: from.in(starts[topic][p].Offset, end.Offset, offsetOr(times, topic, p)), end: end.Offset}
			if c, ok := committed.Lookup(topic, p); ok && c.Err == nil && c.At >= 0 {
				s.next = c.At
			}
			stretches[topicPartition{topic, p}] = s
		}
	}
	return stretches, nil
}

// offsetOr is a listed offset, -1 if there is none.
func offsetOr(l kadm.ListedOffsets, topic string, partition int32) int64 {
	if o, ok := l.Lookup(topic, partition); ok && o.Err == nil {
		return o.Offset
	}
	return -1
}

// committedOffsets waits for the coordinator: a Kafka cluster that never had a group first makes the topic that holds
// their offsets.
func committedOffsets(ctx context.Context, admin *kadm.Client, group string) (kadm.OffsetResponses, error) {
	ctx, cancel := context.WithTimeout(ctx, retryTimeout)
	defer cancel()
	for {
		committed, err := admin.FetchOffsets(ctx, group)
		if err == nil || !kerr.IsRetriable(err) {
			return committed, err
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}
