package broker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/runnel-io/runnel/broker/acl"
)

// privilege is an operation on resources of a type.
type privilege struct {
	op acl.Operation
	on acl.ResourceType
}

// requirement is what a request, or a part of it, is served for only if its client may.
type requirement struct {
	any     []privilege // one of them will do; the first is the one that is missed, in error and record
	when    string      // in which cases; "": always
	filters bool        // what the client may not see is left out, without an error
	refusal *kerr.Error // default: that of the first resource type
}

// need is a requirement without conditions.
func need(op acl.Operation, on acl.ResourceType) requirement {
	return requirement{any: []privilege{{op, on}}}
}

func (r requirement) or(op acl.Operation, on acl.ResourceType) requirement {
	r.any = append(r.any[:len(r.any):len(r.any)], privilege{op, on})
	return r
}

func (r requirement) only(when string) requirement {
	r.when = when
	return r
}

func (r requirement) leavesOut() requirement {
	r.filters = true
	return r
}

func (r requirement) refusedWith(err *kerr.Error) requirement {
	r.refusal = err
	return r
}

// denied is the error of a request that lacks the requirement, nil if it filters.
func (r requirement) denied() *kerr.Error {
	switch {
	case r.filters:
		return nil
	case r.refusal != nil:
		return r.refusal
	}
	return denials[r.any[0].on]
}

var denials = map[acl.ResourceType]*kerr.Error{
	acl.Topic: kerr.TopicAuthorizationFailed, acl.Group: kerr.GroupAuthorizationFailed, acl.Cluster: kerr.ClusterAuthorizationFailed,
	acl.TransactionalID: kerr.TransactionalIDAuthorizationFailed,
}

// String is the requirement in docs/protocol.md.
func (r requirement) String() string {
	var ways []string
	for _, p := range r.any {
		ways = append(ways, p.op.String()+" on "+p.on.String())
	}
	text := strings.Join(ways, " or ")
	if r.when != "" {
		text += " (" + r.when + ")"
	}
	if r.filters {
		return text + ": left out"
	}
	return text + ": " + r.denied().Message
}

// needs is a row's requirements; none is for what everybody may.
func needs(all ...requirement) []requirement { return all }

func describeNeeds(all []requirement) string {
	if len(all) == 0 {
		return "nothing"
	}
	texts := make([]string, len(all))
	for i, r := range all {
		texts[i] = r.String()
	}
	return strings.Join(texts, "; ")
}
