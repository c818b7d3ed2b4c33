package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/runnel-io/runnel/broker/acl"
)

func newACL(env *environment) *cobra.Command {
	return clientFlags(env, parent("acl", "Create, list, delete and explain access rules",
		newACLCreate(env), newACLList(env), newACLDelete(env), newACLExplain(env)))
}

func newACLCreate(env *environment) *cobra.Command {
	var file string
	var flags ruleFlags
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create access rules",
		Long: "Create access rules: one for each combination of what the flags name, or those of a file.\n" +
			"A rule that is there already stays. Rules that deny outweigh those that allow, super users are outside of all.",
		Example: "  runnel acl create --allow User:alice --operation read --topic orders- --pattern prefixed\n" +
			"  runnel acl create --deny 'User:*' --operation all --topic payroll --host 10.0.0.7\n" +
			"  runnel acl list --format rules > rules && runnel acl create --file rules --bootstrap other:9092",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rules, err := flags.rules()
			if file != "" {
				if flags.given(cmd) {
					return usagef("--file does not go with flags that name rules")
				}
				rules, err = readRulesFile(env, file)
			}
			if err != nil {
				return err
			}
			client, err := connect(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer client.Close()
			created, err := createRules(cmd.Context(), client, rules)
			return errors.Join(err, writeChanged(env, "created", created))
		},
	}
	flags.add(env, cmd)
	cmd.Flags().StringVarP(&file, "file", "f", "", "create the rules of a `file`, one a line (as list --format rules prints them); - is standard input")
	completeFiles(cmd, "file")
	return cmd
}

func readRulesFile(env *environment, file string) ([]acl.Rule, error) {
	text, err := readText(env, file)
	if err != nil {
		return nil, err
	}
	rules, err := acl.ParseRules(text)
	if err != nil {
		return nil, usagef("%s: %w", file, err)
	}
	if len(rules) == 0 {
		return nil, usagef("%s has no rules", file)
	}
	return rules, nil
}

func newACLList(env *environment) *cobra.Command {
	var format string
	var flags filterFlags
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List access rules",
		Example: "  runnel acl list --topic orders-eu --pattern match\n  runnel acl list --principal User:alice --format rules",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "table" && format != "rules" {
				return usagef("--format must be table or rules")
			}
			filter, err := flags.filter(cmd)
			if err != nil {
				return err
			}
			client, err := connect(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer client.Close()
			rules, err := describeRules(cmd.Context(), client, filter)
			if err != nil {
				return err
			}
			return writeRules(env, format, rules)
		},
	}
	flags.add(env, cmd)
	cmd.Flags().StringVar(&format, "format", "table", "table, or rules: one a line, as create --file and the key authorizer_shadow_rules take them")
	completeWords(cmd, "format", "table", "rules")
	return cmd
}

func newACLDelete(env *environment) *cobra.Command {
	var all bool
	var flags filterFlags
	cmd := &cobra.Command{
		Use:   "delete",
		Short: "Delete access rules",
		Long:  "Delete the access rules that the flags pick: those that list shows with the same flags.",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.given(cmd) == all {
				return usagef("name the rules by flags, or give --all alone")
			}
			filter, err := flags.filter(cmd)
			if err != nil {
				return err
			}
			client, err := connect(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer client.Close()
			deleted, err := deleteRules(cmd.Context(), client, filter)
			if err != nil {
				return err
			}
			return writeChanged(env, "deleted", deleted)
		},
	}
	flags.add(env, cmd)
	cmd.Flags().BoolVar(&all, "all", false, "delete all rules")
	return cmd
}

// readText returns the content of a file, or of standard input for "-".
func readText(env *environment, file string) (string, error) {
	read := func() ([]byte, error) { return os.ReadFile(file) }
	if file == "-" {
		read = func() ([]byte, error) { return readLimited(env.in) }
	}
	text, err := read()
	if err != nil {
		return "", usagef("%w", err)
	}
	return string(text), nil
}

type ruleJSON struct {
	ResourceType string `json:"resource_type"`
	Pattern      string `json:"pattern"`
	Name         string `json:"name"`
	Permission   string `json:"permission"`
	Operation    string `json:"operation"`
	Host         string `json:"host"`
	Principal    string `json:"principal"`
}

func rulesJSON(rules []acl.Rule) []ruleJSON {
	all := []ruleJSON{}
	for _, r := range rules {
		all = append(all, ruleJSON{r.Type.String(), r.Pattern.String(), r.Name, r.Permission.String(), r.Operation.String(), r.Host, r.Principal})
	}
	return all
}

func writeRules(env *environment, format string, rules []acl.Rule) error {
	if env.json {
		return writeJSON(env.out, rulesJSON(rules))
	}
	if format == "rules" {
		for _, r := range rules {
			fmt.Fprintln(env.out, r)
		}
		return nil
	}
	t := newTable(env.out, "RESOURCE", "PATTERN", "NAME", "PERMISSION", "OPERATION", "HOST", "PRINCIPAL")
	for _, r := range rules {
		t.row(r.Type, r.Pattern, cell(r.Name), r.Permission, r.Operation, cell(r.Host), cell(r.Principal))
	}
	return t.flush()
}

// cell is a text that a table can hold.
func cell(s string) string {
	for _, c := range s {
		if c < ' ' {
			return fmt.Sprintf("%q", s)
		}
	}
	return s
}

func writeChanged(env *environment, done string, rules []acl.Rule) error {
	if env.json {
		return writeJSON(env.out, map[string][]ruleJSON{done: rulesJSON(rules)})
	}
	for _, r := range rules {
		fmt.Fprintf(env.out, "%s %s\n", done, r)
	}
	if len(rules) == 0 && done == "deleted" {
		fmt.Fprintln(env.err, "no rule is picked by the flags")
	}
	return nil
}

// ruleError names the rule that could not be created.
func ruleError(r acl.Rule, code int16, detail *string) error {
	text := ""
	if detail != nil {
		text = *detail
	}
	return withDetail(r.String(), kerr.ErrorForCode(code), text)
}
