package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/runnel-io/runnel/broker/config"
)

// configFlags are the flags of a broker's configuration: one for each key.
type configFlags struct {
	file   string
	values map[string]*string // by key name
	set    []string
	// listeners are keys of listeners, each name.key=value.
	listeners []string
	flags     *pflag.FlagSet
}

func newConfigFlags(cmd *cobra.Command) *configFlags {
	flags := cmd.Flags()
	c := &configFlags{values: make(map[string]*string), flags: flags}
	flags.StringVarP(&c.file, "config", "c", "", "configuration `file` (RUNNEL_CONFIG)")
	completeFiles(cmd, "config", "yaml", "yml")
	for _, k := range config.Keys() {
		c.values[k.Name] = keyFlag(cmd, k)
	}
	flags.StringArrayVar(&c.listeners, config.ListenerFlag, nil, listenerUsageText)
	flags.StringArrayVar(&c.set, config.ClusterFlag, nil, setUsageText)
	return c
}

// keyFlag gives a command the flag of a key, and returns what holds its text.
func keyFlag(cmd *cobra.Command, k config.Key) *string {
	usage := strings.ReplaceAll(k.Doc, "`", "")
	// The flag itself has no default: only one that was given may win over file and environment.
	value := &configValueFlag{kind: k.Kind.String()}
	words := k.Words()
	if len(words) > 0 {
		value.kind, usage = "word", usage+" One of "+k.Kind.String()+"."
	}
	if k.Default != "" {
		usage += " (default " + k.Default + ")"
	}
	cmd.Flags().Var(value, k.Flag(), usage)
	cmd.Flags().Lookup(k.Flag()).NoOptDefVal = k.Bare
	if len(words) > 0 {
		completeWords(cmd, k.Flag(), words...)
	}
	return &value.text
}

// listenerUsageText says what the flag listener is for.
const listenerUsageText = "key of a listener, as `internal.listen=0.0.0.0:9092`; may be repeated"

// setUsageText says what the flag set is for. Help takes the quoted word for the form of the value.
const setUsageText = "cluster default by its Kafka name, as `num.partitions=3`; may be repeated"

// configValueFlag is the text of a key's value; help shows its kind.
type configValueFlag struct{ text, kind string }

func (f *configValueFlag) String() string { return f.text }
func (f *configValueFlag) Type() string   { return f.kind }

func (f *configValueFlag) Set(text string) error {
	f.text = text
	return nil
}

// show hides the flags of all other keys from help: the command takes them, to share configurations with brokers, and
// does not look at them.
func (c *configFlags) show(names ...string) {
	hidden := []string{config.ClusterFlag, config.ListenerFlag}
	for _, k := range config.Keys() {
		if !slices.Contains(names, k.Name) {
			hidden = append(hidden, k.Flag())
		}
	}
	for _, name := range hidden {
		c.flags.Lookup(name).Hidden = true
	}
}

// load resolves the configuration from file, environment and flags. Optional are required keys that the command can do
// without.
func (c *configFlags) load(env *environment, optional ...string) (*config.Loaded, error) {
	return c.loadFrom(env, config.Sources{Optional: optional})
}

// loadOnly resolves these keys alone, whatever is wrong with others or missing beside them.
func (c *configFlags) loadOnly(env *environment, names ...string) (*config.Loaded, error) {
	return c.loadFrom(env, config.Sources{Only: names})
}

func (c *configFlags) loadFrom(env *environment, src config.Sources) (*config.Loaded, error) {
	src.FileName, src.Env, src.Flags, src.Set, src.Listener = c.file, env.environ(), make(map[string]string), c.set, c.listeners
	if src.FileName == "" {
		src.FileName = env.getenv("RUNNEL_CONFIG")
	}
	if src.FileName != "" {
		data, err := os.ReadFile(src.FileName)
		if err != nil {
			return nil, usagef("read configuration: %w", err)
		}
		src.File = append([]byte{}, data...) // not nil, though it may be empty
	}
	for _, k := range config.Keys() {
		if c.flags.Changed(k.Flag()) {
			src.Flags[k.Name] = *c.values[k.Name]
		}
	}
	loaded, err := config.Load(src)
	if err != nil {
		return nil, &usageError{listProblems(err)}
	}
	return loaded, nil
}

// listProblems writes all mistakes of a configuration, one a line.
func listProblems(err error) error {
	lines := strings.Split(err.Error(), "\n")
	if len(lines) == 1 {
		return err
	}
	return errors.New(fmt.Sprintf("the configuration has %d mistakes:\n  ", len(lines)) + strings.Join(lines, "\n  "))
}

func newConfig(env *environment) *cobra.Command {
	return parent("config", "Check and show a broker's configuration", newConfigCheck(env), newConfigPrint(env))
}

func newConfigCheck(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Tell all mistakes of a configuration without starting a broker",
		Args:  args(cobra.NoArgs),
	}
	flags := newConfigFlags(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		loaded, err := flags.load(env)
		if err != nil {
			return err
		}
		for _, w := range loaded.Warnings {
			fmt.Fprintln(env.err, "warning: "+w)
		}
		fmt.Fprintln(env.out, "ok")
		return nil
	}
	return cmd
}

func newConfigPrint(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Show a configuration with the origin of each value, without secrets",
		Args:  args(cobra.NoArgs),
	}
	flags := newConfigFlags(cmd)
	effective := cmd.Flags().Bool("effective", false, "show defaults, too")
	cmd.Flags().BoolVar(&env.json, "json", false, "write JSON")
	cmd.RunE = func(*cobra.Command, []string) error {
		loaded, err := flags.load(env)
		if err != nil {
			return err
		}
		if env.json {
			return writeJSON(env.out, configJSON(loaded, *effective))
		}
		return loaded.WriteYAML(env.out, *effective)
	}
	return cmd
}

// configValue is one value of `config print --json`.
type configValue struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
}

func configJSON(loaded *config.Loaded, effective bool) []configValue {
	values := []configValue{}
	for _, v := range loaded.Values {
		if effective || !v.Default {
			values = append(values, configValue{v.Key, v.Text, v.Origin})
		}
	}
	return values
}
