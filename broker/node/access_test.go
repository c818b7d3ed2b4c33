package node

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/metastore"
)

// onRule makes a change of one rule, as a request to a node.
func onRule(ctx context.Context, t *testing.T, n *Node, create bool, line string) {
	t.Helper()
	r, err := acl.ParseRule(line)
	if err != nil {
		t.Fatal(err)
	}
	if create {
		req := kmsg.NewPtrCreateACLsRequest()
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourcePatternType, c.ResourceName = kmsg.ACLResourceType(r.Type), kmsg.ACLResourcePatternType(r.Pattern), r.Name
		c.Principal, c.Host, c.Operation, c.PermissionType = r.Principal, r.Host, kmsg.ACLOperation(r.Operation), kmsg.ACLPermissionType(r.Permission)
		req.Creations = append(req.Creations, c)
		resp, err := req.RequestWith(ctx, client(t, n))
		if err != nil || resp.Results[0].ErrorCode != 0 {
			t.Fatal(resp, err)
		}
		return
	}
	req := kmsg.NewPtrDeleteACLsRequest()
	f := kmsg.NewDeleteACLsRequestFilter()
	f.ResourceType, f.ResourcePatternType, f.ResourceName = kmsg.ACLResourceType(r.Type), kmsg.ACLResourcePatternType(r.Pattern), &r.Name
	f.Principal, f.Host, f.Operation, f.PermissionType = &r.Principal, &r.Host, kmsg.ACLOperation(r.Operation), kmsg.ACLPermissionType(r.Permission)
	req.Filters = append(req.Filters, f)
	resp, err := req.RequestWith(ctx, client(t, n))
	if err != nil || resp.Results[0].ErrorCode != 0 || len(resp.Results[0].MatchingACLs) != 1 {
		t.Fatal(resp, err)
	}
}

func mayDescribe(ctx context.Context, t *testing.T, n *Node) bool {
	t.Helper()
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType, req.Operation, req.PermissionType = 1, 1, 1, 1
	resp, err := req.RequestWith(ctx, client(t, n))
	if err != nil {
		t.Fatal(err)
	}
	if resp.ErrorCode != 0 && resp.ErrorCode != kerr.ClusterAuthorizationFailed.Code {
		t.Fatal(kerr.ErrorForCode(resp.ErrorCode))
	}
	return resp.ErrorCode == 0
}

