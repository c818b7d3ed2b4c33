package acl

import "strings"

// model decides by rules as Kafka's documentation tells it, rule after rule, with nothing of the index.
type model struct {
	rules  []Rule
	policy Policy
}

func (m model) matches(r Rule, who Client, op Operation) bool {
	if r.Principal != who.Principal && r.Principal != "User:*" {
		return false
	}
	if r.Host != who.Host && r.Host != "*" {
		return false
	}
	if r.Operation == op || r.Operation == All {
		return true
	}
	implied := map[Operation][]Operation{Describe: {Read, Write, Delete, Alter}, DescribeConfigs: {AlterConfigs}}
	for _, by := range implied[op] {
		if r.Permission == Allow && r.Operation == by {
			return true
		}
	}
	return false
}

func (m model) allowed(who Client, op Operation, on Resource) bool {
	for _, user := range m.policy.SuperUsers {
		if user == who.Principal {
			return true
		}
	}
	isSubject, allowed := false, false
	for _, r := range m.rules {
		literal := r.Pattern == Literal && (r.Name == on.Name || r.Name == "*")
		prefixed := r.Pattern == Prefixed && len(on.Name) >= len(r.Name) && on.Name[:len(r.Name)] == r.Name
		if r.Type != on.Type || !literal && !prefixed {
			continue
		}
		isSubject = true
		if m.matches(r, who, op) {
			if r.Permission == Deny {
				return false
			}
			allowed = true
		}
	}
	return allowed || !isSubject && m.policy.Everybody
}

// onAny is Kafka's default for custom authorizers, in the order in which its documentation gives it (KIP-679).
func (m model) onAny(who Client, op Operation, on ResourceType) bool {
	if m.allowed(who, op, Resource{on, "hardcode"}) {
		return true
	}
	allow, deny := map[string]bool{}, map[string]bool{} // by pattern and name
	for _, r := range m.rules {
		about := (r.Principal == who.Principal || r.Principal == "User:*") && (r.Host == who.Host || r.Host == "*")
		if r.Type != on || !about || r.Operation != op && r.Operation != All {
			continue
		}
		key := r.Pattern.String() + r.Name
		if r.Permission == Deny {
			deny[key] = true
		} else {
			allow[key] = true
		}
	}
	if deny["LITERAL*"] {
		return false
	}
	if allow["LITERAL*"] {
		return true
	}
	for key := range allow {
		name, prefixed := strings.CutPrefix(key, "PREFIXED")
		dominated := false
		if !prefixed {
			name = strings.TrimPrefix(key, "LITERAL")
			dominated = deny[key]
		}
		for i := range name {
			dominated = dominated || deny["PREFIXED"+name[:i]]
		}
		if !dominated && !deny["PREFIXED"+name] {
			return true
		}
	}
	return false
}
