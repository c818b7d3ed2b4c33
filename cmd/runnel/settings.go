package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	brokersettings "github.com/runnel-io/runnel/broker/settings"
)

// configured is what `config show`, `set` and `unset` are about: the brokers, or something that is named.
type configured struct {
	kind  kmsg.ConfigResourceType
	noun  string // of what is named, for help; "" for the brokers
	names func(context.Context, *kadm.Client) ([]string, error)
	hint  string // of an example: a setting and its value
}

func newSettings(env *environment, of configured) *cobra.Command {
	whose := "a " + of.noun
	if of.noun == "" {
		whose = "all brokers, or of one, while they run"
	}
	return parent("config", "Show and change settings of "+whose, newSettingsShow(env, of, whose), newSettingsSet(env, of, whose), newSettingsUnset(env, of, whose))
}

// usage begins a command's usage line: with the name, if there is one.
func (c configured) usage(command, rest string) string {
	return strings.TrimSpace(strings.Join(slices.DeleteFunc([]string{command, strings.ToUpper(c.noun), rest}, func(s string) bool { return s == "" }), " "))
}

// command adds what all three have: a flag for the broker, or completion of the name. It returns what tells the resource
// and the arguments after its name.
func (c configured) command(env *environment, cmd *cobra.Command, least int) (resource func(given []string) (string, []string, error)) {
	if c.noun != "" {
		cmd.Args = args(cobra.MinimumNArgs(1 + least))
		cmd.ValidArgsFunction = completeNames(env, 1, c.names)
		return func(given []string) (string, []string, error) { return given[0], given[1:], nil }
	}
	cmd.Args = args(cobra.MinimumNArgs(least))
	broker := cmd.Flags().Int32("broker", -1, "node id of one broker; default: all brokers")
	return func(given []string) (string, []string, error) {
		switch {
		case !cmd.Flags().Changed("broker"):
			return "", given, nil
		case *broker < 0:
			return "", nil, usagef("--broker must be a node id, 0 or more")
		}
		return strconv.Itoa(int(*broker)), given, nil
	}
}

func newSettingsShow(env *environment, of configured, whose string) *cobra.Command {
	var all bool
	cmd := &cobra.Command{Use: of.usage("show", ""), Short: "Show settings of " + whose}
	resource := of.command(env, cmd, 0)
	cmd.Flags().BoolVar(&all, "all", false, "show what nobody has set, too")
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		name, rest, err := resource(given)
		if err != nil {
			return err
		}
		if len(rest) > 0 {
			return usagef("unexpected argument %q; usage: %s", rest[0], cmd.UseLine())
		}
		client, err := connect(cmd.Context(), env)
		if err != nil {
			return err
		}
		defer client.Close()
		described, err := describeSettings(cmd.Context(), client, of.kind, name)
		if err != nil {
			return err
		}
		settings := listSettings(described[0], all)
		if env.json {
			return writeJSON(env.out, settings)
		}
		return writeSettings(env, settings)
	}
	return cmd
}

func newSettingsSet(env *environment, of configured, whose string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     of.usage("set", "NAME=VALUE..."),
		Short:   "Set settings of " + whose,
		Example: "  " + strings.Join(strings.Fields("runnel "+parentOf(of)+" config set "+exampleName(of)+" "+of.hint), " "),
	}
	resource := of.command(env, cmd, 1)
	checkOnly := cmd.Flags().Bool("validate-only", false, "ask whether it would work and change nothing")
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		name, pairs, err := resource(given)
		if err != nil {
			return err
		}
		var changes []kmsg.IncrementalAlterConfigsRequestResourceConfig
		for _, pair := range pairs {
			key, value, ok := strings.Cut(pair, "=")
			if !ok || key == "" {
				return usagef("%q is not of the form name=value", pair)
			}
			changes = append(changes, settingChange(key, kmsg.IncrementalAlterConfigOpSet, &value))
		}
		return alterSettings(cmd.Context(), env, of, name, changes, *checkOnly)
	}
	return cmd
}

func newSettingsUnset(env *environment, of configured, whose string) *cobra.Command {
	cmd := &cobra.Command{Use: of.usage("unset", "NAME..."), Short: "Give settings of " + whose + " their defaults again"}
	resource := of.command(env, cmd, 1)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		name, keys, err := resource(given)
		if err != nil {
			return err
		}
		var changes []kmsg.IncrementalAlterConfigsRequestResourceConfig
		for _, key := range keys {
			changes = append(changes, settingChange(key, kmsg.IncrementalAlterConfigOpDelete, nil))
		}
		return alterSettings(cmd.Context(), env, of, name, changes, false)
	}
	return cmd
}

