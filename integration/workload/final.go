package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/history"
)

// finale is what comes after the load: everything has to come to rest, and is read.
type finale struct {
	*run
	number int
	probes []*probe
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
	for i, address := range f.Brokers {
		p, err := f.newProbe(ctx, address, fmt.Sprint("final-", i))
		if err != nil {
			return err
		}
		defer p.abandon()
		f.probes = append(f.probes, p)
	}
	var errs []error
	all := f.keys.all()
	for i, partition := range all {
		errs = append(errs, f.readAt(ctx, i, partition))
		if ctx.Err() != nil { // the rest would say nothing else
			return errors.Join(append(errs, stuck("the time is over after %d of %d partitions", i, len(all)))...)
		}
	}
	return errors.Join(errs...)
}

// readAt reads the partition that is the number i of all, and observes it on each broker once more.
func (f *finale) readAt(ctx context.Context, i int, partition history.Partition) error {
	first := i % len(f.probes)
	brokers := append(slices.Clone(f.probes[first:]), f.probes[:first]...)
	if i%3 != 0 {
		brokers = brokers[:1]
	}
	var errs []error
	for _, p := range brokers {
		for _, isolation := range []history.Isolation{history.ReadUncommitted, history.ReadCommitted} {
			errs = append(errs, f.readPartition(ctx, p, isolation, partition))
		}
	}
	for _, p := range f.probes {
		errs = append(errs, f.lastMarks(ctx, p, partition))
	}
	return errors.Join(append(errs, f.spots(ctx, brokers[0], i, partition))...)
}

// readPartition reads a partition from its start to its end as one poll with a step for each fetch.
func (f *finale) readPartition(ctx context.Context, p *probe, isolation history.Isolation, partition history.Partition) error {
	op := f.Recorder.Begin(history.Operation{
		Kind: history.Poll, Worker: f.number, Client: fmt.Sprintf("final-%s-%s", p.address, isolation),
		Isolation: isolation, Broker: p.address, Final: true, Partitions: []history.Partition{partition},
	})
	at := history.At{Partition: partition}
	err := again(ctx, func() error {
		for {
			end, err := f.readOnce(ctx, p, isolation, &at, op)
			if err != nil || end {
				return err
			}
		}
	})
	if err != nil {
		f.Recorder.End(op, history.Failed, err)
		return stuck("read %s/%d from %s, %s: %w", partition.Topic, partition.Number, p.address, isolation, err)
	}
	f.Recorder.End(op, history.OK, nil)
	return nil
}

// readOnce reads on. It is at the end where the high watermark is, which is also that of what is committed, for nothing is
// open any more.
func (f *finale) readOnce(ctx context.Context, p *probe, isolation history.Isolation, at *history.At, op *history.Operation) (end bool, err error) {
	limited, cancel := context.WithTimeout(ctx, f.Operation)
	defer cancel()
	step := history.Step{Begun: f.Recorder.Moment(), Outcome: history.OK}
	answer, err := f.fetch(limited, p, isolation, []history.At{*at}, fetchBytes)
	step.Ended = f.Recorder.Moment()
	if err == nil {
		err = answer[0].err
	}
	if err != nil {
		step.Outcome, step.Error = history.Failed, err.Error()
		op.Steps = append(op.Steps, step)
		return false, err
	}
	got := answer[0]
	if got.marks.Stable < got.marks.High {
		return false, fmt.Errorf("a transaction is open: stable until %d of %d", got.marks.Stable, got.marks.High)
	}
	step.Read = got.records
	op.Steps = append(op.Steps, step)
	if got.next == at.Offset && got.next < got.marks.High {
		return false, fmt.Errorf("nothing comes at %d of %d", got.next, got.marks.High)
	}
	at.Offset = got.next
	return at.Offset >= got.marks.High, nil
}

// lastMarks observes a partition on a broker once more.
func (f *finale) lastMarks(ctx context.Context, p *probe, partition history.Partition) error {
	err := again(ctx, func() error {
		limited, cancel := context.WithTimeout(ctx, f.Operation)
		defer cancel()
		op := f.Recorder.Begin(history.Operation{Kind: history.Observe, Worker: f.number, Broker: p.address, Final: true})
		got, err := f.fetch(limited, p, history.ReadCommitted, []history.At{{Partition: partition}}, fetchBytes)
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
