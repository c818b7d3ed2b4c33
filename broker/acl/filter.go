package acl

import "strings"

// Filter picks rules (org.apache.kafka.common.acl.AclBindingFilter). Any codes and nil texts pick all.
type Filter struct {
	Type       ResourceType
	Pattern    Pattern // Match: rules that apply to the name
	Name       *string
	Principal  *string
	Host       *string
	Operation  Operation
	Permission Permission
}

// AllRules is the filter that picks every rule.
var AllRules = Filter{Type: AnyType, Pattern: AnyPattern, Operation: AnyOperation, Permission: AnyPermission}

// Validate refuses what has codes that nobody knows: ErrInvalid.
func (f Filter) Validate() error {
	switch {
	case !known(typeNames, f.Type):
		return invalid("resource type %s", f.Type)
	case !known(patternNames, f.Pattern):
		return invalid("pattern type %s", f.Pattern)
	case !known(operationNames, f.Operation):
		return invalid("operation %s", f.Operation)
	case !known(permissionNames, f.Permission):
		return invalid("permission %s", f.Permission)
	}
	return nil
}

// Picks tells whether a rule is one of those meant.
func (f Filter) Picks(r Rule) bool {
	return (f.Type == AnyType || f.Type == r.Type) && f.names(r) &&
		(f.Principal == nil || *f.Principal == r.Principal) && (f.Host == nil || *f.Host == r.Host) &&
		(f.Operation == AnyOperation || f.Operation == r.Operation) &&
		(f.Permission == AnyPermission || f.Permission == r.Permission)
}

func (f Filter) names(r Rule) bool {
	switch {
	case f.Pattern != AnyPattern && f.Pattern != Match && f.Pattern != r.Pattern:
		return false
	case f.Name == nil:
		return true
	case f.Pattern != Match:
		return *f.Name == r.Name
	case r.Pattern == Prefixed:
		return strings.HasPrefix(*f.Name, r.Name)
	}
	return *f.Name == r.Name || r.Name == Wildcard
}
