package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
)

// groupPartitions is how many partitions the topic of groups has.
const groupPartitions = 100

// groupCluster starts a broker with a topic.
func groupCluster(ctx context.Context, m *machine) (*cluster, error) {
	c, err := m.startCluster(ctx, 1, m.s3.Endpoint())
	if err != nil {
		return nil, err
	}
	if _, _, err := createTopics(ctx, c.addresses[0], 1, groupPartitions); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// offsetCommits lets groups commit as fast as they are answered, offsets of more or fewer partitions at a time.
func offsetCommits(ctx context.Context, m *machine) (s section, err error) {
	c, err := groupCluster(ctx, m)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	s = newSection("groups", "partitions in a request", "requests/s", "offsets/s", "p50 / p99, ms", "broker CPU, % of a core")
	for _, load := range []struct {
		groups     int
		partitions int32
	}{{1, 1}, {1, 100}, {16, 1}, {16, 10}, {16, 100}} {
		u, err := commitFor(ctx, m, c, load.groups, load.partitions)
		if err != nil {
			return s, fmt.Errorf("%d groups, %d partitions: %w", load.groups, load.partitions, err)
		}
		offsets := u.requests * float64(load.partitions)
		s.row(strconv.Itoa(load.groups), strconv.Itoa(int(load.partitions)), number(u.requests), number(offsets), number(u.p50)+" / "+number(u.p99), number(u.cpu))
		s.outcome += fmt.Sprintf("%d groups, %d partitions at a time: %s offsets/s. ", load.groups, load.partitions, number(offsets))
	}
	s.note = "A group has one client, outside of group management, which commits again as soon as it is answered. An answer means that the offsets are durable."
	return s, nil
}

type commitUse struct{ requests, p50, p99, cpu float64 }

func commitFor(ctx context.Context, m *machine, c *cluster, groups int, partitions int32) (u commitUse, err error) {
	seconds, err := strconv.Atoi(m.size.seconds)
	if err != nil {
		return u, err
	}
	profiled := m.profile(ctx, c, fmt.Sprintf("n-%d-%d", groups, partitions))
	before, err := cpuTime(c.processes[0].Pid())
	if err != nil {
		return u, err
	}
	var mu sync.Mutex
	var took []time.Duration
	start := time.Now()
	end := start.Add(time.Duration(seconds) * time.Second)
	err = all(groups, func(i int) error {
		g, err := newGroupMember(ctx, c.addresses[0], fmt.Sprintf("commits-%d-%d-%d", groups, partitions, i))
		if err != nil {
			return err
		}
		defer g.close()
		g.generation = -1
		var own []time.Duration
		for n := int64(0); time.Now().Before(end); n++ {
			sent := time.Now()
			if err := g.commit(partitions, n); err != nil {
				return err
			}
			own = append(own, time.Since(sent))
		}
		mu.Lock()
		defer mu.Unlock()
		took = append(took, own...)
		return nil
	})
	elapsed := time.Since(start).Seconds()
	after, cpuErr := cpuTime(c.processes[0].Pid())
	if err = errors.Join(err, cpuErr, profiled()); err != nil {
		return u, err
	}
	slices.Sort(took)
	return commitUse{float64(len(took)) / elapsed, quantile(took, 0.5), quantile(took, 0.99), (after - before).Seconds() / elapsed * 100}, nil
}

// all runs n functions at the same time.
func all(n int, run func(i int) error) error {
	errs := make([]error, n)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { errs[i] = run(i) })
	}
	running.Wait()
	return errors.Join(errs...)
}

// rebalances makes a large group join again and again.
func rebalances(ctx context.Context, m *machine) (s section, err error) {
	c, err := groupCluster(ctx, m)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	s = newSection("rebalance", "from the last join to the last assignment, ms")
	members := make([]*groupMember, m.size.groupMembers)
	for i := range members {
		if members[i], err = newGroupMember(ctx, c.addresses[0], "rebalanced"); err != nil {
			return s, err
		}
		defer members[i].close()
	}
	var took []time.Duration
	for round := range m.size.rebalances {
		took, err = joinAll(members)
		if err != nil {
			return s, fmt.Errorf("rebalance %d: %w", round, err)
		}
		name := fmt.Sprintf("%d members join again", len(members))
		if round == 0 { // it waits for group.initial.rebalance.delay.ms
			name = fmt.Sprintf("%d members come, after the initial delay", len(members))
		}
		longest := slices.Max(took)
		s.row(name, number(milliseconds(longest)))
		if round > 0 {
			s.outcome += number(milliseconds(longest)) + " ms. "
		}
	}
	s.note = "Every member has a connection of its own. The time is from when the last member has sent its JoinGroup, and in the first row from when the first of them is answered, until every member has its assignment, which is durable by then."
	return s, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// joinAll lets all members join at the same time, and returns how long each took for its assignment.
func joinAll(members []*groupMember) (took []time.Duration, err error) {
	took = make([]time.Duration, len(members))
	fresh := members[0].id == ""
	var mu sync.Mutex
	var from time.Time // the last join, or the first answer
	err = all(len(members), func(i int) error {
		mu.Lock()
		if !fresh {
			from = time.Now()
		}
		mu.Unlock()
		told, err := members[i].join()
		if err != nil {
			return err
		}
		mu.Lock()
		if from.IsZero() {
			from = time.Now()
		}
		mu.Unlock()
		if err := members[i].sync(told); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		took[i] = time.Since(from)
		return nil
	})
	return took, err
}
