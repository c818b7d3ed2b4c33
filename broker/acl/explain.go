package acl

import "fmt"

// Reason is why something is allowed or denied.
type Reason string

// The reasons.
const (
	SuperUser  Reason = "super user"
	RuleDenies Reason = "a rule denies it"
	RuleAllows Reason = "a rule allows it"
	NoRuleSays Reason = "rules are on the resource, and none of them allows it"
	NoRuleIsOn Reason = "no rule is on the resource"
	NotAskable Reason = "not a resource and an operation that rules are about"
)

// Explanation is a decision and what it is made of.
type Explanation struct {
	Allowed bool
	Reason  Reason
	Deciding,
	Considered []Rule // those that decided, and all that are on the resource, whoever they are about
	Text string // a sentence
}

// Explain decides as Allowed, and tells why. It looks at every rule.
func (x *Index) Explain(who Client, op Operation, on Resource) Explanation {
	e := Explanation{Allowed: x.Allowed(who, op, on)}
	var denying, allowing []Rule
	for _, r := range x.rules {
		if !r.on(on) {
			continue
		}
		e.Considered = append(e.Considered, r)
		if !r.by(who) || !r.of(op) {
			continue
		}
		if r.Permission == Deny {
			denying = append(denying, r)
		} else {
			allowing = append(allowing, r)
		}
	}
	p := x.parties[who.Principal]
	switch {
	case p != nil && p.super:
		e.Reason = SuperUser
	case on.Type <= AnyType || on.Type > User || !known(operationNames, op):
		e.Reason = NotAskable
	case denying != nil:
		e.Reason, e.Deciding = RuleDenies, denying
	case allowing != nil:
		e.Reason, e.Deciding = RuleAllows, allowing
	case e.Considered != nil:
		e.Reason = NoRuleSays
	default:
		e.Reason = NoRuleIsOn
	}
	e.Text = e.sentence(who, op, on)
	return e
}

func (e *Explanation) sentence(who Client, op Operation, on Resource) string {
	may := "may not"
	if e.Allowed {
		may = "may"
	}
	head := fmt.Sprintf("%s from %s %s %s %s %s: ", who.Principal, who.Host, may, op, on.Type, on.Name)
	switch e.Reason {
	case SuperUser:
		return head + "it is a super user"
	case RuleDenies:
		if n := countAllowing(e.Considered, who, op); n > 0 {
			return head + fmt.Sprintf("%s denies it, which outweighs what allows it (%d of %d rules on the resource)", e.Deciding[0], n, len(e.Considered))
		}
		return head + fmt.Sprintf("%s denies it", e.Deciding[0])
	case RuleAllows:
		if r := e.Deciding[0]; r.Operation != op && r.Operation != All {
			return head + fmt.Sprintf("%s allows it, since %s implies %s", r, r.Operation, op)
		}
		return head + fmt.Sprintf("%s allows it", e.Deciding[0])
	case NoRuleSays:
		return head + fmt.Sprintf("of %d on the resource, no rule is about this client and operation", len(e.Considered))
	case NoRuleIsOn:
		return head + fmt.Sprintf("no rule is on the resource, and allow.everyone.if.no.acl.found is %t", e.Allowed)
	}
	return head + string(e.Reason)
}

func countAllowing(rules []Rule, who Client, op Operation) (n int) {
	for _, r := range rules {
		if r.Permission == Allow && r.by(who) && r.of(op) {
			n++
		}
	}
	return n
}
