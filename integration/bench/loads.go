package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-io/runnel/integration/slows3"
)

// endToEnd sends each record through one broker and reads it through the same, then through another.
func endToEnd(ctx context.Context, m *machine) (s section, err error) {
	s = newSection("object store", "records", "produce p50 / p99, ms", "end to end p50 / p99 / p99.9, ms")
	for _, store := range []struct {
		name  string
		start func(ctx context.Context, m *machine) (*cluster, error)
	}{
		{"local S3 server", func(ctx context.Context, m *machine) (*cluster, error) {
			return m.startCluster(ctx, 2, m.s3.Endpoint())
		}},
		{slows3.Standard.Name + ", simulated", func(ctx context.Context, m *machine) (*cluster, error) {
			return m.startSlowCluster(ctx, 2, slows3.Standard)
		}},
	} {
		if err := endToEndOn(ctx, m, &s, store.name, store.start); err != nil {
			return s, err
		}
	}
	s.note = "A record every 20 ms waits for its place among 25 uploads per second (put.rate); one every 500 ms does not. There are 20 of the latter: their p99 is their longest."
	return s, nil
}

func endToEndOn(ctx context.Context, m *machine, s *section, name string, start func(context.Context, *machine) (*cluster, error)) (err error) {
	c, err := start(ctx, m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	args := []string{"e2e", "--bootstrap", c.bootstrap(), "--duration", m.size.seconds + "s", "--rate"}
	for _, way := range []struct {
		name string
		more []string
	}{
		{"every 20 ms, through the leader", []string{"50"}},
		{"every 20 ms, produced to one, read from the other", []string{"50", "--produce-via", c.addresses[0], "--consume-via", c.addresses[1]}},
		{"every 500 ms, through the leader", []string{"2"}},
	} {
		r, err := m.runnelBench(ctx, &s.commands, append(args, way.more...)...)
		if err != nil {
			return err
		}
		s.row(name, way.name, number(r.Produce.P50)+" / "+number(r.Produce.P99), fmt.Sprintf("%s / %s / %s", number(r.P50), number(r.P99), number(r.P999)))
		s.outcome += fmt.Sprintf("%s, %s: produce p99 %s, end to end p99 %s ms. ", name, way.name, number(r.Produce.P99), number(r.P99))
	}
	return nil
}

// manyProducers is a broker as busy as it gets.
func manyProducers(ctx context.Context, m *machine) (s section, err error) {
	c, err := m.startCluster(ctx, 1, m.s3.Endpoint())
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	s = newSection("load", "MB/s", "p50 / p99, ms", "average object, MiB", "PUT/GiB", "commits/s", "broker CPU, s/GiB")
	profiled := m.profile(ctx, c, "f")
	for _, load := range []struct {
		name string
		args []string
	}{{"flat out", nil}, {"20,000 records/s", []string{"--rate", "20000"}}} {
		r, err := m.runnelBench(ctx, &s.commands, append([]string{"produce", "--bootstrap", c.bootstrap(), "--admin", c.admin(),
			"--clients", "4", "--partitions", "16", "--duration", m.size.seconds + "s"}, load.args...)...)
		if err != nil {
			return s, err
		}
		s.row(load.name, optional(r.ThroughputMBPerS), number(r.P50)+" / "+number(r.P99), mebibytes(r.AvgObjectBytes), optional(r.PutsPerGiB),
			optional(r.CommitsPerS), optional(r.CPUSecondsPerGiB))
		s.outcome += fmt.Sprintf("%s: %s MiB, %s PUT/GiB, %s s/GiB. ", load.name, mebibytes(r.AvgObjectBytes), optional(r.PutsPerGiB), optional(r.CPUSecondsPerGiB))
	}
	return s, profiled()
}
