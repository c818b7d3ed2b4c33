package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
)

func newBroker(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "Run a broker of a cluster",
		Long: "Run a broker of a cluster: any number of them share a metastore and an object store. It starts while those are\n" +
			"down, says why it is not ready at /readyz, and joins when they come up. SIGTERM drains it, a second one ends it.\n" +
			"Every key of the configuration file is a flag and an environment variable, too: see docs/config.md.",
		Example: "  runnel broker --config /etc/runnel.yaml\n" +
			"  RUNNEL_METASTORE_URL=postgres://runnel@db/runnel runnel broker --object-store-url s3://bucket/runnel",
		Args: args(cobra.NoArgs),
	}
	flags := newConfigFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		loaded, err := flags.load(env)
		if err != nil {
			return err
		}
		log, level := newLogger(env, loaded.Config.Log)
		for _, w := range loaded.Warnings {
			log.Warn("configuration", "warning", w)
		}
		return runBroker(cmd.Context(), env, &loaded.Config, log, level)
	}
	return cmd
}

func runBroker(ctx context.Context, env *environment, c *config.Config, log *slog.Logger, level *slog.LevelVar) (err error) {
	version := readBuild().Version
	log.Info("starting", "version", version, "metastore", config.RedactURL(c.Metastore.URL), "object_store", config.RedactURL(c.ObjectStore.URL), "zone", c.Zone)
	if !c.Peer.Enabled() {
		log.Info("no port for other brokers: this one appends to the commit log and reads from the object store on its own; " +
			"set peer.secret and peer.listen if there are others")
	}
	if err := node.Locate(ctx, c, log); err != nil {
		return err
	}
	stores, err := node.OpenStores(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stores.Close()) }()
	n, err := node.Open(ctx, node.Options{Config: c, Stores: stores, Version: version, Logger: log, LogLevel: level})
	if err != nil {
		return err
	}
	stop := boundMemory(ctx, n.Memory, env.getenv("GOMEMLIMIT"))
	defer stop()
	if err := n.Run(ctx); err != nil {
		return fmt.Errorf("run broker: %w", err)
	}
	log.Info("stopped")
	return nil
}

// newLogger makes the process's log, on standard error, and its level, which may be changed.
func newLogger(env *environment, c config.Log) (*slog.Logger, *slog.LevelVar) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level := new(slog.LevelVar)
	level.Set(levels[c.Level])
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(env.err, options)), level
	}
	return slog.New(slog.NewTextHandler(env.err, options)), level
}
