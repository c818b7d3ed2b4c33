package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/history"
)

// finale is what comes after the load: everything has to come to rest, and is read.
type finale struct {
	*run
	number int
}

// stuck says what did not come in time.
func stuck(format string, args ...any) error { return fmt.Errorf("stuck: "+format, args...) }

// again repeats a question until it is answered with nil, or the time is over.
func again(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if err == nil || !pause(ctx, 200*time.Millisecond) {
			return err
		}
	}
}

// drain waits until the movers have moved everything.
func (f *finale) drain(ctx context.Context) error {
	if f.Movers == 0 || !f.keys.exists(pipelineFrom) || !f.keys.exists(pipelineTo) {
		return nil
	}
	admin, err := f.newClient(ctx, "finale", kgo.MaxVersions(byNames()))
	if err != nil {
		return err
	}
	defer admin.close()
	end, err := f.newProbe(ctx, f.Brokers[0], "finale-ends")
	if err != nil {
		return err
	}
	defer end.abandon()
	err = again(ctx, func() error { return f.behind(ctx, admin, end) })
	if err != nil {
		return stuck("the pipeline: %w", err)
	}
	return nil
}

// behind tells how far the movers are behind what was fed.
func (f *finale) behind(ctx context.Context, admin *client, end *probe) error {
	var partitions []history.Partition
	for n := range int32(partitionsPerTopic) {
		partitions = append(partitions, history.Partition{Topic: pipelineFrom, Number: n})
	}
	limited, cancel := context.WithTimeout(ctx, f.Operation)
	defer cancel()
	at, err := committed(limited, admin, pipelineGroup, partitions)
	if err != nil {
		return fmt.Errorf("where the movers are: %w", err)
	}
	for _, a := range at {
		high, err := end.latest(limited, history.ReadUncommitted, a.Partition)
		if err != nil {
			return fmt.Errorf("end of %s/%d: %w", a.Topic, a.Number, err)
		}
		if max(0, a.Offset) < high {
			return fmt.Errorf("movers are at %d of %d in %s/%d", a.Offset, high, a.Topic, a.Number)
		}
	}
	return nil
}

// readAll reads every partition at both isolations: each from one broker, some from each. Before, every open transaction
// has to have ended.
func (f *finale) readAll(ctx context.Context) error {
	named, err := f.run.probes(ctx, "final", f.newProbe)
	if err != nil {
		return err
	}
	defer abandonAll(named)
	byIDs, err := f.run.probes(ctx, "final-again", f.newProbeByIDs)
	if err != nil {
		return err
	}
	defer abandonAll(byIDs)
	all := f.keys.all()
	number := len(all)
	last, err := f.lastIncarnation(ctx, byIDs[0])
	errs := []error{err}
	all = append(all, last...)
	for i, partition := range all {
		probes := named
		if i >= number {
			probes = byIDs
		}
		errs = append(errs, f.readAt(ctx, probes, i, partition))
		if ctx.Err() != nil { // the rest would say nothing else
			return errors.Join(append(errs, stuck("the time is over after %d of %d partitions", i, len(all)))...)
		}
	}
	return errors.Join(errs...)
}

// lastIncarnation finds the topic that was made again and again, if it is there and anybody has used it.
func (f *finale) lastIncarnation(ctx context.Context, p *probe) (left []history.Partition, err error) {
	err = again(ctx, func() error {
		limited, cancel := context.WithTimeout(ctx, f.Operation)
		defer cancel()
		id, err := f.find(limited, p)
		if name := f.again.name(id); err == nil && name != "" {
			left = []history.Partition{{Topic: name}}
		}
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return nil
		}
		return err
	})
	if err != nil {
		err = stuck("look for topic %s: %w", againTopic, err)
	}
	return left, err
}

// readAt reads the partition that is the number i of all, and observes it on each broker once more.
func (f *finale) readAt(ctx context.Context, probes []*probe, i int, partition history.Partition) error {
	first := i % len(probes)
	brokers := append(slices.Clone(probes[first:]), probes[:first]...)
	if i%3 != 0 {
		brokers = brokers[:1]
	}
	var errs []error
	for _, p := range brokers {
		for _, isolation := range []history.Isolation{history.ReadUncommitted, history.ReadCommitted} {
			errs = append(errs, f.readPartition(ctx, p, isolation, partition))
		}
	}
	for _, p := range probes {
		errs = append(errs, f.lastMarks(ctx, p, partition))
	}
	if !probes[0].byIDs {
		errs = append(errs, f.spots(ctx, brokers[0], i, partition))
	}
	return errors.Join(errs...)
}

// readPartition reads a partition from its start to its end.
func (f *finale) readPartition(ctx context.Context, p *probe, isolation history.Isolation, partition history.Partition) error {
	w := whole{run: f.run, probe: p, isolation: isolation, most: fetchBytes, settled: true, op: history.Operation{
		Kind: history.Poll, Worker: f.number, Client: fmt.Sprintf("final-%s-%s", p.address, isolation), Final: true,
		Partitions: []history.Partition{partition},
	}}
	if err := w.read(ctx); err != nil {
		return stuck("read %s/%d from %s, %s: %w", partition.Topic, partition.Number, p.address, isolation, err)
	}
	return nil
}

// lastMarks observes a partition on a broker once more: a fetch at its end tells of its borders.
func (f *finale) lastMarks(ctx context.Context, p *probe, partition history.Partition) error {
	at := history.At{Partition: partition}
	err := again(ctx, func() error {
		limited, cancel := context.WithTimeout(ctx, f.Operation)
		defer cancel()
		if !p.byIDs {
			end, err := p.latest(limited, history.ReadUncommitted, partition)
			if err != nil {
				return err
			}
			at.Offset = end
		}
		op := f.Recorder.Begin(history.Operation{Kind: history.Observe, Worker: f.number, Broker: p.address, Final: true})
		got, err := f.fetch(limited, p, history.ReadCommitted, []history.At{at}, fetchBytes)
		if err == nil {
			err = got[0].err
		}
		if err != nil {
			f.Recorder.End(op, history.Failed, err)
			return err
		}
		f.endMark(op, got[0].marks, nil)
		return nil
	})
	if err != nil {
		return stuck("observe %s/%d on %s: %w", partition.Topic, partition.Number, p.address, err)
	}
	return nil
}
