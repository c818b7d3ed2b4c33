// Command bench measures the broker of this checkout with a fixed set of loads, on servers that it starts itself, and
// writes docs/benchmarks.md:
//
//	go run ./bench [-small] [-only a,f] [-out FILE] [-perf DIR] [-life 10m]
//
// Client, broker, PostgreSQL and the S3 server share the machine, so the numbers compare versions and ratios; they are
// not what a cluster does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/integration/toolchain"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == onlyAnswers {
		if err := answer(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	small := flag.Bool("small", false, "tiny loads: whether everything works")
	only := flag.String("only", "", "letters of the loads to run, separated by commas; all if empty")
	out := flag.String("out", "", "file to write; standard output if empty")
	perf := flag.String("perf", "", "directory for CPU profiles of the broker (Linux perf) during loads a, f, k, l, n and p")
	life := flag.Duration("life", 0, "how long load r writes beside the compactor; 0 is 10 minutes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *small, *only, *out, *perf, *life); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// machine is what the loads run on.
type machine struct {
	root     string // of the repository
	binary   string // of runnel
	jars     string // class path of Apache Kafka
	postgres *servers.Postgres
	s3       *servers.S3
	size     sizes
	perf     string
}

// sizes are how long and how large the loads are.
type sizes struct {
	javaRecords int
	javaRounds  int
	seconds     string        // of one measurement
	catchup     int64         // bytes
	tailPhase   time.Duration // how long the tail is measured beside the same
	tailCycles  int           // how often all of that takes turns
	polls       int           // consumers that wait
	polling     time.Duration // for which they are watched
	topics      int           // of 100 partitions
	asking      time.Duration // for metadata

	groupMembers int // of a large group
	rebalances   int
	groups       int // that are idle

	life  time.Duration // of a load that the compactor keeps up with
	large int64         // bytes of a partition that is read when it is rewritten

	rounds int // of what is compared, one after the other
	rules  int // of access
	idle   int // connections
	logins int
}

var (
	whole = sizes{javaRecords: 300_000, javaRounds: 3, seconds: "10", catchup: 2 << 30, tailPhase: 4 * time.Second, tailCycles: 4,
		polls: 3000, polling: 20 * time.Second, topics: 200, asking: 5 * time.Second,
		groupMembers: 100, rebalances: 4, groups: 1000, life: 10 * time.Minute, large: 640 << 20,
		rounds: 5, rules: 10_000, idle: 5000, logins: 300}
	tiny = sizes{javaRecords: 20_000, javaRounds: 1, seconds: "1", catchup: 64 << 20, tailPhase: time.Second, tailCycles: 1,
		polls: 500, polling: 2 * time.Second, topics: 20, asking: time.Second,
		groupMembers: 20, rebalances: 2, groups: 100, life: time.Minute, large: 128 << 20,
		rounds: 1, rules: 1000, idle: 500, logins: 30}
)

// load is one measurement of the set.
type load struct {
	letter, title, bar string
	run                func(ctx context.Context, m *machine) (section, error)
}

var loads = []load{
	{"a", "One Java producer with default settings, beside Apache Kafka", "at least 0.7 of Kafka", javaBesideKafka},
	{"b", "The same producer on simulated S3 Standard", "at least 40 MB/s", javaOnSlowS3},
	{"c", "End to end, one record at a time, two brokers", "with different brokers p50 under 40 ms, p99 under 120 ms; on simulated S3 Standard p99 under 700 ms", endToEnd},
	{"d", "Commits of 1,600 batches over 600 partitions from 64 producers", "p50 under 2 ms, p99 under 6 ms", commitAlone},
	{"e", "8 committers of 600 runs", "together at least 1,200 commits/s, p99 under 25 ms", commitTogether},
	{"f", "Load of several producers, linger at most 250 ms", "objects of at least 4 MiB, at most 256 PUT/GiB, at most 2 CPU s/GiB", manyProducers},
	{"g", "Catch-up read beside a plain loop of GETs", "at least half of the plain loop", catchUp},
	{"h", "Allocations of the hot paths", "none per record", allocations},
	{"i", "Memory of a broker that 200 connections overload", "at most the configured budget and 150 MiB", overload},
	{"j", "An idle cluster, and one record now and then", "produce p99 under PUT p99 + 10 ms; no PUT at all while nothing comes", idleCluster},
	{"k", "3,000 idle consumers at 1,000 partitions", "under 5 % of a core, and no query per fetch", idlePolls},
	{"l", "20,000 partitions", "under 1 KiB of memory each; Metadata p99 under 100 ms; start under 10 s", manyPartitions},
	{"m", "The tail while another consumer catches up", "p99 rises by at most 20 %", tailBesideCatchUp},
	{"n", "Offset commits", "at least 5,000 offsets/s in batches", offsetCommits},
	{"o", "Rebalances of a group of 100 members", "under 3 s after the last join", rebalances},
	{"p", "1,000 idle groups", "under 2 % of a core", idleGroups},
	{"q", "Transactions over ten partitions", "EndTxn p99 under 25 ms; 200 transactions/s", transactions},
	{"r", "Writing for long beside the compactor", "rows flat after 3 minutes, under 50 per GiB; compactor under 25 % of the CPU; tail p99 rises by at most 20 %; at most 1 GET per 16 MiB of a large partition", lifeOfData},
	{"s", "What TLS costs", "at least 0.7 of plaintext", security(encryption)},
	{"t", "What access rules cost", "under 2 % of the CPU", security(authorization)},
	{"u", "What connections and logins cost", "5,000 idle connections under 400 MiB; a login by SCRAM under 20 ms of CPU", security(idleConnections, logins)},
}

func run(ctx context.Context, small bool, only, out, perf string, life time.Duration) (err error) {
	began := time.Now()
	m, err := openMachine(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.postgres.Close(), m.s3.Close()) }()
	m.perf, m.size = perf, whole
	if small {
		m.size = tiny
	}
	if life > 0 {
		m.size.life = life
	}
	r := report{began: began, before: uptime(ctx), command: "make bench"}
	if only != "" {
		r.command = "cd integration && go run ./bench -only " + only
	}
	if life > 0 {
		r.command += " -life " + life.String()
	}
	for _, l := range loads {
		if only != "" && !strings.Contains(","+only+",", ","+l.letter+",") {
			continue
		}
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		start := time.Now()
		s, failed := l.run(ctx, m)
		if failed != nil { // the others count all the same
			err = errors.Join(err, fmt.Errorf("load %s: %w", l.letter, failed))
			s.outcome = "FAILED"
		}
		r.sections = append(r.sections, titled{l, s})
		fmt.Fprintf(os.Stderr, "%s. %s (%.0f s)\n%s\n", l.letter, l.title, time.Since(start).Seconds(), s.table())
	}
	r.after = uptime(ctx)
	r.took = time.Since(began)
	text := r.markdown(ctx, m)
	if out == "" {
		_, writeErr := os.Stdout.WriteString(text)
		return errors.Join(err, writeErr)
	}
	return errors.Join(err, os.WriteFile(out, []byte(text), 0o644))
}

func openMachine(ctx context.Context) (*machine, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return nil, err
	}
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		return nil, err
	}
	m := &machine{root: root}
	if m.jars, err = tools.JavaClasses(ctx, "compat/clients/java/pom.xml"); err != nil {
		return nil, err
	}
	if m.binary, err = harness.Build(root, filepath.Join(root, "bin", "runnel-bench")); err != nil {
		return nil, err
	}
	if m.postgres, err = servers.OpenPostgres(ctx, servers.PostgresOptions{Durable: true}); err != nil {
		return nil, err
	}
	if m.s3, err = servers.OpenS3(ctx, tools); err != nil {
		return nil, errors.Join(err, m.postgres.Close())
	}
	return m, nil
}
