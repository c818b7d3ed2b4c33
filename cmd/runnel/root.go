package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// environment is what commands take from the process, and the flags that they share.
type environment struct {
	in      io.Reader
	out     io.Writer
	err     io.Writer
	getenv  func(string) string
	environ func() []string

	bootstrap string
	json      bool
	verbose   bool
}

// defaultBootstrap is where dev listens and clients look.
const defaultBootstrap = "127.0.0.1:9092"

// isTerminal tells whether a stream is a terminal: only those get progress and prompts.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func newRoot(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use:           "runnel",
		Short:         "A Kafka-protocol broker on an object store, and tools for any Kafka cluster",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(env.out)
	root.SetErr(env.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w (see %q)", err, cmd.CommandPath()+" --help")
	})
	root.AddGroup(&cobra.Group{ID: "server", Title: "Run brokers:"}, &cobra.Group{ID: "client", Title: "Use a cluster (any that speaks Kafka's protocol):"})
	addTo(root, "client", newTopic(env), newProduce(env), newConsume(env), newGroup(env), newCluster(env), newBench(env))
	addTo(root, "server", serverCommands(env)...)
	root.AddCommand(newVersion(env), newDocs(env))
	return root
}

func addTo(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// clientFlags gives a command, and those below it, what every client command takes.
func clientFlags(env *environment, cmd *cobra.Command) *cobra.Command {
	bootstrap := env.getenv("RUNNEL_BOOTSTRAP")
	if bootstrap == "" {
		bootstrap = defaultBootstrap
	}
	flags := cmd.PersistentFlags()
	flags.StringVarP(&env.bootstrap, "bootstrap", "b", bootstrap, "brokers to ask first, host:port separated by commas (RUNNEL_BOOTSTRAP)")
	flags.BoolVar(&env.json, "json", false, "write JSON")
	flags.BoolVar(&env.verbose, "verbose", false, "log what the client does to standard error")
	return cmd
}

// args turns a mistake in the number of arguments into a usage error.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := check(cmd, given); err != nil {
			return usagef("%w: %s", err, cmd.UseLine())
		}
		return nil
	}
}

// parent makes a command that only holds others.
func parent(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	cmd.AddCommand(children...)
	return cmd
}
