package ascode

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"context"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/runnel-io/runnel/integration/harness"
)

// acl is a kafka_acl.
type acl struct {
	name                                                            string // Terraform's
	kind, resource, pattern, principal, host, operation, permission string
}

func (a acl) address() string { return "kafka_acl." + a.name }

// id is what the provider calls it.
func (a acl) id() string {
	return strings.Join([]string{a.principal, a.host, a.operation, a.permission, a.kind, a.resource, a.pattern}, "|")
}

func (a acl) String() string {
	return fmt.Sprintf(`resource "kafka_acl" %q {
  resource_type                = %q
  resource_name                = %q
  resource_pattern_type_filter = %q
  acl_principal                = %q
  acl_host                     = %q
  acl_operation                = %q
  acl_permission_type          = %q
}
`, a.name, a.kind, a.resource, a.pattern, a.principal, a.host, a.operation, a.permission)
}

func textOf[T fmt.Stringer](all []T) string {
	var b strings.Builder
	for _, one := range all {
		b.WriteString(one.String())
	}
	return b.String()
}

func addresses[T interface{ address() string }](all []T) (names []string) {
	for _, one := range all {
		names = append(names, one.address())
	}
	return names
}

// ruleCount is how many rules the cluster has.
func (c *cluster) ruleCount() int {
	c.t.Helper()
	all, err := c.admin.DescribeACLs(harness.Soon(c.t), kadm.NewACLs().AnyResource().Allow().Deny().AllowHosts().DenyHosts().Operations().ResourcePatternType(kadm.ACLPatternAny))
	if err != nil {
		c.t.Fatal(err)
	}
	n := 0
	for _, r := range all {
		if r.Err != nil {
			c.t.Fatal(r.Err)
		}
		n += len(r.Described)
	}
	return n
}

// TestAccessRulesAsCode: rules of every kind of resource, pattern and operation are made, found as they were made, count at
// once, and go.
func TestAccessRulesAsCode(t *testing.T) {
	t.Parallel()
	for _, brokers := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d brokers", brokers), func(t *testing.T) { accessRules(t, openCluster(t, brokers)) })
	}
}

func accessRules(t *testing.T, c *cluster) {
	w := newWorkspace(t, c)
	user := users{{name: "app", mechanism: "SCRAM-SHA-512", iterations: 4096, password: "first secret"}}
	orders := topic{"orders", 2, 1, nil}
	base := text(orders) + textOf(user)
	w.apply(base, and(each(create, orders.address()), each(create, addresses(user)...)))
	may := func() bool {
		client := c.login(c.brokers[len(c.brokers)-1], "app", "first secret", scram.Auth.AsSha512Mechanism)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return client.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte("x")}).FirstErr() == nil
	}
	if may() {
		t.Fatal("a user without rules may write")
	}

	const app, any = "User:app", "*"
	rules := []acl{
		{"write", "Topic", "orders", "Literal", app, any, "Write", "Allow"},
		{"prefixed", "Topic", "app.", "Prefixed", app, any, "All", "Allow"},
		{"denied", "Topic", "secret", "Literal", app, "10.0.0.1", "Read", "Deny"},
		{"everybody", "Topic", "*", "Literal", "User:*", any, "Describe", "Allow"},
		{"group", "Group", "app.", "Prefixed", app, any, "Read", "Allow"},
		{"groups", "Group", "*", "Literal", app, any, "Describe", "Allow"},
		{"transactions", "TransactionalID", "app.", "Prefixed", app, any, "Write", "Allow"},
	}
	for _, operation := range []string{"Create", "Alter", "Describe", "ClusterAction", "DescribeConfigs", "AlterConfigs", "IdempotentWrite"} {
		rules = append(rules, acl{"cluster_" + operation, "Cluster", "kafka-cluster", "Literal", app, any, operation, "Allow"})
	}
	for _, operation := range []string{"Read", "Write", "Create", "Delete", "Alter", "Describe", "DescribeConfigs", "AlterConfigs"} {
		rules = append(rules, acl{"topic_" + operation, "Topic", "all", "Literal", "User:CN=a,O=b", any, operation, "Allow"})
	}
	w.apply(base+textOf(rules), each(create, addresses(rules)...))
	if n := c.ruleCount(); n != len(rules) {
		t.Errorf("%d rules on the cluster, want %d", n, len(rules))
	}
	eventually(t, "the user may write", may)

	// A rule that somebody else deleted is made again; the others stay.
	gone := rules[1]
	if _, err := c.admin.DeleteACLs(harness.Soon(t), kadm.NewACLs().Topics(gone.resource).Allow(app).AllowHosts().Operations().ResourcePatternType(kadm.ACLPatternPrefixed)); err != nil {
		t.Fatal(err)
	}
	todo, _ := w.plan(base + textOf(rules))
	if !maps.EqualFunc(todo, each(create, gone.address()), slices.Equal) {
		t.Errorf("one rule was deleted: the plan is %v", todo)
	}
	w.must("apply", "plan")
	w.steady(base + textOf(rules))

	// A rule has no parts that change: it is another one, as the provider has it.
	rules[2].host = "10.0.0.2"
	w.apply(base+textOf(rules), each(replace, rules[2].address()))

	other := newWorkspace(t, c)
	other.write(textOf(rules))
	for _, r := range rules[:3] {
		other.must("import", r.address(), r.id())
	}
	other.steady(textOf(rules[:3]))

	left := slices.DeleteFunc(slices.Clone(rules), func(r acl) bool { return r.name == "write" })
	w.apply(base+textOf(left), each([]string{"delete"}, "kafka_acl.write"))
	eventually(t, "the user may not write any more", func() bool { return !may() })
	w.destroy()
	if n := c.ruleCount(); n != 0 {
		t.Errorf("%d rules are left", n)
	}
}

