package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
)

// devOptions are the flags of dev.
type devOptions struct {
	listen   string
	admin    string
	data     string
	brokers  int
	set      []string
	logLevel string
	// listeners are keys of listeners, each name.key=value, in place of listen.
	listeners []string
	// advertiseFrom is the file that will hold the addresses that clients are told; "": they are told where the brokers listen.
	advertiseFrom string
	advertised    []string           // what it held
	keys          map[string]*string // of `runnel broker`, by name
	given         func(flag string) bool
}

// devDecides are the keys that are not for the user of dev to set: dev has flags of its own for them, or decides.
var devDecides = []string{"listen", "node_id", "log.level", "admin.listen", "metastore.", "object_store.", "peer."}

func devKeys() (keys []config.Key) {
	for _, k := range config.Keys() {
		if !slices.ContainsFunc(devDecides, func(of string) bool {
			return k.Name == of || strings.HasSuffix(of, ".") && strings.HasPrefix(k.Name, of)
		}) {
			keys = append(keys, k)
		}
	}
	return keys
}

func newDev(env *environment) *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run brokers on this machine with nothing else installed",
		Long: "Run brokers on this machine, with metastore and object store in the process. Without --data everything is in\n" +
			"memory and nothing survives; with it, everything survives restarts and crashes. Environment variables and\n" +
			"configuration files of `runnel broker` do not concern it; its flags may be given here, too, such as --protocol,\n" +
			"--authorizer or --auth-bootstrap-user (docs/config.md has them), except those that say where things are stored.",
		Example: "  runnel dev\n" +
			"  runnel dev --data ~/runnel --set num.partitions=6\n" +
			"  runnel dev --brokers 3\n" +
			"  runnel dev --listen 0.0.0.0:9092 --advertise-from /address",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return runDev(cmd.Context(), env, &o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.listen, "listen", defaultBootstrap, "`address` for Kafka clients; further brokers take the ports after it")
	flags.StringVar(&o.admin, "admin", "127.0.0.1:9644", "`address` of /livez, /readyz and /metrics; further brokers take the ports after it; none if empty")
	flags.StringVar(&o.data, "data", "", "`directory` that keeps everything; memory if unset")
	flags.IntVar(&o.brokers, "brokers", 1, "number of brokers of one cluster")
	flags.StringArrayVar(&o.set, config.ClusterFlag, nil, setUsageText)
	flags.StringVar(&o.logLevel, "log-level", "warn", "`level` of the least severe messages that are logged: debug, info, warn or error")
	flags.StringVar(&o.advertiseFrom, "advertise-from", "",
		"`file` that holds the address that clients are told, host:port and a line break, of each broker; waited for, for a minute at most")
	flags.StringArrayVar(&o.listeners, config.ListenerFlag, nil, listenerUsageText+"; in place of --listen")
	o.keys, o.given = make(map[string]*string), flags.Changed
	for _, k := range devKeys() {
		o.keys[k.Name] = keyFlag(cmd, k)
		flags.Lookup(k.Flag()).Hidden = true // there are too many
	}
	completeWords(cmd, "log-level", "debug", "info", "warn", "error")
	if err := cobra.MarkFlagDirname(flags, "data"); err != nil {
		panic(err)
	}
	return cmd
}

// configs makes the configuration of each broker.
func (o *devOptions) configs() ([]*config.Config, error) {
	if o.brokers < 1 || o.brokers > 100 {
		return nil, usagef("--brokers must be between 1 and 100")
	}
	if err := o.checkAdvertised(); err != nil {
		return nil, err
	}
	metastore, objects := "memory://", "memory://"
	if o.data != "" {
		var err error
		if metastore, objects, err = config.InDirectory(o.data); err != nil {
			return nil, usagef("--data: %w", err)
		}
	}
	var configs []*config.Config
	for i := range o.brokers {
		loaded, err := o.load(i, metastore, objects)
		if err != nil {
			return nil, err
		}
		configs = append(configs, &loaded.Config)
	}
	return configs, nil
}

