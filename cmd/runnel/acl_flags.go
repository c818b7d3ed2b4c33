package main

import (
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/broker/acl"
)

// mostRulesInput bounds what is read from standard input.
const mostRulesInput = 64 << 20

func readLimited(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, mostRulesInput+1))
	if err == nil && len(text) > mostRulesInput {
		err = usagef("standard input has more than %d bytes", mostRulesInput)
	}
	return text, err
}

// resourceFlags name resources.
type resourceFlags struct {
	names   map[acl.ResourceType]*[]string // by flags that take a name
	cluster bool
	pattern string
}

var namedTypes = []struct {
	flag string
	of   acl.ResourceType
}{{"topic", acl.Topic}, {"group", acl.Group}, {"transactional-id", acl.TransactionalID}, {"user-principal", acl.User}, {"delegation-token", acl.DelegationToken}}

func (f *resourceFlags) add(env *environment, cmd *cobra.Command, pattern, usage string, patterns ...string) {
	f.names = make(map[acl.ResourceType]*[]string)
	for _, t := range namedTypes {
		f.names[t.of] = cmd.Flags().StringArray(t.flag, nil, t.of.String()+" with the `name`; * is all of them; may be repeated")
	}
	cmd.Flags().BoolVar(&f.cluster, "cluster", false, "the cluster")
	cmd.Flags().StringVar(&f.pattern, "pattern", pattern, usage)
	completeWords(cmd, "pattern", patterns...)
	for flag, names := range map[string]cobra.CompletionFunc{"topic": completeNames(env, 0, topicNames), "group": completeNames(env, 0, groupNames), "transactional-id": completeNames(env, 0, transactionalIDs)} {
		if err := cmd.RegisterFlagCompletionFunc(flag, names); err != nil {
			panic(err) // the command has no such flag
		}
	}
}

// resources are those that were named.
func (f *resourceFlags) resources() (named []acl.Resource) {
	for _, t := range namedTypes {
		for _, name := range *f.names[t.of] {
			named = append(named, acl.Resource{Type: t.of, Name: name})
		}
	}
	if f.cluster {
		named = append(named, acl.Resource{Type: acl.Cluster, Name: acl.ClusterName})
	}
	return named
}

func operationWords(any bool) (words []string) {
	for op := acl.AnyOperation; op <= acl.TwoPhaseCommit; op++ {
		if op != acl.AnyOperation || any {
			words = append(words, op.String())
		}
	}
	return words
}

// ruleFlags name rules: all combinations.
type ruleFlags struct {
	resourceFlags
	allow, deny, hosts, operations []string
}

func (f *ruleFlags) add(env *environment, cmd *cobra.Command) {
	f.resourceFlags.add(env, cmd, "literal", "how names are meant: literal or prefixed", "literal", "prefixed")
	flags := cmd.Flags()
	flags.StringArrayVar(&f.allow, "allow", nil, "`principal` that may do it, such as User:alice; User:* is everybody; may be repeated")
	flags.StringArrayVar(&f.deny, "deny", nil, "`principal` that may not do it; may be repeated")
	flags.StringArrayVar(&f.hosts, "host", []string{acl.Wildcard}, "`address` from which; may be repeated")
	flags.StringSliceVar(&f.operations, "operation", nil, "what may be done: "+strings.Join(operationWords(false), ", "))
	completeWords(cmd, "operation", operationWords(false)...)
}

// given tells whether any of the flags was.
func (f *ruleFlags) given(*cobra.Command) bool {
	return len(f.resources())+len(f.allow)+len(f.deny)+len(f.operations) > 0
}

func (f *ruleFlags) rules() (rules []acl.Rule, err error) {
	pattern, err := acl.ParsePattern(f.pattern)
	if err != nil || pattern != acl.Literal && pattern != acl.Prefixed {
		return nil, usagef("--pattern must be literal or prefixed")
	}
	for _, on := range f.resources() {
		for _, name := range f.operations {
			op, err := acl.ParseOperation(name)
			if err != nil {
				return nil, usagef("--operation: %w", err)
			}
			if op != acl.All && !slices.Contains(on.Type.Operations(), op) {
				return nil, usagef("--operation: there is no %s on resources of type %s", op, on.Type)
			}
			for _, host := range f.hosts {
				if _, err := netip.ParseAddr(host); err != nil && host != acl.Wildcard {
					return nil, usagef("--host: %q is no address, and no client comes from it: name addresses, not hosts or networks", host)
				}
				for _, principal := range f.allow {
					rules = append(rules, acl.Rule{Type: on.Type, Pattern: pattern, Name: on.Name, Principal: principal, Host: host, Operation: op, Permission: acl.Allow})
				}
				for _, principal := range f.deny {
					rules = append(rules, acl.Rule{Type: on.Type, Pattern: pattern, Name: on.Name, Principal: principal, Host: host, Operation: op, Permission: acl.Deny})
				}
			}
		}
	}
	if len(rules) == 0 {
		return nil, usagef("a rule needs a resource (--topic, --group, --cluster, ...), an --operation, and a principal (--allow or --deny)")
	}
	for _, r := range rules {
		if err := r.Validate(); err != nil {
			return nil, usagef("%w", err)
		}
	}
	return rules, nil
}

// filterFlags pick rules.
type filterFlags struct {
	resourceFlags
	principal, host, operation, permission string
}

func (f *filterFlags) add(env *environment, cmd *cobra.Command) {
	f.resourceFlags.add(env, cmd, "any", "how names are meant: literal, prefixed, any of the two, or match: rules that apply to the name", "literal", "prefixed", "any", "match")
	flags := cmd.Flags()
	flags.StringVar(&f.principal, "principal", "", "only rules that name the `principal`")
	flags.StringVar(&f.host, "host", "", "only rules that name the `address`")
	flags.StringVar(&f.operation, "operation", "any", "only rules that name the operation")
	flags.StringVar(&f.permission, "permission", "any", "only rules that allow, or deny")
	completeWords(cmd, "operation", operationWords(true)...)
	completeWords(cmd, "permission", "allow", "deny", "any")
}

func (f *filterFlags) given(cmd *cobra.Command) bool {
	return len(f.resources()) > 0 || slices.ContainsFunc([]string{"pattern", "principal", "host", "operation", "permission"}, cmd.Flags().Changed)
}

func (f *filterFlags) filter(cmd *cobra.Command) (filter acl.Filter, err error) {
	filter = acl.AllRules
	named := f.resources()
	if len(named) > 1 {
		return filter, usagef("name one resource at a time")
	}
	if len(named) == 1 {
		filter.Type, filter.Name = named[0].Type, &named[0].Name
	}
	if cmd.Flags().Changed("principal") {
		filter.Principal = &f.principal
	}
	if cmd.Flags().Changed("host") {
		filter.Host = &f.host
	}
	if filter.Pattern, err = acl.ParsePattern(f.pattern); err != nil {
		return filter, usagef("--pattern: %w", err)
	}
	if filter.Operation, err = acl.ParseOperation(f.operation); err != nil {
		return filter, usagef("--operation: %w", err)
	}
	if filter.Permission, err = acl.ParsePermission(f.permission); err != nil {
		return filter, usagef("--permission: %w", err)
	}
	return filter, nil
}
