package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/batching/rebuild"
	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
)

// rebuildOptions are the flags of rebuild beside those of a broker's configuration.
type rebuildOptions struct {
	data    string
	cluster string
	index   string
	dryRun  bool
	unknown bool
	settle  time.Duration
	at      int
	most    int
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
	flags := newConfigFlags(cmd)
	flags.show(append([]string{"metastore.url"}, objectStoreKeys...)...)
	cmd.Flags().StringVar(&o.data, "data", "", "`directory` of `runnel dev --data`, in place of a configuration")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "look and tell, and change nothing")
	cmd.Flags().BoolVar(&o.unknown, "recover-unknown-topics", false, "make topics that only tier-1 objects know, as recovered-UUID; without any copy of the metastore, that is all of them")
	cmd.Flags().StringVar(&o.cluster, "cluster", "", "`id` of the lost cluster, if several have left copies in the bucket (default: that of the newest)")
	cmd.Flags().StringVar(&o.index, "index", "", "`key` of the copy to be used (default: the newest that can be read)")
	cmd.Flags().DurationVar(&o.settle, "settle", time.Minute, "for how long nothing must have been written to the bucket; 0: whatever was")
	cmd.Flags().IntVar(&o.at, "concurrency", 16, "objects that are read at the same time")
	cmd.Flags().IntVar(&o.most, "max-findings", 1000, "missing ranges and damaged objects that are told in full; further ones are counted")
	cmd.Flags().BoolVar(&env.json, "json", false, "write JSON")
	if err := cobra.MarkFlagDirname(cmd.Flags(), "data"); err != nil {
		panic(err)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := o.config(env, flags)
		if err != nil {
			return err
		}
		return runRebuild(cmd.Context(), env, &o, c)
	}
	return cmd
}

func (o *rebuildOptions) config(env *environment, flags *configFlags) (*config.Config, error) {
	switch {
	case o.at < 1 || o.at > 1000:
		return nil, usagef("--concurrency must be between 1 and 1000")
	case o.most < 0:
		return nil, usagef("--max-findings must not be negative")
	case o.settle < 0:
		return nil, usagef("--settle must not be negative")
	case o.index != "" && o.cluster != "":
		return nil, usagef("--index names the cluster, too: leave --cluster out")
	}
	if o.data != "" {
		dir, err := filepath.Abs(o.data)
		if err != nil {
			return nil, usagef("--data: %w", err)
		}
		var c config.Config
		c.Metastore.URL, c.ObjectStore.URL = "file://"+filepath.Join(dir, "metastore"), "file://"+filepath.Join(dir, "objects")
		return &c, nil
	}
	loaded, err := flags.load(env)
	if err != nil {
		return nil, err
	}
	return &loaded.Config, nil
}

func runRebuild(ctx context.Context, env *environment, o *rebuildOptions, c *config.Config) (err error) {
	stores, err := node.OpenToRebuild(ctx, c, o.dryRun)
	if err != nil {
		switch {
		case node.InUse(err):
			err = fmt.Errorf("%w: stop the broker first, which has it for itself", err)
		case o.data != "" && errors.Is(err, fs.ErrNotExist):
			err = fmt.Errorf("%s is no directory of `runnel dev --data`: %w", o.data, err)
		}
		return &unfinishedError{err}
	}
	defer func() {
		if closed := stores.Close(); closed != nil {
			err = &unfinishedError{errors.Join(err, closed)}
		}
	}()
	opts := rebuild.Options{
		DryRun: o.dryRun, RecoverUnknown: o.unknown, Cluster: o.cluster, Index: o.index, Settle: o.settle, Concurrency: o.at, MaxFindings: o.most,
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
