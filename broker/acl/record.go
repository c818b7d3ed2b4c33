package acl

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"unicode"
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

// Stored is what the commit log has of rules.
type Stored struct {
	Rules []Rule // in order
	// Unreadable tells of the rest, which only another version of the software can have written.
	Unreadable []error
	// StandIns count in place of what cannot be read, for decisions alone: see standIn.
	StandIns []Rule
}

// FromPairs reads the rules of all overrides.
func FromPairs(overrides iter.Seq2[string, map[string]string]) (s Stored) {
	for resource, entries := range overrides {
		for entry := range entries {
			r, err := FromPair(resource, entry)
			if err == nil {
				s.Rules = append(s.Rules, r)
				continue
			}
			s.Unreadable = append(s.Unreadable, err)
			if r, ok := standIn(resource, entry); ok {
				s.StandIns = append(s.StandIns, r)
			}
		}
	}
	slices.SortFunc(s.Rules, Rule.Compare)
	return s
}

// nobody is no principal's name.
const nobody = "nobody"

// standIn is what counts in place of a rule that cannot be read, so that nobody may do more than whoever made it meant: it
// denies all that the rule may be about, every part that is not understood taken for any. What is known to allow allows
// nobody, and is a rule on its resource still. A type of resource that does not exist here needs none.
func standIn(resource, entry string) (r Rule, ok bool) {
	kind, rest, _ := strings.Cut(resource, ":")
	pattern, name, _ := strings.Cut(rest, ":")
	says := append(strings.SplitN(entry, " ", 4), "", "", "")
	var err error
	if r.Type, err = ParseResourceType(kind); err != nil || r.Type == AnyType {
		return Rule{}, false
	}
	r.Name, r.Host, r.Principal = name, says[2], says[3]
	if r.Pattern, err = ParsePattern(pattern); err != nil || r.Pattern != Literal && r.Pattern != Prefixed || r.Name == "" {
		r.Pattern, r.Name = Literal, Wildcard
	}
	if r.Type == Cluster {
		r.Pattern, r.Name = Literal, ClusterName
	}
	if r.Permission, err = ParsePermission(says[0]); err != nil || r.Permission != Allow {
		r.Permission = Deny
	}
	if r.Operation, err = ParseOperation(says[1]); err != nil || r.Operation == AnyOperation {
		r.Operation = All
	}
	if r.Permission == Allow {
		r.Principal = nobody
		return r, true
	}
	if !isPrincipal(r.Principal) {
		r.Principal = Everybody
	}
	if _, err := netip.ParseAddr(r.Host); err != nil {
		r.Host = Wildcard
	}
	return r, true
}

// isPrincipal tells whether a text is surely one principal: in a rule of another layout, it may be anything.
func isPrincipal(s string) bool {
	kind, name, ok := strings.Cut(s, ":")
	return ok && name != "" && kind != "" && !strings.ContainsFunc(kind, func(r rune) bool { return !unicode.IsLetter(r) })
}
