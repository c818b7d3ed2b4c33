package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/broker/node"
	"github.com/runnel-io/runnel/cmd/runnel/bench"
	"github.com/runnel-io/runnel/metastore"
)

// benchCommitOptions are the flags of bench commit.
type benchCommitOptions struct {
	metastore  string
	runs       int
	batches    int
	committers int
	producers  int
	sequencer  bool
	seconds    float64
	warmup     time.Duration
}

func newBenchCommit(env *environment) *cobra.Command {
	var o benchCommitOptions
	cmd := &cobra.Command{
		Use:   "commit",
		Short: "Measure how fast a metastore sequences, without brokers and objects",
		Long: "Measure how fast a metastore sequences, without brokers and objects. Each committer has connections and a copy of\n" +
			"the folded log of its own, as a broker has, and commits one segment after the other, of batches of 16 records\n" +
			"from idempotent producers of its own. They append each on its own, or, with --sequencer, through the one among\n" +
			"them that holds the role, over ports on the loopback. It fails if a batch is not accepted.\n\n" +
			"Use a migrated database of its own (runnel migrate): brokers on it would follow what is appended, and every\n" +
			"committer holds all that was committed in memory, some 50 bytes per run.",
		Example: "  runnel bench commit --metastore postgres://runnel@db/bench --runs 600 --batches 1600 --producers 64\n" +
			"  runnel bench commit --metastore postgres://runnel@db/bench --runs 600 --committers 8 --sequencer",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return benchCommit(cmd.Context(), env, &o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.metastore, "metastore", "", "URL of the metastore, as metastore.url of a broker (RUNNEL_METASTORE_URL)")
	flags.IntVar(&o.runs, "runs", 100, "runs of a commit: partitions that it concerns")
	flags.IntVar(&o.batches, "batches", 0, "record batches of a commit; one per run if unset")
	flags.IntVar(&o.committers, "committers", 1, "number of committers, each as a broker")
	flags.IntVar(&o.producers, "producers", 1, "idempotent producers of each committer's batches")
	flags.BoolVar(&o.sequencer, "sequencer", false, "let one committer append for all, as brokers with a peer port do")
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
	if o.sequencer {
		load.Connect = throughSequencer
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
	first, last, least, err := load.Run(ctx, stores, benchName(), &meter, latency)
	stop()
	shown.close()
	if err != nil {
		return err
	}
	setup := map[string]any{"runs": o.runs, "batches": o.batches, "committers": o.committers, "producers": o.producers, "sequencer": o.sequencer}
	result := bench.NewResult("commit", setup, first, last, latency.Quantiles())
	if o.committers > 1 {
		result.AddLeast(least)
	}
	return writeBench(env, result)
}

// throughSequencer connects committers as brokers are.
func throughSequencer(ctx context.Context, metas []metastore.Store, replicas []*metastore.Replica) ([]bench.Committer, func() error, error) {
	made, stop, err := node.StartSequencers(ctx, metas, replicas)
	committers := make([]bench.Committer, len(made))
	for i, s := range made {
		committers[i] = s
	}
	return committers, stop, err
}
