package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/runnel-io/runnel/integration/slows3"
)

// tailSettles is how much of a phase does not count: what was before is still under way.
const tailSettles = 750 * time.Millisecond

// tailBesideCatchUp measures the tail, alone and while another consumer reads old records, as fast as they come, through
// the broker at which the tail is consumed. What the machine makes of it, whoever reads, shows beside loops of GETs that no broker
// has to do with: one as fast as the catch-up, and one as fast as it goes.
//
// The tail is one run in which all of that takes turns: none has the machine at another hour, or newer connections.
func tailBesideCatchUp(ctx context.Context, m *machine) (s section, err error) {
	s = newSection("object store", "beside the tail", "MB/s", "samples", "produce, p50 / p99, ms", "end to end, p50 / p99, ms", "p50, more than alone", "p99, more than alone")
	// The compactor would come and go in some phases and not in others; load r has it.
	const quiet = "RUNNEL_COMPACTION_ENABLE=false"
	for _, store := range []struct {
		name  string
		start func() (*cluster, error)
	}{
		{"local S3 server", func() (*cluster, error) { return m.startCluster(ctx, 2, m.s3.Endpoint(), quiet) }},
		{slows3.Standard.Name + ", simulated", func() (*cluster, error) { return m.startSlowCluster(ctx, 2, slows3.Standard, quiet) }},
	} {
		c, err := store.start()
		if err != nil {
			return s, err
		}
		err = m.tailOn(ctx, &s, store.name, c)
		if err = errors.Join(err, c.stop()); err != nil {
			return s, err
		}
	}
	s.note = fmt.Sprintf("Produced at one broker, consumed at the other, through which the catch-up reads, too. One run, in which these take turns of %v, "+
		"the first %v of which do not count; quantiles are of all turns together. In brackets is where nine of ten draws of as many turns lie. "+
		"\"Alone, again\" is every other turn alone beside those between: what it shows is chance. The catch-up, its S3 server included, takes what the tail leaves of two cores.",
		m.size.tailPhase, tailSettles)
	return s, nil
}

// phase is what goes on beside the tail for a while.
type phase struct {
	name string
	run  func(ctx context.Context) (float64, error) // MB/s

	rates []float64
	spans []span
}

// span is when a phase counted.
type span struct{ from, to time.Time }

func (p *phase) samples(all []sample) (r rounds) {
	for _, s := range p.spans {
		r = append(r, between(all, s.from, s.to))
	}
	return r
}

// turn runs a phase for so long.
func (p *phase) turn(ctx context.Context, long time.Duration) error {
	turn, stop := context.WithCancel(ctx) // no deadline: a connection that is made just then would time out, and be an error
	defer stop()
	from := time.Now()
	defer time.AfterFunc(long, stop).Stop()
	rate, err := p.run(turn)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	if !waitUntil(ctx, from.Add(long)) {
		return ctx.Err()
	}
	p.rates = append(p.rates, rate)
	p.spans = append(p.spans, span{from.Add(min(tailSettles, long/2)), from.Add(long)})
	return nil
}

func (m *machine) tailOn(ctx context.Context, s *section, name string, c *cluster) error {
	old, err := makeOld(ctx, m, c, m.size.catchup)
	if err != nil {
		return err
	}
	// What was written is on its way to the disk yet, and all machines are cold.
	if _, err := old.raw(); err != nil {
		return err
	}
	plain, err := m.newPlainLoop(ctx, c.endpoint, c.prefix)
	if err != nil {
		return err
	}
	nothing := func(context.Context) (float64, error) { return 0, nil }
	alone, again := &phase{name: "nothing", run: nothing}, &phase{name: "alone, again", run: nothing}
	behind := &phase{name: "a catch-up", run: old.readOn}
	paced := &phase{name: "a plain loop of GETs, as fast as the catch-up", run: func(ctx context.Context) (float64, error) {
		return plain.until(ctx, median(behind.rates))
	}}
	flatOut := &phase{name: "a plain loop of 8 GETs at a time, as fast as it goes", run: func(ctx context.Context) (float64, error) { return plain.until(ctx, 0) }}
	turns := []*phase{alone, behind, again, paced, alone, flatOut, again, behind}
	all, err := m.tailBeside(ctx, s, c, turns)
	if err != nil {
		return err
	}
	quiet := append(alone.samples(all.read), again.samples(all.read)...)
	quietWritten := append(alone.samples(all.written), again.samples(all.written)...)
	row := func(p *phase, read, written rounds, more ...string) {
		rate := "-"
		if p != alone && p != again {
			rate = number(median(p.rates))
		}
		s.row(append([]string{name, p.name, rate, fmt.Sprint(read.count()), number(written.quantile(.5)) + " / " + number(written.quantile(.99)),
			number(read.quantile(.5)) + " / " + number(read.quantile(.99))}, more...)...)
	}
	row(alone, quiet, quietWritten, "-", "-")
	for _, p := range []*phase{again, behind, paced, flatOut} {
		read, beside := p.samples(all.read), quiet
		if p == again {
			beside = alone.samples(all.read)
		}
		row(p, read, p.samples(all.written), riseOf(.5, read, beside).String(), riseOf(.99, read, beside).String())
	}
	read := behind.samples(all.read)
	s.outcome += fmt.Sprintf("%s: p99 %s alone, %s during a catch-up of %s MB/s, %v; beside a plain loop of GETs of as many, %v; %s of what a plain loop reaches beside the tail. ",
		name, number(quiet.quantile(.99)), number(read.quantile(.99)), number(median(behind.rates)), riseOf(.99, read, quiet),
		riseOf(.99, paced.samples(all.read), quiet), number(median(behind.rates)/median(flatOut.rates)))
	return nil
}

// tailSamples are those of one run.
type tailSamples struct{ written, read []sample }

// tailBeside measures the tail while phases take turns.
func (m *machine) tailBeside(ctx context.Context, s *section, c *cluster, turns []*phase) (all tailSamples, err error) {
	dir, err := os.MkdirTemp("", "runnel-tail-")
	if err != nil {
		return all, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "samples.csv")
	const warmup = 3 * time.Second
	long := time.Duration(m.size.tailCycles*len(turns)) * m.size.tailPhase
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := m.runnelBench(ctx, &s.commands, "e2e", "--bootstrap", c.bootstrap(), "--warmup", "0s", "--duration", (warmup + long + long/20 + time.Second).String(),
			"--rate", "50", "--produce-via", c.addresses[0], "--consume-via", c.addresses[1], "--samples", file)
		ended <- err
	}()
	ok := waitUntil(ctx, time.Now().Add(warmup))
	for i := 0; ok && err == nil && i < m.size.tailCycles*len(turns); i++ {
		err = turns[i%len(turns)].turn(ctx, m.size.tailPhase)
	}
	if err != nil {
		cancel()
	}
	err = errors.Join(err, <-ended)
	cancel()
	if err != nil {
		return all, err
	}
	all.written, err = readSamples(file, "produce")
	if err == nil {
		all.read, err = readSamples(file, "e2e")
	}
	return all, err
}

// readOn reads the records again and again until ctx ends, and returns the MB/s.
func (o *oldRecords) readOn(ctx context.Context) (float64, error) {
	start, total := time.Now(), int64(0)
	for ctx.Err() == nil {
		n, err := readRaw(ctx, o.c.addresses[1], o.topic, func(records int64) bool { return records >= o.written || ctx.Err() != nil })
		total += n
		if err != nil && ctx.Err() == nil {
			return 0, err
		}
	}
	return float64(total) / 1e6 / time.Since(start).Seconds(), nil
}
