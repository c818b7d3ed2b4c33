package acl

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// In the commit log a rule is an override without a value, of a resource "Topic:PREFIXED:orders-", with the name
// "ALLOW Read * User:alice": permission, operation, host, principal. Both texts have one form, so that a rule is there once.

// Pair returns the resource and the name of the override that is the rule.
func (r Rule) Pair() (resource, entry string) {
	return r.Type.String() + ":" + r.Pattern.String() + ":" + r.Name,
		r.Permission.String() + " " + r.Operation.String() + " " + r.Host + " " + r.Principal
}

// FromPair is the inverse of Pair: ErrInvalid.
func FromPair(resource, entry string) (Rule, error) {
	of := strings.SplitN(resource, ":", 3)
	says := strings.SplitN(entry, " ", 4)
	if len(of) != 3 || len(says) != 4 {
		return Rule{}, invalid("%q on %q", brief(entry), brief(resource))
	}
	r := Rule{Name: of[2], Host: says[2], Principal: says[3]}
	var errs [4]error
	r.Type, errs[0] = ParseResourceType(of[0])
	r.Pattern, errs[1] = ParsePattern(of[1])
	r.Permission, errs[2] = ParsePermission(says[0])
	r.Operation, errs[3] = ParseOperation(says[1])
	for _, err := range errs {
		if err != nil {
			return Rule{}, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	if err := r.Validate(); err != nil {
		return Rule{}, err
	}
	if res, e := r.Pair(); res != resource || e != entry {
		return Rule{}, invalid("%q on %q is not how it is written", brief(entry), brief(resource))
	}
	return r, nil
}

// brief is enough of a text to find it by.
func brief(s string) string { return cut(s, 100) }

func cut(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// FromPairs returns the rules of all overrides, in order. Those that are none, which only another version of the software can
// have written, are told of as errors.
func FromPairs(overrides iter.Seq2[string, map[string]string]) (rules []Rule, unreadable []error) {
	for resource, entries := range overrides {
		for entry := range entries {
			r, err := FromPair(resource, entry)
			if err != nil {
				unreadable = append(unreadable, err)
				continue
			}
			rules = append(rules, r)
		}
	}
	slices.SortFunc(rules, Rule.Compare)
	return rules, unreadable
}
