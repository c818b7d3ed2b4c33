package acl

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Rule allows or denies an operation on resources to a principal from a host: what Kafka calls an ACL, or a binding. Rules
// are equal if all fields are.
type Rule struct {
	Type       ResourceType
	Pattern    Pattern // Literal or Prefixed
	Name       string  // of the resource, or what its name begins with; the literal "*" is every name
	Principal  string  // type and name, or Everybody
	Host       string  // address, or "*"
	Operation  Operation
	Permission Permission
}

// ErrInvalid is what no rule or filter can be.
var ErrInvalid = errors.New("invalid rule")

// longestText bounds the names in rules: older versions of the protocol have no longer ones.
const longestText = 32767

// Validate tells whether a rule can be made: ErrInvalid. It is as strict as Kafka, which does not ask whether the operation
// exists on the type, and beyond that wants the host to be a word.
func (r Rule) Validate() error {
	switch {
	case r.Type == AnyType || !known(typeNames, r.Type):
		return invalid("resource type %s", r.Type)
	case r.Type == Cluster && r.Name != ClusterName:
		return invalid("the only resource of type Cluster is %s", ClusterName)
	case r.Name == "":
		return invalid("the resource has no name")
	case r.Pattern != Literal && r.Pattern != Prefixed:
		return invalid("pattern type %s", r.Pattern)
	case r.Operation == AnyOperation || !known(operationNames, r.Operation):
		return invalid("operation %s", r.Operation)
	case r.Permission != Deny && r.Permission != Allow:
		return invalid("permission %s", r.Permission)
	case !strings.Contains(r.Principal, ":"):
		return invalid("principal %q is not of the form Type:name", r.Principal)
	case r.Host == "" || strings.ContainsAny(r.Host, " \t\r\n"):
		return invalid("host %q is no address, and not *", r.Host)
	}
	for _, text := range []string{r.Name, r.Principal, r.Host} {
		if len(text) > longestText || !utf8.ValidString(text) {
			return invalid("names must be text of at most %d bytes", longestText)
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// on tells whether the rule is about a resource.
func (r Rule) on(on Resource) bool {
	switch {
	case r.Type != on.Type:
		return false
	case r.Pattern == Prefixed:
		return strings.HasPrefix(on.Name, r.Name)
	}
	return r.Name == on.Name || r.Name == Wildcard
}

// by tells whether the rule is about a client.
func (r Rule) by(who Client) bool {
	return (r.Principal == who.Principal || r.Principal == Everybody) && (r.Host == Wildcard || Host(r.Host) == who.Host)
}

// of tells whether the rule is about an operation: what it names, and what is implied by what it allows.
func (r Rule) of(op Operation) bool {
	if r.Operation == All || r.Operation == op {
		return true
	}
	if r.Permission != Allow {
		return false
	}
	switch op {
	case Describe:
		return r.Operation == Read || r.Operation == Write || r.Operation == Delete || r.Operation == Alter
	case DescribeConfigs:
		return r.Operation == AlterConfigs
	}
	return false
}

// Compare orders rules by resource, then by who they are about.
func (r Rule) Compare(s Rule) int {
	return cmp.Or(
		cmp.Compare(r.Type, s.Type), cmp.Compare(r.Pattern, s.Pattern), cmp.Compare(r.Name, s.Name),
		cmp.Compare(r.Principal, s.Principal), cmp.Compare(r.Host, s.Host),
		cmp.Compare(r.Operation, s.Operation), cmp.Compare(r.Permission, s.Permission),
	)
}

// Host is an address as connections have it: of those of IPv6 there are several ways to write each, and Kafka's rules have
// another than we.
func Host(s string) string {
	if !strings.Contains(s, ":") {
		return s
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap().String()
	}
	return s
}
