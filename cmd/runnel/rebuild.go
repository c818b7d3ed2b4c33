package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/batching/rebuild"
	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
)

// rebuildOptions are the flags of rebuild.
type rebuildOptions struct {
	stores  *storesFlags
	cluster string
	index   string
	dryRun  bool
	unknown bool
	settle  time.Duration
}

func newRebuild(env *environment) *cobra.Command {
	var o rebuildOptions
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "Make a lost metastore anew from the bucket",
		Long: "Make a lost metastore anew from the bucket, in an empty database (after `runnel migrate`) or directory. It takes the newest\n" +
			"copy of what the metastore knew, which brokers write once in index.interval, lists the bucket, and finds all records that\n" +
			"tier-1 objects hold and those of tier 0 whose commit the copy knows. It tells what is missing, and what cannot be known.\n\n" +
			"All brokers must be stopped, also those that still reach the old metastore: the bucket becomes the new cluster's. A mark\n" +
			"that it leaves there makes brokers refuse the old one. Look first, with --dry-run; docs/recovery.md tells the steps.\n\n" +
			"It writes nothing before all is read, and all of it in the end by one entry of the log: if it is stopped before, brokers\n" +
			"refuse the metastore, and it can be run again. Memory: twice what a broker takes for the folded log, and some ten bytes\n" +
			"for each object and run.\n\n" +
			"Exit code: 0 nothing is known to be lost; 1 something is, or with --dry-run would be; 2 it could not finish, and nothing\n" +
			"can be served from the metastore.",
		Example: "  runnel rebuild --config /etc/runnel.yaml --dry-run\n" +
			"  runnel rebuild --metastore-url postgres://runnel@db/runnel --object-store-url s3://bucket/runnel\n" +
			"  runnel rebuild --data ~/runnel --json",
		Args: args(cobra.NoArgs),
	}
	o.stores = newStoresFlags(env, cmd, "missing ranges and damaged objects")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "look and tell, and change nothing")
	cmd.Flags().BoolVar(&o.unknown, "recover-unknown-topics", false, "make topics that only tier-1 objects know, as recovered-UUID; without any copy of the metastore, that is all of them")
	cmd.Flags().StringVar(&o.cluster, "cluster", "", "`id` of the lost cluster, if several have left copies in the bucket (default: that of the newest)")
	cmd.Flags().StringVar(&o.index, "index", "", "`key` of the copy to be used (default: the newest that can be read)")
	cmd.Flags().DurationVar(&o.settle, "settle", time.Minute, "for how long nothing must have been written to the bucket; 0: whatever was")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return err
		}
		c, err := o.stores.load(env)
		if err != nil {
			return err
		}
		return runRebuild(cmd.Context(), env, &o, c)
	}
	return cmd
}

func (o *rebuildOptions) check() error {
	if err := o.stores.check(); err != nil {
		return err
	}
	switch {
	case o.settle < 0:
		return usagef("--settle must not be negative")
	case o.index != "" && o.cluster != "":
		return usagef("--index names the cluster, too: leave --cluster out")
	}
	return nil
}

func runRebuild(ctx context.Context, env *environment, o *rebuildOptions, c *config.Config) (err error) {
	stores, err := node.OpenToRebuild(ctx, c, o.dryRun)
	if err != nil {
		return o.stores.notOpened(err)
	}
	defer func() { err = closeAfter(stores, err) }()
	opts := rebuild.Options{
		DryRun: o.dryRun, RecoverUnknown: o.unknown, Cluster: o.cluster, Index: o.index, Settle: o.settle, Concurrency: o.stores.concurrency, MaxFindings: o.stores.mostFound,
		Progress: new(rebuild.Progress),
	}
	if o.settle == 0 {
		opts.Settle = -1
	}
	line := startProgress(env.err, func() string { return rebuildLine(opts.Progress) })
	report, err := rebuild.Rebuild(ctx, stores.Metastore, stores.Objects, opts)
	line.close()
	if errors.Is(err, rebuild.ErrNoIndex) {
		err = fmt.Errorf("%w. Without one, nothing says what topics are called, which groups there are and where they stand: --recover-unknown-topics makes what tier-1 objects hold, under other names", err)
	}
	written := error(nil)
	switch {
	case env.json:
		written = writeJSON(env.out, rebuildJSONOf(report, err))
	case err == nil:
		written = writeRebuild(env, report)
	}
	if err = errors.Join(err, written); err != nil {
		return &unfinishedError{err}
	}
	if report.Losses() {
		return errFindings
	}
	return nil
}

// rebuildLine is what the terminal shows of a rebuild.
func rebuildLine(p *rebuild.Progress) string {
	stage, done, all := p.Stage()
	if all > 0 {
		stage += fmt.Sprintf(": %s of %s", grouped(done), grouped(all))
	}
	return stage
}
