package acl

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestValidation(t *testing.T) {
	right := Rule{Topic, Literal, "t", "User:alice", "*", Read, Allow}
	if err := right.Validate(); err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(r *Rule){
		"any type":               func(r *Rule) { r.Type = AnyType },
		"no type":                func(r *Rule) { r.Type = 0 },
		"unknown type":           func(r *Rule) { r.Type = 8 },
		"negative type":          func(r *Rule) { r.Type = -1 },
		"any pattern":            func(r *Rule) { r.Pattern = AnyPattern },
		"match":                  func(r *Rule) { r.Pattern = Match },
		"unknown pattern":        func(r *Rule) { r.Pattern = 5 },
		"no name":                func(r *Rule) { r.Name = "" },
		"another cluster":        func(r *Rule) { r.Type, r.Name = Cluster, "*" },
		"any operation":          func(r *Rule) { r.Operation = AnyOperation },
		"unknown operation":      func(r *Rule) { r.Operation = 16 },
		"any permission":         func(r *Rule) { r.Permission = AnyPermission },
		"unknown permission":     func(r *Rule) { r.Permission = 4 },
		"principal without type": func(r *Rule) { r.Principal = "alice" },
		"no principal":           func(r *Rule) { r.Principal = "" },
		"no host":                func(r *Rule) { r.Host = "" },
		"host with a blank":      func(r *Rule) { r.Host = "a b" },
		"no text":                func(r *Rule) { r.Name = "\xff" },
		"long name":              func(r *Rule) { r.Name = strings.Repeat("x", longestText+1) },
	}
	for name, spoil := range tests {
		r := right
		spoil(&r)
		if err := r.Validate(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, fine := range []Rule{
		{Cluster, Literal, ClusterName, "User:a:b", "*", ClusterAction, Deny},
		{Group, Prefixed, "a b: c", "User:CN=a b,O=c", "host.example.com", Create, Allow}, // which there is not on groups, and which Kafka takes
		{TransactionalID, Literal, "*", "User:*", "fe80::1", TwoPhaseCommit, Allow},
	} {
		if err := fine.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestRulesInTheLog(t *testing.T) {
	r := Rule{TransactionalID, Prefixed, "a b: c", "User:CN=a b,O=c", "::1", DescribeConfigs, Deny}
	resource, entry := r.Pair()
	if resource != "TransactionalId:PREFIXED:a b: c" || entry != "DENY DescribeConfigs ::1 User:CN=a b,O=c" {
		t.Errorf("%q, %q", resource, entry)
	}
	if got, err := FromPair(resource, entry); err != nil || got != r {
		t.Errorf("%v, %v", got, err)
	}
	for _, pair := range [][2]string{
		{"", ""}, {"Topic", "ALLOW Read * User:a"}, {"Topic:LITERAL:", "ALLOW Read * User:a"}, {"topic:LITERAL:t", "ALLOW Read * User:a"},
		{"Topic:literal:t", "ALLOW Read * User:a"}, {"Topic:MATCH:t", "ALLOW Read * User:a"}, {"Any:LITERAL:t", "ALLOW Read * User:a"},
		{"Topic:LITERAL:t", "ALLOW Read *"}, {"Topic:LITERAL:t", "ALLOW Read * alice"}, {"Topic:LITERAL:t", "ALLOW  Read * User:a"},
		{"Topic:LITERAL:t", "allow Read * User:a"}, {"Topic:LITERAL:t", "ALLOW read * User:a"}, {"Topic:LITERAL:t", "ALLOW Any * User:a"},
		{"Topic:LITERAL:t", "ALLOW Read  User:a"}, {"Cluster:LITERAL:c", "ALLOW Read * User:a"}, {"Topic:LITERAL:\xff", "ALLOW Read * User:a"},
	} {
		if r, err := FromPair(pair[0], pair[1]); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, %v", pair, r, err)
		}
	}
}

func TestRulesOfAnotherVersionAreToldOf(t *testing.T) {
	overrides := map[string]map[string]string{
		"Topic:LITERAL:b": {"ALLOW Read * User:a": "", "ALLOW Fly * User:a": ""},
		"Topic:LITERAL:a": {"ALLOW Read * User:a": ""},
	}
	stored := FromPairs(maps.All(overrides))
	if len(stored.Rules) != 2 || stored.Rules[0].Name != "a" || len(stored.Unreadable) != 1 {
		t.Errorf("%v", stored)
	}
}

func FuzzPair(f *testing.F) {
	f.Add("Topic:PREFIXED:orders-", "ALLOW Read * User:alice")
	f.Add("Cluster:LITERAL:kafka-cluster", "DENY All 10.0.0.1 User:*")
	f.Add("Group:LITERAL:a:b c", "ALLOW DescribeConfigs ::1 User:CN=a b")
	f.Fuzz(func(t *testing.T, resource, entry string) {
		r, err := FromPair(resource, entry)
		if err != nil {
			return
		}
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		if a, b := r.Pair(); a != resource || b != entry {
			t.Fatalf("%q %q became %q %q", resource, entry, a, b)
		}
		if again, err := ParseRule(r.String()); err != nil || again != r {
			t.Fatalf("%q: %v, %v", r.String(), again, err)
		}
	})
}

func FuzzParseRules(f *testing.F) {
	f.Add("# all\nTopic:PREFIXED:orders- ALLOW Read * User:alice\n\n  \"Group:LITERAL:a b\"\tDENY All ::1 \"User:CN=a b\"\n")
	f.Add(`"`)
	f.Add(`Topic:LITERAL:t ALLOW Read "a b" User:x`)
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := ParseRules(text)
		if err != nil {
			return
		}
		var lines []string
		for _, r := range rules {
			lines = append(lines, r.String())
		}
		if again, err := ParseRules(strings.Join(lines, "\n")); err != nil || !slices.Equal(again, rules) {
			t.Fatalf("%q became %q: %v", rules, again, err)
		}
	})
}

func TestRulesAsText(t *testing.T) {
	text := "# what is what\n\n Topic:PREFIXED:orders- ALLOW Read * User:alice\r\n\"Group:LITERAL:a b\"\tDENY  All ::1 \"User:CN=a b\"\nTopic:PREFIXED:orders- ALLOW Read * User:alice"
	got, err := ParseRules(text)
	want := []Rule{{Topic, Prefixed, "orders-", "User:alice", "*", Read, Allow}, {Group, Literal, "a b", "User:CN=a b", "::1", All, Deny}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for text, says := range map[string]string{
		"\nTopic:LITERAL:t ALLOW Read *":          "line 2: ",
		"Topic:LITERAL:t ALLOW Read * User:a b":   "6 words",
		`Topic:LITERAL:t ALLOW Read "a b" User:x`: "blank",
		`"Topic:LITERAL:t ALLOW Read * User:x`:    "quote",
		`"Topic:LITERAL:t"ALLOW Read * User:x`:    "blank",
		"Topic:LITERAL:t ALLOW Fly * User:x":      `unknown operation "Fly"`,
		"topic:LITERAL:t ALLOW Read * User:x":     "not how it is written",
	} {
		if _, err := ParseRules(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestFilters(t *testing.T) {
	all := rules(t,
		"Topic:LITERAL:foo ALLOW Read * User:a", "Topic:LITERAL:* DENY All 1.1.1.1 User:*", "Topic:PREFIXED:fo ALLOW Write * User:a",
		"Topic:PREFIXED:foo ALLOW Write * User:b", "Topic:LITERAL:bar ALLOW Read * User:b", "Group:LITERAL:foo ALLOW Read * User:a")
	text := func(s string) *string { return &s }
	tests := []struct {
		name   string
		filter func(f *Filter)
		want   []int
	}{
		{"all", func(*Filter) {}, []int{0, 1, 2, 3, 4, 5}},
		{"type", func(f *Filter) { f.Type = Group }, []int{5}},
		{"name, any pattern", func(f *Filter) { f.Type, f.Name = Topic, text("foo") }, []int{0, 3}},
		{"literal name", func(f *Filter) { f.Name, f.Pattern = text("foo"), Literal }, []int{0, 5}},
		{"literal *", func(f *Filter) { f.Name, f.Pattern = text("*"), Literal }, []int{1}},
		{"prefixed name", func(f *Filter) { f.Name, f.Pattern = text("foo"), Prefixed }, []int{3}},
		{"pattern without name", func(f *Filter) { f.Pattern = Prefixed }, []int{2, 3}},
		{"match", func(f *Filter) { f.Type, f.Name, f.Pattern = Topic, text("foo"), Match }, []int{0, 1, 2, 3}},
		{"match of a longer name", func(f *Filter) { f.Type, f.Name, f.Pattern = Topic, text("food"), Match }, []int{1, 2, 3}},
		{"match of every name", func(f *Filter) { f.Type, f.Pattern = Group, Match }, []int{5}},
		{"principal", func(f *Filter) { f.Principal = text("User:b") }, []int{3, 4}},
		{"principal * is not all", func(f *Filter) { f.Principal = text("User:*") }, []int{1}},
		{"host", func(f *Filter) { f.Host = text("1.1.1.1") }, []int{1}},
		{"host * is not all", func(f *Filter) { f.Host = text("*") }, []int{0, 2, 3, 4, 5}},
		{"operation", func(f *Filter) { f.Operation = Write }, []int{2, 3}},
		{"permission", func(f *Filter) { f.Permission = Deny }, []int{1}},
		{"empty name", func(f *Filter) { f.Name = text("") }, nil},
	}
	for _, tt := range tests {
		f := AllRules
		tt.filter(&f)
		var got []int
		for i, r := range all {
			if f.Picks(r) {
				got = append(got, i)
			}
		}
		if err := f.Validate(); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v (%v)", tt.name, got, tt.want, err)
		}
	}
	for _, f := range []Filter{{}, {Type: 8, Pattern: 1, Operation: 1, Permission: 1}, {Type: 1, Pattern: 5, Operation: 1, Permission: 1}, {Type: 1, Pattern: 1, Operation: 16, Permission: 1}, {Type: 1, Pattern: 1, Operation: 1, Permission: -1}} {
		if err := f.Validate(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestNames(t *testing.T) {
	for _, s := range []string{"DescribeConfigs", "describe-configs", "DESCRIBE_CONFIGS", "describeconfigs"} {
		if op, err := ParseOperation(s); err != nil || op != DescribeConfigs {
			t.Errorf("%s: %v, %v", s, op, err)
		}
	}
	if typ, err := ParseResourceType("transactional-id"); err != nil || typ != TransactionalID {
		t.Errorf("%v, %v", typ, err)
	}
	if _, err := ParseResourceType("topics"); err == nil || !strings.Contains(err.Error(), "TransactionalId") {
		t.Error(err)
	}
	if s := Operation(99).String() + Permission(-1).String(); s != "Operation(99)Permission(-1)" {
		t.Error(s)
	}
	if users := ParseSuperUsers(" User:a; ;User:CN=b,O=c;"); !slices.Equal(users, []string{"User:a", "User:CN=b,O=c"}) {
		t.Error(users)
	}
}
