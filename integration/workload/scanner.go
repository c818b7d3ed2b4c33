package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/runnel-io/runnel/integration/history"
)

// scanner reads partitions of compacted topics from their start to their end, slowly, so that they change meanwhile.
type scanner struct {
	*run
	number int
	rand   *rand.Rand
}

func (r *run) newScanner(number int) *scanner {
	return &scanner{run: r, number: number, rand: rand.New(rand.NewPCG(r.Seed, uint64(number)))}
}

// scan runs until load ends.
func (s *scanner) scan(ctx, load context.Context) error {
	probes, err := s.probes(ctx, "scanner", s.newProbe)
	if err != nil {
		return err
	}
	defer abandonAll(probes)
	for n := 0; pause(load, s.Observe); n++ {
		partitions := s.keys.of(compacted)
		if len(partitions) == 0 {
			continue
		}
		isolation := history.ReadCommitted
		if s.rand.IntN(3) == 0 {
			isolation = history.ReadUncommitted
		}
		w := whole{
			run: s.run, probe: probes[s.rand.IntN(len(probes))], isolation: isolation, most: fewBytes,
			think: time.Duration(s.rand.Int64N(int64(s.Tombstones / 20))),
			op: history.Operation{
				Kind: history.Poll, Worker: s.number, Client: fmt.Sprintf("scanner-%d", n),
				Partitions: partitions[s.rand.IntN(len(partitions)):][:1],
			},
		}
		limited, cancel := context.WithTimeout(ctx, s.Tombstones*9/10)
		_ = w.read(limited) // which the history has
		cancel()
	}
	return nil
}

// whole is a reading of a partition from where it begins to where it ends, as one poll with a step for each fetch.
type whole struct {
	*run
	probe     *probe
	isolation history.Isolation
	most      int32             // bytes of a fetch
	think     time.Duration     // between two fetches
	settled   bool              // nothing is written any more: the end is the high watermark, and what fails is tried again
	op        history.Operation // with who reads what
}

// read reads. The error says that it did not come to the end.
func (w *whole) read(ctx context.Context) error {
	w.op.Isolation, w.op.Broker, w.op.Whole = w.isolation, w.probe.address, true
	op := w.Recorder.Begin(w.op)
	at := history.At{Partition: op.Partitions[0]}
	read := func() error {
		if err := w.catchUp(ctx, at.Partition); err != nil {
			return err
		}
		for {
			end, err := w.once(ctx, &at, op)
			if err != nil || end {
				return err
			}
			if w.think > 0 && !pause(ctx, w.think) {
				return ctx.Err()
			}
		}
	}
	var err error
	if w.settled {
		err = again(ctx, read)
	} else {
		err = read()
	}
	outcome := history.OK
	if err != nil {
		outcome = history.Failed
	} else {
		op.Offsets = []history.At{at}
	}
	w.Recorder.End(op, outcome, err)
	return err
}

// catchUp has the broker look at what it may not have heard of: one that shows old values of keys for a while, and then others,
// would otherwise show neither a value that came in between nor its tombstone.
func (w *whole) catchUp(ctx context.Context, partition history.Partition) error {
	if w.probe.byIDs {
		return nil // nothing of these partitions is compacted
	}
	limited, cancel := context.WithTimeout(ctx, w.Operation)
	defer cancel()
	_, err := w.probe.latest(limited, history.ReadUncommitted, partition)
	return err
}

// once reads on, and tells whether it is at the end.
func (w *whole) once(ctx context.Context, at *history.At, op *history.Operation) (end bool, err error) {
	limited, cancel := context.WithTimeout(ctx, w.Operation)
	defer cancel()
	step := history.Step{Begun: w.Recorder.Moment(), Outcome: history.OK}
	answer, err := w.fetch(limited, w.probe, w.isolation, []history.At{*at}, w.most)
	step.Ended = w.Recorder.Moment()
	if err == nil {
		err = answer[0].err
	}
	if err != nil {
		step.Outcome, step.Error = history.Failed, err.Error()
		op.Steps = append(op.Steps, step)
		if errors.Is(err, kerr.OffsetOutOfRange) {
			return false, w.begin(limited, at, err)
		}
		return false, err
	}
	got := answer[0]
	last := got.marks.High
	if w.isolation == history.ReadCommitted && !w.settled {
		last = got.marks.Stable
	}
	if w.settled && got.marks.Stable < got.marks.High {
		return false, fmt.Errorf("a transaction is open: stable until %d of %d", got.marks.Stable, got.marks.High)
	}
	step.Read = got.records
	op.Steps = append(op.Steps, step)
	if got.next == at.Offset && got.next < last {
		return false, fmt.Errorf("nothing comes at %d of %d", got.next, last)
	}
	at.Offset = got.next
	return at.Offset >= last, nil
}

// begin goes to where the partition begins, if it begins later than where the reading is, which is out of range.
func (w *whole) begin(ctx context.Context, at *history.At, outOfRange error) error {
	start, _, err := w.probe.list(ctx, history.ReadUncommitted, at.Partition, earliest)
	if err != nil {
		return err
	}
	if start <= at.Offset {
		return fmt.Errorf("offset %d, of a log that starts at %d: %w", at.Offset, start, outOfRange)
	}
	at.Offset = start
	return nil
}
