package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/runnel-io/runnel/broker/acl"
)

func newACLExplain(env *environment) *cobra.Command {
	var host string
	cmd := &cobra.Command{
		Use:   "explain PRINCIPAL OPERATION TYPE [NAME]",
		Short: "Tell whether a principal may do something, and by which rules",
		Long: "Tell whether a principal may do something, and by which rules. The rules, super.users and allow.everyone.if.no.acl.found\n" +
			"are the broker's, and the decision is what its authorizer decides. Exit status 0 means that there is a decision, not that it is to allow.",
		Example: "  runnel acl explain User:alice write topic orders-eu --host 10.0.0.7\n  runnel acl explain User:alice create cluster",
		Args:    args(cobra.RangeArgs(3, 4)),
		ValidArgsFunction: func(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
			switch len(given) {
			case 1:
				return operationWords(false), cobra.ShellCompDirectiveNoFileComp
			case 2:
				return []string{"topic", "group", "cluster", "transactional-id", "user", "delegation-token"}, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, given []string) error {
			who, op, on, err := parseQuestion(given, host)
			if err != nil {
				return err
			}
			client, err := connect(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer client.Close()
			rules, err := describeRules(cmd.Context(), client, acl.AllRules)
			if err != nil {
				return err
			}
			authorizer, err := describeAuthorizer(cmd.Context(), kadm.NewClient(client))
			if err != nil {
				return err
			}
			return writeExplanation(env, acl.New(rules, authorizer.policy).Explain(who, op, on), authorizer)
		},
	}
	cmd.Flags().StringVar(&host, "host", acl.Wildcard, "`address` of the client; by default one that no rule names")
	return cmd
}

func parseQuestion(given []string, host string) (who acl.Client, op acl.Operation, on acl.Resource, err error) {
	who = acl.Client{Principal: given[0], Host: acl.Host(host)}
	if !strings.Contains(who.Principal, ":") {
		return who, op, on, usagef("principal %q is not of the form Type:name, such as User:%s", who.Principal, who.Principal)
	}
	if op, err = acl.ParseOperation(given[1]); err != nil {
		return who, op, on, usagef("%w", err)
	}
	if on.Type, err = acl.ParseResourceType(given[2]); err != nil {
		return who, op, on, usagef("%w", err)
	}
	switch {
	case !slices.Contains(on.Type.Operations(), op):
		return who, op, on, usagef("there is no %s on resources of type %s", op, on.Type)
	case len(given) == 4:
		on.Name = given[3]
	case on.Type == acl.Cluster:
		on.Name = acl.ClusterName
	default:
		return who, op, on, usagef("which %s?", strings.ToLower(on.Type.String()))
	}
	return who, op, on, nil
}

// authorizer is what a broker tells of how it decides.
type authorizer struct {
	policy    acl.Policy
	class     string // "": it does not decide by rules
	isUnknown bool   // what the policy is: Kafka does not tell
}

func describeAuthorizer(ctx context.Context, admin *kadm.Client) (a authorizer, err error) {
	brokers, err := admin.ListBrokers(ctx)
	if err == nil && len(brokers) == 0 {
		err = errors.New("no broker is listed")
	}
	if err != nil {
		return a, fmt.Errorf("list brokers: %w", err)
	}
	described, err := admin.DescribeBrokerConfigs(ctx, brokers.NodeIDs()[0])
	if err == nil && len(described) == 1 {
		err = described[0].Err
	}
	if err != nil {
		return a, withDetail("settings of the broker", err, "")
	}
	for _, c := range described[0].Configs {
		switch c.Key {
		case "authorizer.class.name":
			a.class = c.MaybeValue()
		case "super.users":
			a.policy.SuperUsers = acl.ParseSuperUsers(c.MaybeValue())
			a.isUnknown = a.isUnknown || c.Value == nil
		case "allow.everyone.if.no.acl.found":
			a.policy.Everybody = c.MaybeValue() == "true"
			a.isUnknown = a.isUnknown || c.Value == nil
		}
	}
	return a, nil
}

func writeExplanation(env *environment, e acl.Explanation, a authorizer) error {
	if env.json {
		return writeJSON(env.out, struct {
			Allowed    bool       `json:"allowed"`
			Reason     string     `json:"reason"`
			Text       string     `json:"text"`
			InForce    bool       `json:"in_force"` // the broker decides so
			Deciding   []ruleJSON `json:"deciding"`
			Considered []ruleJSON `json:"considered"`
		}{e.Allowed, string(e.Reason), e.Text, a.class != "", rulesJSON(e.Deciding), rulesJSON(e.Considered)})
	}
	decision := "denied"
	if e.Allowed {
		decision = "allowed"
	}
	fmt.Fprintf(env.out, "%s: %s\n", decision, e.Text)
	if len(e.Considered) > 0 {
		fmt.Fprintln(env.out, "\nRules on the resource, those that decide marked:")
	}
	for _, r := range e.Considered {
		mark := " "
		if slices.Contains(e.Deciding, r) {
			mark = "*"
		}
		fmt.Fprintf(env.out, "%s %s\n", mark, r)
	}
	if a.class == "" {
		fmt.Fprintln(env.err, "The broker does not decide by rules: everything is allowed (authorizer is not on).")
	}
	if a.isUnknown {
		fmt.Fprintln(env.err, "The broker does not tell its super.users or allow.everyone.if.no.acl.found: they are taken as unset.")
	}
	return nil
}
