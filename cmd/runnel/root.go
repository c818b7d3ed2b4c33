package main

import (
	"errors"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// environment is what commands take from the process, and the flags that they share.
type environment struct {
	in      io.Reader
	out     io.Writer
	err     io.Writer
	getenv  func(string) string
	environ func() []string
	proc    string // where Linux shows processes; "": other processes are not looked at

	bootstrap string
	login     login
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
		Args:          noCommand,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(env.out)
	root.SetErr(env.err)
	// Not cobra's own: its templates make the linker keep every method of every type, a fifth of the binary.
	version := root.Flags().BoolP("version", "v", false, "version for runnel")
	root.RunE = func(cmd *cobra.Command, given []string) error {
		if *version {
			return printVersion(env)
		}
		return help(cmd, given)
	}
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(newHelp())
	setUsage(env, root)
	root.AddGroup(&cobra.Group{ID: "server", Title: "Run brokers:"}, &cobra.Group{ID: "client", Title: "Use a cluster (any that speaks Kafka's protocol):"})
	addTo(root, "client", newTopic(env), newProduce(env), newConsume(env), newGroup(env), newTxn(env), newCluster(env), newUser(env), newACL(env), newQuota(env), newBench(env))
	addTo(root, "server", serverCommands(env)...)
	root.AddCommand(newVersion(env), newDocs(env))
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
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
	loginFlags(env, cmd)
	flags.BoolVar(&env.json, "json", false, "write JSON")
	flags.BoolVar(&env.verbose, "verbose", false, "log what the client does to standard error")
	return cmd
}

// flagError tells of a flag that does not exist or has a wrong value.
func flagError(cmd *cobra.Command, err error) error {
	if invalid := (*pflag.InvalidValueError)(nil); errors.As(err, &invalid) {
		number := (*strconv.NumError)(nil)
		if errors.As(err, &number) { // which speaks of functions of the Go library
			return usagef("invalid value %q for --%s: must be a number%s", invalid.GetValue(), invalid.GetFlag().Name,
				map[bool]string{true: " that is not so large"}[errors.Is(number, strconv.ErrRange)])
		}
	}
	return usagef("%w (see %q)", err, cmd.CommandPath()+" --help")
}

// args turns a mistake in the number of arguments into a usage error.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if check(cmd, given) == nil {
			return nil
		}
		if len(given) == 0 {
			return usagef("an argument is missing; usage: %s", cmd.UseLine())
		}
		accepted := len(given) - 1 // the most that are not too many
		for accepted > 0 && check(cmd, given[:accepted]) != nil {
			accepted--
		}
		return usagef("unexpected argument %q; usage: %s", given[accepted], cmd.UseLine())
	}
}

// noCommand is the check of a command that only holds others: an argument is the name of none of them.
func noCommand(cmd *cobra.Command, given []string) error {
	if len(given) == 0 {
		return nil
	}
	return unknownCommand(cmd, given[0])
}

func unknownCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return usagef("unknown command %q for %q (did you mean %q?)", name, cmd.CommandPath(), near[0])
	}
	return usagef("unknown command %q for %q (see %q)", name, cmd.CommandPath(), cmd.CommandPath()+" --help")
}

func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// parent makes a command that only holds others.
func parent(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  noCommand,
		RunE:  help,
	}
	cmd.AddCommand(children...)
	return cmd
}