// load makes the configuration of one broker.
func (o *devOptions) load(i int, metastore, objects string) (*config.Loaded, error) {
	listen, err := following(o.listen, i)
	if err != nil {
		return nil, usagef("--listen: %w", err)
	}
	admin, err := following(o.admin, i)
	if err != nil {
		return nil, usagef("--admin: %w", err)
	}
	src := config.Sources{Set: o.set, Listener: o.listeners, Flags: map[string]string{
		"listen": listen, "admin.listen": admin, "node_id": strconv.Itoa(i), "metastore.url": metastore, "object_store.url": objects,
		"log.level": o.logLevel,
		// Uploads cost nothing here, and people who try a client should not wait for them.
		"linger.max": "10ms", "linger.min": "1ms", "drain.timeout": "10s",
		// Nor is there anything to go back to, while memory and disk are small.
		"garbage.grace": "10m", "compaction.memory": "48MiB",
	}}
	for _, k := range devKeys() {
		if o.keys[k.Name] != nil && o.given(k.Flag()) {
			src.Flags[k.Name] = *o.keys[k.Name]
		}
	}
	first := src.Flags["advertise"]
	if _, isAuto, _ := config.ParseAuto(first); first != "" && !isAuto {
		if src.Flags["advertise"], err = following(first, i); err != nil {
			return nil, usagef("--advertise: %w", err)
		}
	}
	if i < len(o.advertised) {
		o.advertise(&src, o.advertised[i])
	}
	if len(o.listeners) > 0 {
		delete(src.Flags, "listen")
	}
	loaded, err := config.Load(src)
	if err != nil {
		return nil, &usageError{listProblems(err)}
	}
	return loaded, nil
}

// following returns the address whose port lies n after that of the first; port 0 chooses for each.
func following(first string, n int) (string, error) {
	if first == "" {
		return "", nil
	}
	host, text, err := net.SplitHostPort(first)
	if err != nil {
		return "", fmt.Errorf("%q must be host:port", first)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port+uint64(n) > 65535 {
		return "", fmt.Errorf("%q must have a port between 0 and 65535, also for the last broker", first)
	}
	if port == 0 {
		n = 0
	}
	return net.JoinHostPort(host, strconv.FormatUint(port+uint64(n), 10)), nil
}

func runDev(ctx context.Context, env *environment, o *devOptions) (err error) {
	configs, err := o.configs() // before the wait: a mistake is told at once
	if err == nil && o.advertiseFrom != "" {
		if o.advertised, err = awaitAddresses(ctx, o.advertiseFrom, o.brokers); err == nil {
			configs, err = o.configs()
		}
	}
	if err != nil {
		return err
	}
	log, level := newLogger(env, configs[0].Log)
	for _, c := range configs {
		if err := node.Locate(ctx, c, log); err != nil {
			return err
		}
	}
	stores, err := node.OpenStores(ctx, configs[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stores.Close()) }()
	nodes, err := openNodes(ctx, configs, stores, log, level)
	if err != nil {
		return err
	}
	running, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		running.Go(func() error { return n.Run(ctx) })
	}
	running.Go(func() error {
		if !awaitReady(ctx, nodes) {
			return nil // the brokers stop, and say why if it is not the user's wish
		}
		return printWelcome(env, o, nodes)
	})
	if err := running.Wait(); err != nil {
		return fmt.Errorf("run brokers: %w", err)
	}
	return nil
}

// openNodes binds the addresses of all brokers, so that a port that is taken ends the command before any of them runs.
func openNodes(ctx context.Context, configs []*config.Config, stores *node.Stores, log *slog.Logger, level *slog.LevelVar) ([]*node.Node, error) {
	var nodes []*node.Node
	for i, c := range configs {
		n, err := node.Open(ctx, node.Options{Config: c, Stores: stores, Version: readBuild().Version, Logger: log.With("broker", i), LogLevel: level})
		if err != nil {
			return nil, fmt.Errorf("start broker %d: %w", i, err)
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// awaitReady waits until every broker serves clients and knows the others; false if ctx ended before.
func awaitReady(ctx context.Context, nodes []*node.Node) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, n := range nodes {
		for n.Ready() != "" || !knows(ctx, n, len(nodes)) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return false
			}
		}
	}
	return true
}

// knows asks a broker, as a client does, whether it knows so many.
func knows(ctx context.Context, n *node.Node, brokers int) bool {
	if brokers == 1 {
		return true
	}
	admin, err := connectAdmin(ctx, &environment{bootstrap: reachable(n.Addr())})
	if err != nil {
		return false
	}
	defer admin.Close()
	metadata, err := admin.BrokerMetadata(ctx)
	return err == nil && len(metadata.Brokers) >= brokers
}