// A right that was taken away through one node is gone on another within a second. The best of some tries counts: how long a
// busy machine lets a node wait is not its doing.
func TestRightsTakenAwayThroughOneNodeAreGoneOnAnother(t *testing.T) {
	t.Parallel()
	stores := memoryStores()
	keys := map[string]string{"authorizer": "on"}
	a, _ := startWith(t, stores, keys)
	b, _ := startWith(t, stores, keys)
	eventually(t, "both are in view", func() bool { return len(a.members.Live()) == 2 && len(b.members.Live()) == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	const alter, describe = "Cluster:LITERAL:kafka-cluster ALLOW Alter * User:ANONYMOUS", "Cluster:LITERAL:kafka-cluster DENY Describe * User:ANONYMOUS"
	if mayDescribe(ctx, t, a) || mayDescribe(ctx, t, b) {
		t.Fatal("without rules anybody may describe the cluster")
	}
	err := a.replica.AlterConfigs(ctx, []metastore.ConfigChange{{
		ConfigResource: metastore.ConfigResource{Kind: metastore.AccessRules, Name: "Cluster:LITERAL:kafka-cluster"},
		Set:            map[string]string{"ALLOW Alter * User:ANONYMOUS": ""}}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the right is there", func() bool { return mayDescribe(ctx, t, b) })
	best := time.Hour
	for range 5 {
		start := time.Now()
		onRule(ctx, t, a, true, describe)
		if mayDescribe(ctx, t, a) {
			t.Fatal("the node that was asked goes by rules from before")
		}
		eventually(t, "the other node has heard of it", func() bool { return !mayDescribe(ctx, t, b) })
		best = min(best, time.Since(start))
		onRule(ctx, t, b, false, describe)
		eventually(t, "the first node has heard of it", func() bool { return mayDescribe(ctx, t, a) })
	}
	t.Logf("a right is gone on the other node after %v", best)
	if best > time.Second {
		t.Errorf("a right is gone on the other node after %v at best", best)
	}
	onRule(ctx, t, a, false, alter)
	if mayDescribe(ctx, t, a) {
		t.Error("a rule that is gone still acts")
	}
}

func TestAuthorizerIsShown(t *testing.T) {
	for _, authorizer := range []string{"on", "off"} {
		n, _ := startWith(t, memoryStores(), map[string]string{"authorizer": authorizer, "cluster.super.users": "User:a;User:ANONYMOUS"})
		eventually(t, "ready", func() bool { return n.Ready() == "" })
		configs := brokerConfigs(t.Context(), t, n, int32(n.members.Self().NodeID))
		if got := configs["authorizer.class.name"]; (got == authorizerClass+"@4") != (authorizer == "on") {
			t.Errorf("%s: authorizer.class.name is %q", authorizer, got)
		}
		if got := configs["super.users"]; got != "User:a;User:ANONYMOUS@4" {
			t.Errorf("super.users is %q", got)
		}
		all := kadm.NewACLs().AnyResource().Allow().AllowHosts().Operations().ResourcePatternType(kadm.ACLPatternAny)
		described, err := kadm.NewClient(client(t, n)).DescribeACLs(t.Context(), all)
		if err != nil || len(described) == 0 {
			t.Fatal(described, err)
		}
		if code, ok := described[0].Err.(*kerr.Error); (authorizer == "off") != (ok && code == kerr.SecurityDisabled) {
			t.Errorf("%s: %v", authorizer, described[0].Err)
		}
	}
}

func TestCandidateRulesAreReadAgainWhenTheyChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules")
	log := new(lines)
	live := acl.NewLive(memoryReplica(t), acl.LiveOptions{Logger: slog.New(slog.NewTextHandler(log, nil))})
	c := &candidateRules{path: path, access: live, log: slog.New(slog.NewTextHandler(log, nil))}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	denied := func(name string) int {
		before := strings.Count(log.String(), "rules=candidate")
		live.Allowed(acl.Client{Principal: "User:a", Host: "h"}, acl.Read, acl.Resource{Type: acl.Topic, Name: name})
		return strings.Count(log.String(), "rules=candidate") - before
	}
	c.look()
	c.look()
	if n := strings.Count(log.String(), "cannot be read"); n != 1 || denied("t0") != 0 {
		t.Errorf("no file: told %d times", n)
	}
	write("Topic:PREFIXED:t ALLOW Read * User:a\n")
	c.look()
	if denied("t1") != 0 || denied("u1") != 1 {
		t.Error("the rules of the file are not evaluated")
	}
	write("Topic:PREFIXED:t ALLOW\n")
	c.look()
	c.look()
	if n := strings.Count(log.String(), "line 1"); n != 1 || denied("t2") != 0 || denied("u2") != 1 {
		t.Errorf("a wrong file: told %d times", n)
	}
	write("# nothing\n")
	c.look()
	if denied("t3") != 1 {
		t.Error("no rules deny nothing")
	}
	if n := strings.Count(log.String(), "trying access rules"); n != 2 {
		t.Errorf("read %d times", n)
	}
}

// The file is found by a node, and what its rules would deny is among its metrics.
func TestNodeTriesCandidateRules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(path, []byte("Topic:PREFIXED:t ALLOW Read * User:a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, _ := startWith(t, memoryStores(), map[string]string{"authorizer_shadow_rules": path, "authorizer": "on", "cluster.super.users": "User:ANONYMOUS"})
	gathered := func(name string) (sum float64) {
		families, err := n.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == name {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
		return sum
	}
	eventually(t, "the rules are tried", func() bool { return gathered("runnel_acl_candidate_rules") == 1 })
	who := acl.Client{Principal: "User:ANONYMOUS", Host: "127.0.0.1"}
	if !n.access.Allowed(who, acl.Write, acl.Resource{Type: acl.Topic, Name: "t"}) || gathered("runnel_acl_shadow_denials_total") != 0 {
		t.Error("super users are super for rules on trial, too")
	}
}

func memoryReplica(t *testing.T) *metastore.Replica {
	t.Helper()
	r := metastore.NewReplica(memoryStores().Metastore, metastore.ReplicaOptions{})
	if err := r.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}
