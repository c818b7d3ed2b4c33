package broker

import (
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/metastore"
)

// anyTopic is for requests that are not those of a client.
var anyTopic = &readable{permits: permits{open: true}}

// everything is all operations on resources of a type, as bits.
func everything(on acl.ResourceType) (bits int32) {
	for _, op := range on.Operations() {
		bits |= 1 << op
	}
	return bits
}

// What everybody may do while there are no rules.
var (
	topicOperations   = everything(acl.Topic)
	groupOperations   = everything(acl.Group)
	clusterOperations = everything(acl.Cluster)
)

// rules is an Access that allows what it does not deny. Nothing follows from anything else.
type rules struct {
	denied atomic.Pointer[map[denial]bool]
	asked  atomic.Int64
}

// denial denies an operation on a resource, or on all of the type if there is no name; the zero denial, everything.
type denial struct {
	op   acl.Operation
	on   acl.ResourceType
	name string
}

func (r *rules) deny(all ...denial) {
	denied := make(map[denial]bool, len(all))
	for _, d := range all {
		denied[d] = true
	}
	r.denied.Store(&denied)
}

func (r *rules) Enabled() bool { return true }

func (r *rules) Allowed(_ acl.Client, op acl.Operation, on acl.Resource) bool {
	r.asked.Add(1)
	denied := *r.denied.Load()
	return !denied[denial{}] && !denied[denial{op, on.Type, ""}] && !denied[denial{op, on.Type, on.Name}]
}

func (r *rules) AllowedOnAny(_ acl.Client, op acl.Operation, on acl.ResourceType) bool {
	denied := *r.denied.Load()
	return !denied[denial{}] && !denied[denial{op, on, ""}]
}

// trail is an audit.Recorder that keeps what it is told.
type trail struct {
	mu     sync.Mutex
	events []audit.Event
}

func (t *trail) Record(e audit.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, e)
}

// take returns the events of a kind, and forgets all.
func (t *trail) take(kind audit.Kind) (taken []audit.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.events {
		if e.Kind == kind {
			taken = append(taken, e)
		}
	}
	t.events = nil
	return taken
}

// names are what requests of the tests are about.
type names struct {
	topic, group, txn, doomed string
	id                        [16]byte // of the topic, for versions that have it
}

var (
	present = names{topic: "orders", group: "buyers", txn: "till-1", doomed: "doomed"}
	absent  = names{topic: "ordNOT", group: "buyNOT", txn: "tilNOT", doomed: "dooNOT"} // as long: answers are compared
)

// guarded is a broker with rules, a topic with records, groups of both kinds, and a transaction.
type guarded struct {
	*recordHarness
	rules  *rules
	trail  *trail
	orders *metastore.Topic
	till   *txnProducer
	serial int // of names that are used once
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{recordHarness: newRecordBroker(t, nil), rules: new(rules), trail: new(trail)}
	g.rules.deny()
	g.broker.Access, g.broker.Audit, g.broker.LogLevel = g.rules, g.trail, new(slog.LevelVar)
	g.serve()
	g.orders = g.topicWith(present.topic, 1, nil)
	for _, doomed := range []string{"doomed-1", "doomed-2"} {
		g.topicWith(doomed, 1, nil)
	}
	produced := ask[*kmsg.ProduceResponse](g.harness, 13, produceRequest(g.orders, 0, testBatch(3)))
	equal(t, "produced", produced.Topics[0].Partitions[0].ErrorCode, 0)
	for _, id := range []string{present.group, "doomed"} {
		committed := ask[*kmsg.OffsetCommitResponse](g.harness, 8, commitRequest(names{topic: present.topic, group: id}))
		equal(t, "committed", committed.Topics[0].Partitions[0].ErrorCode, 0)
	}
	equal(t, "joined", ask[*kmsg.ConsumerGroupHeartbeatResponse](g.harness, 1, beatRequest("eaters", "member", present.topic)).ErrorCode, 0)
	g.till = g.transactional(present.txn)
	equal(t, "added", g.till.add(3, present.topic, 0)[0], 0)
	g.trail.take(audit.Change)
	return g
}

// state is what requests could change.
func (g *guarded) state() string {
	g.t.Helper()
	listed, err := g.broker.Groups.List(g.t.Context())
	must(g.t, err)
	committed, err := g.broker.Groups.FetchOffsets(g.t.Context(), present.group, nil)
	must(g.t, err)
	described, err := g.broker.Groups.DescribeConsumer(g.t.Context(), "eaters")
	must(g.t, err)
	return fmt.Sprint(g.replica.Position(), listed, committed, described, g.broker.LogLevel.Level())
}

// producer is that of the transaction, under the name of another.
func (g *guarded) producer(id string) *txnProducer {
	p := *g.till
	p.id = id
	return &p
}

// fresh is a name that was not used before.
func (g *guarded) fresh(of string) string {
	g.serial++
	return of + "-" + strconv.Itoa(g.serial)
}

func commitRequest(n names) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = n.group, -1
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = n.topic, n.id
	topic.Partitions = []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1, LeaderEpoch: -1}}
	req.Topics = append(req.Topics, topic)
	return req
}

// beatRequest joins a consumer group.
func beatRequest(id, member string, topics ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	req := heartbeatRequest(id, member, 0)
	req.SubscribedTopicNames = topics
	return req
}
