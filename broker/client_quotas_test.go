package broker

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/broker/quota"
	"github.com/runnel-io/runnel/metastore"
)

type quotaOps map[string]float64 // 0 removes

// quotaEntry is the change of quotas of an entity given as type, name, type, name; "-" is the default.
func quotaEntry(ops quotaOps, parts ...string) kmsg.AlterClientQuotasRequestEntry {
	var e kmsg.AlterClientQuotasRequestEntry
	for i := 0; i < len(parts); i += 2 {
		part := kmsg.AlterClientQuotasRequestEntryEntity{Type: parts[i]}
		if parts[i+1] != "-" {
			part.Name = &parts[i+1]
		}
		e.Entity = append(e.Entity, part)
	}
	for _, key := range slices.Sorted(maps.Keys(ops)) {
		e.Ops = append(e.Ops, kmsg.AlterClientQuotasRequestEntryOp{Key: key, Value: ops[key], Remove: ops[key] == 0})
	}
	return e
}

func (h *harness) alterQuotas(version int16, validateOnly bool, entries ...kmsg.AlterClientQuotasRequestEntry) []kmsg.AlterClientQuotasResponseEntry {
	h.t.Helper()
	req := kmsg.NewPtrAlterClientQuotasRequest()
	req.Entries, req.ValidateOnly = entries, validateOnly
	return ask[*kmsg.AlterClientQuotasResponse](h, version, req).Entries
}

// setQuota sets a quota, which must go well.
func (h *harness) setQuota(key string, value float64, parts ...string) {
	h.t.Helper()
	for _, e := range h.alterQuotas(1, false, quotaEntry(quotaOps{key: value}, parts...)) {
		equal(h.t, "error", kerr.ErrorForCode(e.ErrorCode), nil)
	}
}

// quotas are described as text.
func (h *harness) quotas(version int16, strict bool, components ...kmsg.DescribeClientQuotasRequestComponent) (entries []string, err error) {
	h.t.Helper()
	req := kmsg.NewPtrDescribeClientQuotasRequest()
	req.Components, req.Strict = components, strict
	resp := ask[*kmsg.DescribeClientQuotasResponse](h, version, req)
	for _, e := range resp.Entries {
		text := ""
		for _, p := range e.Entity {
			name := "-"
			if p.Name != nil {
				name = *p.Name
			}
			text += p.Type + "=" + name + " "
		}
		for _, v := range e.Values {
			text += fmt.Sprintf("%s:%g ", v.Key, v.Value)
		}
		entries = append(entries, text[:len(text)-1])
	}
	return entries, kerr.ErrorForCode(resp.ErrorCode)
}

func component(kind string, match kmsg.QuotasMatchType, name string) kmsg.DescribeClientQuotasRequestComponent {
	c := kmsg.DescribeClientQuotasRequestComponent{EntityType: kind, MatchType: match}
	if name != "" {
		c.Match = &name
	}
	return c
}

func TestQuotasAreDescribedAsTheyWereSet(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.versions(49, func(t *testing.T, version int16) {
		for _, e := range h.alterQuotas(version, false,
			quotaEntry(quotaOps{"producer_byte_rate": 1000, "request_percentage": 12.5}, "user", "alice"),
			quotaEntry(quotaOps{"consumer_byte_rate": 2000}, "client-id", "app", "user", "alice"),
			quotaEntry(quotaOps{"consumer_byte_rate": 3000}, "client-id", "-"),
			quotaEntry(quotaOps{"connection_creation_rate": 5}, "ip", "10.0.0.1"),
		) {
			equal(t, "error", e.ErrorCode, 0)
		}
		const (
			both     = "user=alice client-id=app consumer_byte_rate:2000"
			user     = "user=alice producer_byte_rate:1000 request_percentage:12.5"
			clients  = "client-id=- consumer_byte_rate:3000"
			address  = "ip=10.0.0.1 connection_creation_rate:5"
			exact    = kmsg.QuotasMatchTypeExact
			standard = kmsg.QuotasMatchTypeDefault
			anything = kmsg.QuotasMatchTypeAny
		)
		type filter = []kmsg.DescribeClientQuotasRequestComponent
		for _, c := range []struct {
			filter filter
			strict bool
			want   []string
		}{
			{nil, false, []string{clients, address, user, both}},
			{nil, true, nil},
			{filter{component("user", anything, "")}, false, []string{user, both}},
			{filter{component("user", anything, "")}, true, []string{user}},
			{filter{component("user", exact, "alice"), component("client-id", exact, "app")}, true, []string{both}},
			{filter{component("user", exact, "bob")}, false, nil},
			{filter{component("client-id", standard, "")}, false, []string{clients}},
			{filter{component("user", standard, "")}, false, nil},
			{filter{component("client-id", anything, "")}, false, []string{clients, both}},
			{filter{component("ip", anything, "")}, false, []string{address}},
		} {
			got, err := h.quotas(version, c.strict, c.filter...)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%+v strict %v: %q, %v, want %q", c.filter, c.strict, got, err, c.want)
			}
		}
		for _, e := range h.alterQuotas(version, false, quotaEntry(quotaOps{"producer_byte_rate": 0, "consumer_byte_rate": 0}, "user", "alice")) {
			equal(t, "error", e.ErrorCode, 0)
		}
		if got, _ := h.quotas(version, true, component("user", exact, "alice")); !slices.Equal(got, []string{"user=alice request_percentage:12.5"}) {
			t.Errorf("after one was removed: %q", got)
		}
	})
}

