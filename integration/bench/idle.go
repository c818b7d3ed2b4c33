package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/runnel-io/runnel/integration/slows3"
)

// silence is how long nothing is produced, to see that nothing is put.
const silence = 5 * time.Second

// idleCluster sends a record to a broker with nothing else to do, four times a second, and compares with the PUTs that the
// proxy in front of the S3 server saw meanwhile.
func idleCluster(ctx context.Context, m *machine) (s section, err error) {
	s = newSection("object store", "records", "produce p50 / p99, ms", "PUT p50 / p99, ms", "difference of p99, ms", "PUTs in 5 s of silence")
	for _, profile := range []slows3.Profile{slows3.None, slows3.Express, slows3.Standard} {
		if err := idleOn(ctx, m, &s, profile); err != nil {
			return s, err
		}
	}
	s.note = "PUTs as a proxy in front of the S3 server sees them, the same in number as the records, or a few more where a late one got a second beside it."
	return s, nil
}

func idleOn(ctx context.Context, m *machine, s *section, profile slows3.Profile) (err error) {
	c, err := m.startSlowCluster(ctx, 1, profile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	seconds := m.size.seconds
	if seconds == whole.seconds {
		seconds = "30" // for a p99 that is not the longest
	}
	r, err := m.runnelBench(ctx, &s.commands, "e2e", "--bootstrap", c.bootstrap(), "--duration", seconds+"s", "--rate", "4")
	if err != nil {
		return err
	}
	puts := c.proxy.Puts()
	if len(puts) == 0 {
		return errors.New("the proxy saw no PUT")
	}
	slices.Sort(puts)
	p50, p99 := quantile(puts, 0.5), quantile(puts, 0.99)
	select {
	case <-time.After(silence):
	case <-ctx.Done():
		return ctx.Err()
	}
	idle := len(c.proxy.Puts())
	s.row(profile.Name, "every 250 ms", number(r.Produce.P50)+" / "+number(r.Produce.P99), number(p50)+" / "+number(p99),
		number(r.Produce.P99-p99), strconv.Itoa(idle))
	s.outcome += fmt.Sprintf("%s: produce p99 %s ms, PUT p99 %s ms; %d PUTs in silence. ", profile.Name, number(r.Produce.P99), number(p99), idle)
	return nil
}

// quantile is in milliseconds; the durations are sorted.
func quantile(sorted []time.Duration, q float64) float64 {
	return float64(sorted[int(q*float64(len(sorted)-1)+0.5)].Microseconds()) / 1000
}
