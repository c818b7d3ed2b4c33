package acl

import (
	"slices"
	"strings"
)

// Policy is what decides beside rules.
type Policy struct {
	SuperUsers []string // principals that may do everything
	Everybody  bool     // what no rule is about may be done by all (allow.everyone.if.no.acl.found)
}

// ParseSuperUsers splits Kafka's super.users: principals, separated by semicolons.
func ParseSuperUsers(s string) []string {
	var users []string
	for user := range strings.SplitSeq(s, ";") {
		if user = strings.TrimSpace(user); user != "" {
			users = append(users, user)
		}
	}
	return users
}

// Index decides by rules. It never changes, and may be asked by many at once.
//
// It goes from who asks to what they ask for: at most four parties are the client (the principal or everybody, from its host
// or any), and of each the rules on a resource are those on "*", those on its name, and those on prefixes of it, each found
// by one search. What they allow and deny is a word with a bit for every operation, so that the number of rules on a
// resource counts for nothing.
type Index struct {
	rules     []Rule // in order
	policy    Policy
	parties   map[string]*party // by principal
	everybody *party            // nil: no rules
	all       rights            // of all rules, whoever they are about; empty without Policy.Everybody
	any       answers
}

// party is a principal.
type party struct {
	super  bool
	rights *rights            // from every host; nil: none
	hosts  map[string]*rights // from some
}

// rights are what rules say to a party, by type.
type rights [User + 1]names

// names are rules on resources of a type.
type names struct {
	wildcard says
	literal  map[string]says
	prefixes map[string]says
	begin    *node // finds them; nil: none
}

// says are bits of operations, by code.
type says struct {
	deny  uint32
	allow uint32 // with what is implied
	exact uint32 // allowed by name, or as All
}

const everyOperation = 1<<32 - 1

func (a *says) add(b says) {
	a.deny |= b.deny
	a.allow |= b.allow
	a.exact |= b.exact
}

// says is what a rule says to whoever it is about.
func (r Rule) says() says {
	bits := uint32(1) << r.Operation
	if r.Operation == All {
		bits = everyOperation
	}
	if r.Permission == Deny {
		return says{deny: bits}
	}
	s := says{allow: bits, exact: bits}
	switch r.Operation {
	case Read, Write, Delete, Alter:
		s.allow |= 1 << Describe
	case AlterConfigs:
		s.allow |= 1 << DescribeConfigs
	}
	return s
}

// New makes an index of valid rules. It keeps them.
func New(rules []Rule, policy Policy) *Index {
	if !slices.IsSortedFunc(rules, Rule.Compare) {
		rules = slices.Clone(rules)
		slices.SortFunc(rules, Rule.Compare)
	}
	x := &Index{rules: rules, policy: policy, parties: make(map[string]*party)}
	for _, r := range rules {
		said := r.says()
		x.party(r.Principal).from(Host(r.Host))[r.Type].add(r, said)
		if policy.Everybody {
			x.all[r.Type].add(r, said)
		}
	}
	x.everybody = x.parties[Everybody]
	for _, p := range x.parties {
		p.finish()
	}
	x.all.finish()
	for _, user := range policy.SuperUsers {
		x.party(user).super = true
	}
	return x
}

func (x *Index) party(principal string) *party {
	p := x.parties[principal]
	if p == nil {
		p = new(party)
		x.parties[principal] = p
	}
	return p
}

func (p *party) from(host string) *rights {
	if host == Wildcard {
		if p.rights == nil {
			p.rights = new(rights)
		}
		return p.rights
	}
	if p.hosts == nil {
		p.hosts = make(map[string]*rights)
	}
	if p.hosts[host] == nil {
		p.hosts[host] = new(rights)
	}
	return p.hosts[host]
}

func (n *names) add(r Rule, said says) {
	switch {
	case r.Pattern == Literal && r.Name == Wildcard:
		n.wildcard.add(said)
	case r.Pattern == Literal:
		addTo(&n.literal, r.Name, said)
	default:
		addTo(&n.prefixes, r.Name, said)
		if n.begin == nil {
			n.begin = new(node)
		}
		n.begin.insert(r.Name, said)
	}
}

func addTo(byName *map[string]says, name string, said says) {
	if *byName == nil {
		*byName = make(map[string]says)
	}
	is := (*byName)[name]
	is.add(said)
	(*byName)[name] = is
}

func (p *party) finish() {
	p.rights.finish()
	for _, r := range p.hosts {
		r.finish()
	}
}

// finish is for when all rules are in.
func (r *rights) finish() {
	if r == nil {
		return
	}
	for t := range r {
		if r[t].begin != nil {
			r[t].begin.settle()
		}
	}
}

// on adds what is said about a name.
func (n *names) on(name string, said *says) {
	said.add(n.wildcard)
	if n.literal != nil {
		said.add(n.literal[name])
	}
	if n.begin != nil {
		said.add(*n.begin.on(name))
	}
}

// on adds what is said to a party, which may be nil.
func (p *party) on(host string, on Resource, said *says) {
	if p == nil {
		return
	}
	if p.rights != nil {
		p.rights[on.Type].on(on.Name, said)
	}
	if p.hosts != nil {
		if r := p.hosts[host]; r != nil {
			r[on.Type].on(on.Name, said)
		}
	}
}

// Len is the number of rules.
func (x *Index) Len() int { return len(x.rules) }

// Allowed decides as Kafka's StandardAuthorizer: super users may do everything; of the rules on the resource that are about
// the client and the operation, one that denies decides, then one that allows; without either it is denied, unless no rule at
// all is on the resource and the policy allows that.
func (x *Index) Allowed(who Client, op Operation, on Resource) bool {
	p := x.parties[who.Principal]
	if p != nil && p.super {
		return true
	}
	if on.Type <= AnyType || on.Type > User || !known(operationNames, op) {
		return false
	}
	var said says
	p.on(who.Host, on, &said)
	x.everybody.on(who.Host, on, &said)
	switch bit := uint32(1) << op; {
	case said.deny&bit != 0:
		return false
	case said.allow&bit != 0:
		return true
	}
	return x.policy.Everybody && !x.isSubject(on)
}

// Authorized returns the operations that exist on a resource and that the client may do there, as bits by their codes.
func (x *Index) Authorized(who Client, on Resource) (bits int32) {
	for _, op := range on.Type.Operations() {
		if x.Allowed(who, op, on) {
			bits |= 1 << op
		}
	}
	return bits
}

// isSubject tells whether any rule is on a resource.
func (x *Index) isSubject(on Resource) bool {
	var said says
	x.all[on.Type].on(on.Name, &said)
	return said != says{}
}
