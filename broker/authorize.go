package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/broker/wire"
)

// Access decides what clients may do. No method waits.
type Access interface {
	// Enabled tells whether there are rules at all; if not, everybody may do everything, and requests about rules are refused.
	Enabled() bool
	Allowed(who acl.Client, op acl.Operation, on acl.Resource) bool
	// AllowedOnAny tells whether there may be a resource of the type on which the client may do it.
	AllowedOnAny(who acl.Client, op acl.Operation, on acl.ResourceType) bool
}

// unlocked is the Access of a broker without rules.
type unlocked struct{}

func (unlocked) Enabled() bool                                                 { return false }
func (unlocked) Allowed(acl.Client, acl.Operation, acl.Resource) bool          { return true }
func (unlocked) AllowedOnAny(acl.Client, acl.Operation, acl.ResourceType) bool { return true }

// client is who sends what is read from a connection at present.
func client(c *wire.Conn) acl.Client {
	return acl.Client{Principal: c.Session().Principal, Host: c.ClientHost()}
}

// may tells whether the peer of a connection may do something, and records that it may not. For questions that decide an
// error; sees is for those that decide what is shown.
func (b *Broker) may(c *wire.Conn, op acl.Operation, on acl.ResourceType, name string) bool {
	if b.sees(c, op, on, name) {
		return true
	}
	b.Audit.Record(audit.Event{
		Kind: audit.Denial, Principal: c.Session().Principal, Host: c.ClientHost(), ClientID: c.ClientID(), Listener: c.Endpoint().Name,
		Action: op.String(), Resource: on.String() + ":" + name, Failed: true,
	})
	return false
}

// errCluster is what mayOnCluster forbids.
var errCluster = refuse(kerr.ClusterAuthorizationFailed, "Cluster authorization failed.")

// mayOnCluster is may for the cluster.
func (b *Broker) mayOnCluster(c *wire.Conn, op acl.Operation) bool {
	return b.may(c, op, acl.Cluster, acl.ClusterName)
}

// sees is may without a record: what somebody may not see is left out of lists all the time.
func (b *Broker) sees(c *wire.Conn, op acl.Operation, on acl.ResourceType, name string) bool {
	return !b.Access.Enabled() || b.Access.Allowed(client(c), op, acl.Resource{Type: on, Name: name})
}

// operations are those that the peer may do on a resource, as bits by Kafka's codes.
func (b *Broker) operations(c *wire.Conn, on acl.ResourceType, name string) int32 {
	// Beside sees, for an Access that tells of what it is asked: to look at what one may do is not to do it.
	if access, ok := b.Access.(interface {
		Authorized(who acl.Client, on acl.Resource) int32
	}); ok {
		return access.Authorized(client(c), acl.Resource{Type: on, Name: name})
	}
	var bits int32
	for _, op := range on.Operations() {
		if b.sees(c, op, on, name) {
			bits |= 1 << op
		}
	}
	return bits
}

// clusterOperations are those on the cluster, of which who may not describe it is told none, as in Kafka.
func (b *Broker) clusterOperations(c *wire.Conn) int32 {
	if !b.mayOnCluster(c, acl.Describe) {
		return 0
	}
	return b.operations(c, acl.Cluster, acl.ClusterName)
}

// The answers to what may not be done. They are the same whether what was named exists or not.
var (
	errTopicDenied   = refuse(kerr.TopicAuthorizationFailed, "not authorized for the topic")
	errGroupDenied   = refuse(kerr.GroupAuthorizationFailed, "not authorized for the group")
	errClusterDenied = refuse(kerr.ClusterAuthorizationFailed, "not authorized for the cluster")
	errTxnDenied     = refuse(kerr.TransactionalIDAuthorizationFailed, "not authorized for the transactional id")
)

// permits asks of one operation on resources of one type, and of each name at most once for a request: requests name a topic
// for each of its partitions, and what is denied is recorded.
type permits struct {
	broker *Broker
	conn   *wire.Conn
	op     acl.Operation
	on     acl.ResourceType
	quiet  bool // what is denied is left out of the answer, without a record
	open   bool // everything is allowed

	last  string // name that was asked for last, if known is there: neighbors are alike
	may   bool
	known map[string]bool
}

func (b *Broker) permits(c *wire.Conn, op acl.Operation, on acl.ResourceType) *permits {
	return &permits{broker: b, conn: c, op: op, on: on, open: !b.Access.Enabled()}
}

// sights is permits for what is shown.
func (b *Broker) sights(c *wire.Conn, op acl.Operation, on acl.ResourceType) *permits {
	p := b.permits(c, op, on)
	p.quiet = true
	return p
}

func (p *permits) allow(name string) bool {
	if p.open {
		return true
	}
	if p.known == nil {
		p.known = make(map[string]bool)
	} else if p.last == name {
		return p.may
	}
	may, ok := p.known[name]
	if !ok {
		if p.quiet {
			may = p.broker.sees(p.conn, p.op, p.on, name)
		} else {
			may = p.broker.may(p.conn, p.op, p.on, name)
		}
		p.known[name] = may
	}
	p.last, p.may = name, may
	return may
}
