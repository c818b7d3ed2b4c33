package acl

import "sync"

// unlikely is the name by which Kafka asks whether a client may do something on whatever resource.
const unlikely = "hardcode"

// AllowedOnAny tells whether there may be a resource of the type on which a client may do something, as
// Authorizer.authorizeByResourceType, which is not quite what its name says: an operation that is implied does not count,
// nor do names that are outside of what is denied but within what is allowed if both are prefixes.
func (x *Index) AllowedOnAny(who Client, op Operation, on ResourceType) bool {
	if on <= AnyType || on > User || !known(operationNames, op) {
		return false
	}
	if x.Allowed(who, op, Resource{on, unlikely}) {
		return true
	}
	return x.any.get(question{who, op, on}, func() bool { return x.mayBeAllowed(who, op, on) })
}

func (x *Index) mayBeAllowed(who Client, op Operation, on ResourceType) bool {
	bit := uint32(1) << op
	var all []*names
	for _, p := range []*party{x.parties[who.Principal], x.everybody} {
		if p == nil {
			continue
		}
		if p.rights != nil {
			all = append(all, &p.rights[on])
		}
		if r := p.hosts[who.Host]; r != nil {
			all = append(all, &r[on])
		}
	}
	wildcard := says{}
	for _, n := range all {
		wildcard.add(n.wildcard)
	}
	if wildcard.deny&bit != 0 {
		return false
	}
	if wildcard.exact&bit != 0 {
		return true
	}
	isDenied := func(name string, literal bool) bool {
		for _, n := range all {
			if literal && n.literal[name].deny&bit != 0 {
				return true
			}
			if n.begin != nil && n.begin.on(name).deny&bit != 0 {
				return true
			}
		}
		return false
	}
	for _, n := range all {
		for name, said := range n.literal {
			if said.exact&bit != 0 && !isDenied(name, true) {
				return true
			}
		}
		for name, said := range n.prefixes {
			if said.exact&bit != 0 && !isDenied(name, false) {
				return true
			}
		}
	}
	return false
}

type question struct {
	who Client
	op  Operation
	on  ResourceType
}

// answers are those that take a look at all rules about a client, which may be many. The zero value has none.
type answers struct {
	mu    sync.Mutex
	known map[question]bool
}

const mostAnswers = 4096

func (a *answers) get(q question, decide func() bool) bool {
	a.mu.Lock()
	answer, ok := a.known[q]
	a.mu.Unlock()
	if ok {
		return answer
	}
	answer = decide()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil || len(a.known) >= mostAnswers {
		a.known = make(map[question]bool)
	}
	a.known[q] = answer
	return answer
}