func TestWrongFiltersOfQuotas(t *testing.T) {
	h := newHarness(t, nil, 0)
	for _, c := range []struct {
		what   string
		filter []kmsg.DescribeClientQuotasRequestComponent
		want   error
	}{
		{"empty type", []kmsg.DescribeClientQuotasRequestComponent{component("", 2, "")}, kerr.InvalidRequest},
		{"unknown type", []kmsg.DescribeClientQuotasRequestComponent{component("group", 2, "")}, kerr.UnsupportedVersion},
		{"twice", []kmsg.DescribeClientQuotasRequestComponent{component("user", 2, ""), component("user", 1, "")}, kerr.InvalidRequest},
		{"exact without a name", []kmsg.DescribeClientQuotasRequestComponent{component("user", 0, "")}, kerr.InvalidRequest},
		{"any with a name", []kmsg.DescribeClientQuotasRequestComponent{component("user", 2, "x")}, kerr.InvalidRequest},
		{"match type 3", []kmsg.DescribeClientQuotasRequestComponent{component("user", 3, "")}, kerr.InvalidRequest},
		{"ip with user", []kmsg.DescribeClientQuotasRequestComponent{component("ip", 2, ""), component("user", 2, "")}, kerr.InvalidRequest},
	} {
		if got, err := h.quotas(1, false, c.filter...); err != c.want || got != nil {
			t.Errorf("%s: %v, %v, want %v", c.what, got, err, c.want)
		}
	}
}

func TestWrongQuotasAreRefusedAndOthersOfTheRequestAreSet(t *testing.T) {
	h := newHarness(t, nil, 0)
	rate := quotaOps{"producer_byte_rate": 1}
	wrong := []kmsg.AlterClientQuotasRequestEntry{
		quotaEntry(rate),
		quotaEntry(rate, "group", "x"),
		quotaEntry(rate, "user", ""),
		quotaEntry(rate, "user", "a", "user", "b"),
		quotaEntry(rate, "ip", "10.0.0.1", "user", "a"),
		quotaEntry(rate, "ip", "10.0.0.2"),
		quotaEntry(quotaOps{"connection_creation_rate": 1}, "ip", "no address"),
		quotaEntry(quotaOps{"connection_creation_rate": 1}, "user", "c"),
		quotaEntry(quotaOps{"producer_byte_rate": -1}, "user", "d"),
		quotaEntry(quotaOps{"producer_byte_rate": 1.5}, "user", "e"),
		quotaEntry(quotaOps{"nothing": 1, "producer_byte_rate": 1}, "user", "f"),
	}
	twice := quotaEntry(rate, "user", "g")
	twice.Ops = append(twice.Ops, twice.Ops[0])
	right := quotaEntry(rate, "user", "right")
	answers := h.alterQuotas(1, false, append(append([]kmsg.AlterClientQuotasRequestEntry{right}, wrong...), twice,
		quotaEntry(rate, "user", "h", "client-id", "h"), quotaEntry(rate, "client-id", "h", "user", "h"))...)
	equal(t, "answers", len(answers), len(wrong)+3)
	for i, a := range answers {
		want := kerr.InvalidRequest.Code
		if i == 0 {
			want = 0
		}
		if a.ErrorCode != want {
			t.Errorf("entry %d: %v", i, kerr.ErrorForCode(a.ErrorCode))
		}
	}
	if got, _ := h.quotas(1, false); !slices.Equal(got, []string{"user=right producer_byte_rate:1"}) {
		t.Errorf("set is %q", got)
	}
	equal(t, "error of validation", h.alterQuotas(1, true, quotaEntry(rate, "user", "i"))[0].ErrorCode, 0)
	if got, _ := h.quotas(1, false); len(got) != 1 {
		t.Errorf("a validation has set %q", got)
	}
}

// recorder keeps events.
type quotaEvents struct{ events []audit.Event }

func (r *quotaEvents) Record(e audit.Event) { r.events = append(r.events, e) }

// noConfigs lets nobody see or alter settings.
type noConfigs struct{ unlocked }

func (noConfigs) Enabled() bool { return true }

func (noConfigs) Allowed(_ acl.Client, op acl.Operation, _ acl.Resource) bool {
	return op != acl.AlterConfigs && op != acl.DescribeConfigs
}

func TestQuotasNeedAuthorizationAndAreRecorded(t *testing.T) {
	h := newHarness(t, nil, 0)
	var events quotaEvents
	h.broker.Audit = &events
	h.setQuota("producer_byte_rate", 5, "user", "alice")
	if len(events.events) != 1 || events.events[0].Kind != audit.Change || events.events[0].Resource != "ClientQuota:user=alice" || events.events[0].After["producer_byte_rate"] != "5" {
		t.Errorf("recorded: %+v", events.events)
	}
	h.broker.Access = noConfigs{}
	equal(t, "error", kerr.ErrorForCode(h.alterQuotas(1, false, quotaEntry(quotaOps{"producer_byte_rate": 6}, "user", "alice"))[0].ErrorCode), error(kerr.ClusterAuthorizationFailed))
	if _, err := h.quotas(1, false); err != kerr.ClusterAuthorizationFailed {
		t.Errorf("describing: %v", err)
	}
	equal(t, "quota", h.replica.Configs(metastore.ConfigResource{Kind: metastore.ClientQuotas, Name: quota.Entity{User: quota.Named("alice")}.String()})["producer_byte_rate"], "5")
}