func parentOf(of configured) string {
	if of.noun == "" {
		return "cluster"
	}
	return of.noun
}

func exampleName(of configured) string {
	return map[string]string{"topic": "orders", "group": "billing"}[of.noun]
}

func settingChange(name string, op kmsg.IncrementalAlterConfigOp, value *string) kmsg.IncrementalAlterConfigsRequestResourceConfig {
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Op, c.Value = name, op, value
	return c
}

func alterSettings(ctx context.Context, env *environment, of configured, name string, changes []kmsg.IncrementalAlterConfigsRequestResourceConfig, checkOnly bool) error {
	client, err := connect(ctx, env)
	if err != nil {
		return err
	}
	defer client.Close()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.Configs = of.kind, name, changes
	req.Resources, req.ValidateOnly = append(req.Resources, r), checkOnly
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("alter settings of %s: %w", resourceText(of.kind, name), err)
	}
	for _, r := range resp.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return withDetail(resourceText(of.kind, name), err, deref(r.ErrorMessage))
		}
	}
	if env.json {
		return writeJSON(env.out, map[string]any{"resource": resourceText(of.kind, name), "settings": len(changes), "changed": !checkOnly})
	}
	done := "changed"
	if checkOnly {
		done = "could change"
	}
	fmt.Fprintf(env.out, "%s: %s %s\n", resourceText(of.kind, name), done, plural(int64(len(changes)), "setting", "settings"))
	if checkOnly {
		return nil
	}
	described, err := describeSettings(ctx, client, of.kind, name)
	if err != nil {
		return err
	}
	for _, s := range listSettings(described[0], true) {
		set := slices.ContainsFunc(changes, func(c kmsg.IncrementalAlterConfigsRequestResourceConfig) bool {
			return c.Name == s.Name && c.Op == kmsg.IncrementalAlterConfigOpSet
		})
		if set && s.Note != "" {
			fmt.Fprintf(env.out, "%s: %s\n", s.Name, s.Note)
		}
	}
	return nil
}

func resourceText(kind kmsg.ConfigResourceType, name string) string {
	switch {
	case kind == kmsg.ConfigResourceTypeTopic:
		return "topic " + name
	case kind == kmsg.ConfigResourceTypeGroupConfig:
		return "group " + name
	case name == "":
		return "all brokers"
	}
	return "broker " + name
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// describeSettings asks for settings of resources, with what the brokers say about them.
func describeSettings(ctx context.Context, client *kgo.Client, kind kmsg.ConfigResourceType, names ...string) ([]kmsg.DescribeConfigsResponseResource, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeDocumentation = true
	for _, name := range names {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kind, name
		req.Resources = append(req.Resources, r)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("describe settings: %w", err)
	}
	var errs []error
	for _, r := range resp.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			errs = append(errs, withDetail(resourceText(kind, r.ResourceName), err, deref(r.ErrorMessage)))
		}
	}
	return resp.Resources, errors.Join(errs...)
}

type settingJSON struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`
	Note   string `json:"note,omitempty"` // what Runnel does differently
}

// listSettings are those that somebody set, or all. Of a topic, those that were set on it.
func listSettings(of kmsg.DescribeConfigsResponseResource, all bool) []settingJSON {
	settings := []settingJSON{}
	for _, s := range of.Configs {
		own := s.Source == kmsg.ConfigSourceDynamicTopicConfig
		if of.ResourceType != kmsg.ConfigResourceTypeTopic {
			own = s.Source != kmsg.ConfigSourceDefaultConfig
		}
		if !all && !own {
			continue
		}
		_, note, _ := strings.Cut(deref(s.Documentation), brokersettings.NoteMark)
		settings = append(settings, settingJSON{s.Name, deref(s.Value), sourceText(s.Source), note})
	}
	slices.SortFunc(settings, func(a, b settingJSON) int { return strings.Compare(a.Name, b.Name) })
	return settings
}

func sourceText(s kmsg.ConfigSource) string {
	switch s {
	case kmsg.ConfigSourceDynamicTopicConfig:
		return "topic"
	case kmsg.ConfigSourceDynamicBrokerConfig:
		return "broker, live"
	case kmsg.ConfigSourceDynamicDefaultBrokerConfig:
		return "all brokers, live"
	case kmsg.ConfigSourceGroupConfig:
		return "group"
	case kmsg.ConfigSourceDefaultConfig:
		return "default"
	default:
		return "broker"
	}
}

func writeSettings(env *environment, list []settingJSON) error {
	t := newTable(env.out, "SETTING", "VALUE", "SET BY", "")
	for _, s := range list {
		t.row(s.Name, s.Value, s.Source, s.Note)
	}
	return t.flush()
}