// credential is a kafka_user_scram_credential.
type credential struct {
	name, mechanism string
	iterations      int
	password        string
}

type users []credential

func (u credential) label() string {
	return u.name + "_" + strings.TrimPrefix(u.mechanism, "SCRAM-SHA-")
}
func (u credential) address() string { return "kafka_user_scram_credential." + u.label() }

func (u credential) String() string {
	return fmt.Sprintf("resource \"kafka_user_scram_credential\" %q {\n  username = %q\n  scram_mechanism = %q\n  scram_iterations = %d\n  password = %q\n}\n",
		u.label(), u.name, u.mechanism, u.iterations, u.password)
}

// TestUsersAsCode: credentials of both mechanisms let their users in, a new password does in place of the old one, and
// whoever was deleted stays out.
func TestUsersAsCode(t *testing.T) {
	t.Parallel()
	c := openCluster(t, 3)
	w := newWorkspace(t, c)
	in := func(u credential) bool {
		mechanism := map[string]func(scram.Auth) sasl.Mechanism{"SCRAM-SHA-256": scram.Auth.AsSha256Mechanism, "SCRAM-SHA-512": scram.Auth.AsSha512Mechanism}[u.mechanism]
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return c.login(c.brokers[1], u.name, u.password, mechanism).Ping(ctx) == nil
	}
	all := users{{"app", "SCRAM-SHA-256", 4096, "first"}, {"app", "SCRAM-SHA-512", 8192, "first"}, {"other", "SCRAM-SHA-512", 4096, "sécret \\ \u00a0"}}
	w.apply(textOf(all), each(create, addresses(all)...))
	for _, u := range all {
		eventually(t, u.label()+" comes in", func() bool { return in(u) })
	}
	old := all[1]
	all[1].password = "second"
	w.apply(textOf(all), each(update, all[1].address()))
	eventually(t, "the new password counts", func() bool { return in(all[1]) && !in(old) })
	if !in(all[0]) {
		t.Error("the other mechanism's password is gone")
	}
	all[0].iterations = 8192
	w.apply(textOf(all), each(update, all[0].address()))

	other := newWorkspace(t, c)
	other.write(textOf(all))
	for _, u := range all {
		other.must("import", u.address(), u.name+"|"+u.mechanism+"|"+u.password)
	}
	other.steady(textOf(all))

	gone := all[2]
	all = all[:2]
	w.apply(textOf(all), each([]string{"delete"}, gone.address()))
	eventually(t, "who is deleted stays out", func() bool { return !in(gone) })
	w.destroy()
	if in(all[0]) || in(all[1]) {
		t.Error("a deleted user comes in")
	}
}

// quota is a kafka_quota.
type quota struct {
	label, kind, entity string // an entity "" is the default
	config              map[string]float64
}

func (q quota) address() string { return "kafka_quota." + q.label }

func (q quota) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "resource \"kafka_quota\" %q {\n  entity_type = %q\n", q.label, q.kind)
	if q.entity != "" {
		fmt.Fprintf(&b, "  entity_name = %q\n", q.entity)
	}
	b.WriteString("  config = {\n")
	for _, name := range slices.Sorted(maps.Keys(q.config)) {
		fmt.Fprintf(&b, "    %q = %v\n", name, q.config[name])
	}
	b.WriteString("  }\n}\n")
	return b.String()
}

// TestQuotasAsCode: quotas of users, clients and addresses, by name and by default, are found as they were set.
func TestQuotasAsCode(t *testing.T) {
	t.Parallel()
	c := openCluster(t, 3)
	w := newWorkspace(t, c)
	all := []quota{
		{"app", "user", "app", map[string]float64{"producer_byte_rate": 1 << 20, "consumer_byte_rate": 2 << 20, "request_percentage": 200}},
		{"users", "user", "", map[string]float64{"controller_mutation_rate": 2.5}},
		{"client", "client-id", "a client: 1%", map[string]float64{"producer_byte_rate": 4e9}},
		{"clients", "client-id", "", map[string]float64{"consumer_byte_rate": 1 << 20}},
		{"address", "ip", "10.0.0.1", map[string]float64{"connection_creation_rate": 10}},
		{"addresses", "ip", "", map[string]float64{"connection_creation_rate": 100}},
	}
	w.apply(textOf(all), each(create, addresses(all)...))
	// The provider has no way to change a quota but to delete it and set it anew.
	all[0].config = map[string]float64{"producer_byte_rate": 2 << 20, "request_percentage": 0.5}
	w.apply(textOf(all), each(replace, all[0].address()))
	gone := all[3]
	all = slices.Delete(all, 3, 4)
	w.apply(textOf(all), each([]string{"delete"}, gone.address()))
	w.destroy()
	left, err := c.admin.DescribeClientQuotas(harness.Soon(t), false, nil)
	if err != nil || len(left) > 0 {
		t.Errorf("quotas are left: %v, %v", left, err)
	}
}
