package broker

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/metastore"
)

// recorded are events of a broker's.
type recorded struct {
	mu     sync.Mutex
	events []audit.Event
}

func (r *recorded) Record(e audit.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// newRuled starts a broker with an authorizer, for which who is not authenticated is a super user.
func newRuled(t *testing.T, superUsers ...string) (*harness, *recorded) {
	t.Helper()
	h := newHarness(t, nil, 0)
	events := new(recorded)
	h.broker.Access = acl.NewLive(h.replica, acl.LiveOptions{Mode: acl.On, Policy: acl.Policy{SuperUsers: superUsers}})
	h.broker.Audit = events
	return h, events
}

const anonymous = "User:ANONYMOUS"

func creation(t *testing.T, line string) kmsg.CreateACLsRequestCreation {
	t.Helper()
	r, err := acl.ParseRule(line)
	must(t, err)
	c := kmsg.NewCreateACLsRequestCreation()
	c.ResourceType, c.ResourcePatternType, c.ResourceName = kmsg.ACLResourceType(r.Type), kmsg.ACLResourcePatternType(r.Pattern), r.Name
	c.Principal, c.Host = r.Principal, r.Host
	c.Operation, c.PermissionType = kmsg.ACLOperation(r.Operation), kmsg.ACLPermissionType(r.Permission)
	return c
}

func createRules(h *harness, v int16, lines ...string) (errs []string) {
	h.t.Helper()
	req := kmsg.NewPtrCreateACLsRequest()
	for _, line := range lines {
		req.Creations = append(req.Creations, creation(h.t, line))
	}
	return createdRules(h, v, req)
}

func createdRules(h *harness, v int16, req *kmsg.CreateACLsRequest) (errs []string) {
	h.t.Helper()
	for _, r := range ask[*kmsg.CreateACLsResponse](h, v, req).Results {
		errs = append(errs, errorOf(r.ErrorCode))
		if (r.ErrorCode == 0) != (r.ErrorMessage != nil && *r.ErrorMessage == "") {
			h.t.Errorf("error %d with the text %v", r.ErrorCode, r.ErrorMessage)
		}
	}
	return errs
}

func anyRule() *kmsg.DescribeACLsRequest {
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType, req.Operation, req.PermissionType = 1, 1, 1, 1
	return req
}

func describedRules(h *harness, v int16, req *kmsg.DescribeACLsRequest) (lines []string) {
	h.t.Helper()
	resp := ask[*kmsg.DescribeACLsResponse](h, v, req)
	equal(h.t, "error", errorOf(resp.ErrorCode), "")
	for _, of := range resp.Resources {
		for _, a := range of.ACLs {
			lines = append(lines, acl.Rule{Type: acl.ResourceType(of.ResourceType), Pattern: acl.Pattern(of.ResourcePatternType), Name: of.ResourceName,
				Principal: a.Principal, Host: a.Host, Operation: acl.Operation(a.Operation), Permission: acl.Permission(a.PermissionType)}.String())
		}
	}
	return lines
}

func anyFilter() kmsg.DeleteACLsRequestFilter {
	f := kmsg.NewDeleteACLsRequestFilter()
	f.ResourceType, f.ResourcePatternType, f.Operation, f.PermissionType = 1, 1, 1, 1
	return f
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

const (
	readOrders  = "Topic:PREFIXED:orders- ALLOW Read * User:alice"
	writeOrders = "Topic:PREFIXED:orders- ALLOW Write 10.0.0.1 User:bob"
	denyAll     = "Topic:LITERAL:* DENY All * User:mallory"
	readGroup   = `"Group:LITERAL:a b" ALLOW Read * "User:CN=c d"`
)

func TestAccessRulesAreMadeShownAndDeleted(t *testing.T) {
	h, events := newRuled(t, anonymous)
	h.versions(30, func(t *testing.T, v int16) {
		same(t, "created", createRules(h, v, readOrders, writeOrders, denyAll, readGroup, readOrders), "", "", "", "", "")
		same(t, "created again", createRules(h, v, readOrders), "")
		same(t, "described", describedRules(h, v, anyRule()), denyAll, readOrders, writeOrders, readGroup)

		one := anyRule()
		one.ResourceType, one.ResourcePatternType, one.ResourceName = 2, kmsg.ACLResourcePatternTypeMatch, kmsg.StringPtr("orders-1")
		same(t, "match", describedRules(h, v, one), denyAll, readOrders, writeOrders)
		one.Principal = kmsg.StringPtr("User:bob")
		same(t, "match of bob", describedRules(h, v, one), writeOrders)

		alice := acl.Client{Principal: "User:alice", Host: "10.0.0.9"}
		equal(t, "alice may read", h.broker.Access.Allowed(alice, acl.Read, acl.Resource{Type: acl.Topic, Name: "orders-1"}), true)

		req := kmsg.NewPtrDeleteACLsRequest()
		ofAlice, none, topics, wrong := anyFilter(), anyFilter(), anyFilter(), anyFilter()
		ofAlice.Principal, none.Principal, topics.ResourceType = kmsg.StringPtr("User:alice"), kmsg.StringPtr("User:nobody"), 2
		wrong.Operation = 99
		req.Filters = append(req.Filters, ofAlice, none, topics, wrong)
		var counts, errs []string
		for _, r := range ask[*kmsg.DeleteACLsResponse](h, v, req).Results {
			counts, errs = append(counts, fmt.Sprint(len(r.MatchingACLs))), append(errs, errorOf(r.ErrorCode))
		}
		same(t, "deleted", counts, "1", "0", "3", "0")
		same(t, "errors", errs, "", "", "", "INVALID_REQUEST")
		equal(t, "alice may read", h.broker.Access.Allowed(alice, acl.Read, acl.Resource{Type: acl.Topic, Name: "orders-1"}), false)
		same(t, "left", describedRules(h, v, anyRule()), readGroup)
		req.Filters = []kmsg.DeleteACLsRequestFilter{anyFilter()}
		ask[*kmsg.DeleteACLsResponse](h, v, req)
		same(t, "nothing left", describedRules(h, v, anyRule()))
		equal(t, "resources left in the log", h.replica.ConfigsOf(metastore.AccessRules).Len(), 0)
	})
	made, gone := 0, 0
	for _, e := range events.events {
		if e.Kind != audit.Change || e.Principal != anonymous || e.Host != "127.0.0.1" || e.Resource == "" || e.Action != "CreateAcls" && e.Action != "DeleteAcls" {
			t.Errorf("event %+v", e)
		}
		made, gone = made+len(e.After), gone+len(e.Before)
	}
	equal(t, "rules made, by events", made, 3*4)
	equal(t, "rules deleted, by events", gone, 3*4)
}

func TestWrongAccessRulesAreRefusedEachByItself(t *testing.T) {
	h, _ := newRuled(t, anonymous)
	spoil := []func(c *kmsg.CreateACLsRequestCreation){
		func(c *kmsg.CreateACLsRequestCreation) { c.ResourceType = 1 },
		func(c *kmsg.CreateACLsRequestCreation) { c.ResourceType = 77 },
		func(c *kmsg.CreateACLsRequestCreation) { c.ResourcePatternType = kmsg.ACLResourcePatternTypeMatch },
		func(c *kmsg.CreateACLsRequestCreation) { c.ResourcePatternType = kmsg.ACLResourcePatternTypeAny },
		func(c *kmsg.CreateACLsRequestCreation) { c.ResourceName = "" },
		func(c *kmsg.CreateACLsRequestCreation) { c.ResourceType, c.ResourceName = 4, "another" },
		func(c *kmsg.CreateACLsRequestCreation) { c.Principal = "alice" },
		func(c *kmsg.CreateACLsRequestCreation) { c.Host = "a b" },
		func(c *kmsg.CreateACLsRequestCreation) { c.Operation = 1 },
		func(c *kmsg.CreateACLsRequestCreation) { c.PermissionType = 1 },
		func(c *kmsg.CreateACLsRequestCreation) { c.PermissionType = 0 },
	}
	req := kmsg.NewPtrCreateACLsRequest()
	want := []string{""}
	req.Creations = append(req.Creations, creation(t, readOrders))
	for _, s := range spoil {
		c := creation(t, readOrders)
		s(&c)
		req.Creations, want = append(req.Creations, c), append(want, "INVALID_REQUEST")
	}
	same(t, "created", createdRules(h, 3, req), want...)
	same(t, "described", describedRules(h, 3, anyRule()), readOrders)

	bad := anyRule()
	bad.PermissionType = 9
	equal(t, "describe by an unknown code", errorOf(ask[*kmsg.DescribeACLsResponse](h, 3, bad).ErrorCode), "INVALID_REQUEST")
	req.Creations = slices.Repeat([]kmsg.CreateACLsRequestCreation{creation(t, denyAll)}, mostInRequest+1)
	errs := createdRules(h, 3, req)
	equal(t, "too many", errs[0]+errs[mostInRequest], "INVALID_REQUESTINVALID_REQUEST")
	same(t, "described", describedRules(h, 3, anyRule()), readOrders)
}

func TestFiltersThatPickTooMuchAreRefused(t *testing.T) {
	h, _ := newRuled(t, anonymous)
	lines := make([]string, 300)
	for i := range lines {
		lines[i] = fmt.Sprintf("Topic:LITERAL:t%d ALLOW Read * User:alice", i)
	}
	createRules(h, 3, lines...)
	req := kmsg.NewPtrDeleteACLsRequest()
	req.Filters = slices.Repeat([]kmsg.DeleteACLsRequestFilter{anyFilter()}, 1000)
	equal(t, "error", errorOf(ask[*kmsg.DeleteACLsResponse](h, 3, req).Results[999].ErrorCode), "INVALID_REQUEST")
	equal(t, "left", len(describedRules(h, 3, anyRule())), 300)
}

// answers to all three requests.
func ruleErrors(h *harness) []string {
	create, remove := kmsg.NewPtrCreateACLsRequest(), kmsg.NewPtrDeleteACLsRequest()
	create.Creations = append(create.Creations, creation(h.t, readOrders))
	remove.Filters = append(remove.Filters, anyFilter())
	described := ask[*kmsg.DescribeACLsResponse](h, 3, anyRule())
	if described.ErrorMessage == nil || *described.ErrorMessage == "" {
		h.t.Error("no text")
	}
	return []string{errorOf(described.ErrorCode), createdRules(h, 3, create)[0], errorOf(ask[*kmsg.DeleteACLsResponse](h, 3, remove).Results[0].ErrorCode)}
}

func TestAccessRulesWithoutAuthorizer(t *testing.T) {
	h := newHarness(t, nil, 0)
	same(t, "errors", ruleErrors(h), "SECURITY_DISABLED", "SECURITY_DISABLED", "SECURITY_DISABLED")
}

func TestAccessRulesAreForWhoMayAlterTheCluster(t *testing.T) {
	h, events := newRuled(t)
	same(t, "errors", ruleErrors(h), "CLUSTER_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED")
	equal(t, "denials recorded", len(events.events), 3)
	for _, e := range events.events {
		if e.Kind != audit.Denial || e.Resource != "Cluster:kafka-cluster" {
			t.Errorf("event %+v", e)
		}
	}
	grant := func(line string) {
		r, err := acl.ParseRule(line)
		must(t, err)
		resource, entry := r.Pair()
		must(t, h.replica.AlterConfigs(t.Context(), []metastore.ConfigChange{{
			ConfigResource: metastore.ConfigResource{Kind: metastore.AccessRules, Name: resource}, Set: map[string]string{entry: ""}}}))
	}
	grant("Cluster:LITERAL:kafka-cluster ALLOW Describe * " + anonymous)
	same(t, "described", describedRules(h, 3, anyRule()), "Cluster:LITERAL:kafka-cluster ALLOW Describe * "+anonymous)
	same(t, "created by who may only look", createRules(h, 3, readOrders), "CLUSTER_AUTHORIZATION_FAILED")
	grant("Cluster:LITERAL:kafka-cluster ALLOW Alter * " + anonymous)
	same(t, "created", createRules(h, 3, readOrders), "")
	// One who may change rules can lock itself out, as with Kafka.
	same(t, "denied to all", createRules(h, 3, "Cluster:LITERAL:kafka-cluster DENY All * User:*"), "")
	same(t, "and so it is", createRules(h, 3, readOrders), "CLUSTER_AUTHORIZATION_FAILED")
}

func TestFiltersSeeWhatAnotherBrokerHasJustAnswered(t *testing.T) {
	h, _ := newRuled(t, anonymous)
	other := metastore.NewReplica(h.store, metastore.ReplicaOptions{RefreshPause: -1})
	must(t, other.Open(t.Context()))
	for _, line := range []string{readOrders, writeOrders} {
		r, err := acl.ParseRule(line)
		must(t, err)
		resource, entry := r.Pair()
		must(t, other.AlterConfigs(t.Context(), []metastore.ConfigChange{{
			ConfigResource: metastore.ConfigResource{Kind: metastore.AccessRules, Name: resource}, Set: map[string]string{entry: ""}}}))
		if line == readOrders {
			same(t, "described", describedRules(h, 3, anyRule()), readOrders)
			continue
		}
		req := kmsg.NewPtrDeleteACLsRequest()
		req.Filters = append(req.Filters, anyFilter())
		equal(t, "deleted", len(ask[*kmsg.DeleteACLsResponse](h, 3, req).Results[0].MatchingACLs), 2)
	}
}

func TestTooManyRulesAreRefused(t *testing.T) {
	h, _ := newRuled(t, anonymous)
	const requests, length = 8, 32_000
	c, errs := creation(t, readGroup), []string(nil)
	for n := range requests {
		req := kmsg.NewPtrCreateACLsRequest()
		for i := range metastore.MaxAccessRuleBytes/length/requests + 1 {
			c.ResourceName = fmt.Sprintf("%s-%d-%d", strings.Repeat("x", length), n, i)
			req.Creations = append(req.Creations, c)
		}
		errs = append(errs, createdRules(h, 3, req)[0])
	}
	same(t, "errors", errs, append(make([]string, requests-1), "POLICY_VIOLATION")...)
}
