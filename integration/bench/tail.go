package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/runnel-io/runnel/integration/slows3"
)

const tailRounds = 3

// tailBesideCatchUp measures the tail, alone and while another consumer reads old records, as fast as they come, through
// the broker at which the tail is consumed.
func tailBesideCatchUp(ctx context.Context, m *machine) (s section, err error) {
	s = newSection("object store", "records", "end to end alone, p50 / p99 of each round, ms", "during a catch-up, ms", "catch-up, MB/s")
	for _, store := range []struct {
		name  string
		start func() (*cluster, error)
	}{
		{"local S3 server", func() (*cluster, error) { return m.startCluster(ctx, 2, m.s3.Endpoint()) }},
		{slows3.Standard.Name + ", simulated", func() (*cluster, error) { return m.startSlowCluster(ctx, 2, slows3.Standard) }},
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
	s.note = "Produced at one broker, consumed at the other, through which the catch-up reads, too. The catch-up, its S3 server included, takes what the tail leaves of two cores."
	return s, nil
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
	var alone, beside, catchUps []float64
	var aloneText, besideText []string
	args := []string{"e2e", "--bootstrap", c.bootstrap(), "--duration", m.size.tail, "--rate", "50",
		"--produce-via", c.addresses[0], "--consume-via", c.addresses[1]}
	for range tailRounds {
		r, err := m.runnelBench(ctx, &s.commands, args...)
		if err != nil {
			return err
		}
		alone, aloneText = append(alone, r.P99), append(aloneText, number(r.P50)+" / "+number(r.P99))
		during, stop := context.WithCancel(ctx)
		type outcome struct {
			rate float64
			err  error
		}
		ended := make(chan outcome, 1)
		go func() {
			rate, err := old.readOn(during)
			ended <- outcome{rate, err}
		}()
		r, err = m.runnelBench(ctx, &s.commands, args...)
		stop()
		o := <-ended
		if err = errors.Join(err, o.err); err != nil {
			return err
		}
		beside, besideText = append(beside, r.P99), append(besideText, number(r.P50)+" / "+number(r.P99))
		catchUps = append(catchUps, o.rate)
	}
	s.row(name, "every 20 ms", strings.Join(aloneText, ", "), strings.Join(besideText, ", "), rates(catchUps))
	s.outcome += fmt.Sprintf("%s: median of p99 %s alone, %s during a catch-up of %s MB/s, %s %% more. ", name, number(median(alone)),
		number(median(beside)), number(median(catchUps)), number((median(beside)/median(alone)-1)*100))
	return nil
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
