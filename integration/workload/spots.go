package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

// spotsOf is how many places of a partition are looked into.
const spotsOf = 2

// spots begins to read anywhere in a partition, a little, and looks for records by their time.
func (f *finale) spots(ctx context.Context, p *probe, i int, partition history.Partition) error {
	chance := rand.New(rand.NewPCG(f.Seed, uint64(i)<<32))
	limited, cancel := context.WithTimeout(ctx, f.Operation)
	defer cancel()
	high, err := p.latest(limited, history.ReadUncommitted, partition)
	if err != nil {
		return nil // it was read to its end before, so it can be asked: this is no more than a connection that broke
	}
	start, _, err := p.list(limited, history.ReadUncommitted, partition, earliest)
	if err != nil || start >= high {
		return nil
	}
	for n := range spotsOf {
		for _, isolation := range []history.Isolation{history.ReadUncommitted, history.ReadCommitted} {
			client := fmt.Sprintf("spot-%d-%d-%s", i, n, isolation)
			f.spot(limited, p, isolation, client, history.At{Partition: partition, Offset: start + chance.Int64N(high-start)})
		}
		asked := time.Now().UnixMilli() - chance.Int64N(int64(f.Duration/time.Millisecond))
		f.findOffset(limited, f.number, p, partition, asked, true)
	}
	return nil
}

// spot reads a few bytes from a place on, twice.
func (f *finale) spot(ctx context.Context, p *probe, isolation history.Isolation, client string, at history.At) {
	f.Recorder.Happened(history.Operation{
		Kind: history.Assign, Worker: f.number, Client: client, Isolation: isolation, Broker: p.address,
		Partitions: []history.Partition{at.Partition}, Offsets: []history.At{at},
	})
	op := f.Recorder.Begin(history.Operation{Kind: history.Poll, Worker: f.number, Client: client, Isolation: isolation, Broker: p.address})
	var err error
	for range 2 {
		step := history.Step{Begun: f.Recorder.Moment(), Outcome: history.OK}
		var got []fetched
		if got, err = f.fetch(ctx, p, isolation, []history.At{at}, fewBytes); err == nil {
			err = got[0].err
		}
		step.Ended = f.Recorder.Moment()
		if err != nil {
			step.Outcome, step.Error = history.Failed, err.Error()
			op.Steps = append(op.Steps, step)
			break
		}
		step.Read, at.Offset = got[0].records, got[0].next
		op.Steps = append(op.Steps, step)
	}
	outcome := history.OK
	if err != nil {
		outcome = history.Failed
	}
	f.Recorder.End(op, outcome, err)
}
