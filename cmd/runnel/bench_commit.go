package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/broker/node"
	"github.com/runnel-io/runnel/cmd/runnel/bench"
)

// benchCommitOptions are the flags of bench commit.
type benchCommitOptions struct {
	metastore  string
	runs       int
	batches    int
	committers int
	producers  int
	seconds    float64
	warmup     time.Duration
}

func newBenchCommit(env *environment) *cobra.Command {
	var o benchCommitOptions
	cmd := &cobra.Command{
		Use:   "commit",
		Short: "Measure how fast a metastore sequences, without brokers and objects",
		Long: "Measure how fast a metastore sequences, without brokers and objects. Each committer has connections and a copy of\n" +
			"the folded log of its own, as a broker has, and commits one segment after the other, of batches of 16 records from idempotent producers\n" +
			"of its own. It fails if a batch is not accepted.\n\n" +
			"Use a migrated database of its own (runnel migrate): brokers on it would follow what is appended, and every\n" +
			"committer holds all that was committed in memory, some 50 bytes per run.",
		Example: "  runnel bench commit --metastore postgres://runnel@db/bench --runs 600 --batches 1600 --producers 64\n" +
			"  runnel bench commit --metastore postgres://runnel@db/bench --runs 600 --committers 8",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return benchCommit(cmd.Context(), env, &o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.metastore, "metastore", "", "URL of the metastore, as metastore.url of a broker (RUNNEL_METASTORE_URL)")
	flags.IntVar(&o.runs, "runs", 100, "runs of a commit: partitions that it concerns")
	flags.IntVar(&o.batches, "batches", 0, "record batches of a commit; one per run if unset")
	flags.IntVar(&o.committers, "committers", 1, "number of committers, each as a broker")
	flags.IntVar(&o.producers, "producers", 1, "idempotent producers of each committer's batches")
	flags.Float64Var(&o.seconds, "seconds", 10, "time that counts, in seconds")
	flags.DurationVar(&o.warmup, "warmup", time.Second, "time that does not count, at the beginning")
	flags.BoolVar(&env.json, "json", false, "write JSON")
	return cmd
}

func benchCommit(ctx context.Context, env *environment, o *benchCommitOptions) (err error) {
	if o.metastore == "" {
		o.metastore = env.getenv("RUNNEL_METASTORE_URL")
	}
	if o.metastore == "" {
		return usagef("--metastore must name a metastore")
	}
	if o.batches == 0 {
		o.batches = o.runs
	}
	load := bench.Commits{
		Committers: o.committers, Runs: o.runs, Batches: o.batches, Producers: o.producers,
		Warmup: o.warmup, Duration: time.Duration(o.seconds * float64(time.Second)),
	}
	if err := load.Validate(); err != nil {
		return usagef("%w", err)
	}
	stores, err := node.OpenMetastores(ctx, o.metastore, o.committers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.CloseMetastores(stores)) }()
	var meter bench.Meter
	latency := bench.NewLatencies(bench.DefaultSamples)
	line := newBenchLine(&meter)
	shown := startProgress(env.err, line.text)
	following, stop := context.WithCancel(ctx)
	go line.follow(following, bench.NewWindow(time.Now(), load.Warmup, load.Duration))
	first, last, err := load.Run(ctx, stores, benchName(), &meter, latency)
	stop()
	shown.close()
	if err != nil {
		return err
	}
	setup := map[string]any{"runs": o.runs, "batches": o.batches, "committers": o.committers, "producers": o.producers}
	return writeBench(env, bench.NewResult("commit", setup, first, last, latency.Quantiles()))
}
