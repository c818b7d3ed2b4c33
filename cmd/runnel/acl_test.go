package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
)

// startBroker runs a broker in this process and returns its address.
func startBroker(t *testing.T, keys map[string]string, set ...string) string {
	t.Helper()
	flags := map[string]string{"listen": "127.0.0.1:0", "admin.listen": "", "peer.listen": "", "metastore.url": "memory://", "object_store.url": "memory://", "memory.produce": "64MiB", "memory.cache": "64MiB", "drain.timeout": "5s"}
	for name, value := range keys {
		flags[name] = value
	}
	loaded, err := config.Load(config.Sources{Set: set, Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), node.Options{Config: &loaded.Config, Version: "test",
		Stores: &node.Stores{Metastore: metamemory.New(metamemory.Options{}), Objects: objmemory.New()}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	deadline, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for n.Ready() != "" {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(n.Ready())
		}
	}
	return n.Addr().String()
}

// runLine runs a command line that has to succeed.
func runLine(t *testing.T, bootstrap, line string) string {
	t.Helper()
	out, errOut, code := run(t, []string{"RUNNEL_BOOTSTRAP=" + bootstrap}, strings.Fields(line)...)
	if code != 0 {
		t.Fatalf("%s: exit %d: %s%s", line, code, out, errOut)
	}
	return out
}

func TestAccessRules(t *testing.T) {
	bootstrap := startBroker(t, map[string]string{"authorizer": "on"}, "super.users=User:ANONYMOUS;User:root", "allow.everyone.if.no.acl.found=true")
	out := runLine(t, bootstrap, "acl create --allow User:alice --allow User:bob --operation read,describe-configs --topic orders- --pattern prefixed")
	if want := "created Topic:PREFIXED:orders- ALLOW Read * User:alice\n"; !strings.HasPrefix(out, want) || strings.Count(out, "\n") != 4 {
		t.Errorf("created: %s", out)
	}
	runLine(t, bootstrap, "acl create --deny User:bob --operation all --topic orders-secret --host 10.0.0.7 --host 10.0.0.8")
	runLine(t, bootstrap, "acl create --allow User:alice --operation alter --cluster")

	out = runLine(t, bootstrap, "acl list")
	if !strings.HasPrefix(out, "RESOURCE  PATTERN   NAME           PERMISSION  OPERATION        HOST      PRINCIPAL\nTopic     LITERAL   orders-secret  DENY        All              10.0.0.7  User:bob\n") {
		t.Errorf("listed:\n%s", out)
	}
	var rules []ruleJSON
	if err := json.Unmarshal([]byte(runLine(t, bootstrap, "acl list --topic orders-secret --pattern match --principal User:bob --operation all --json")), &rules); err != nil || len(rules) != 2 || rules[0].Permission != "DENY" {
		t.Errorf("%v, %v", rules, err)
	}

	for line, want := range map[string]string{
		"acl explain User:alice read topic orders-1":                     "allowed: User:alice from * may Read Topic orders-1: Topic:PREFIXED:orders- ALLOW Read * User:alice allows it\n",
		"acl explain User:alice describe topic orders-1":                 "since Read implies Describe",
		"acl explain User:bob read topic orders-secret --host 10.0.0.7":  "denied: User:bob from 10.0.0.7 may not Read Topic orders-secret: Topic:LITERAL:orders-secret DENY All 10.0.0.7 User:bob denies it, which outweighs what allows it",
		"acl explain User:bob read topic orders-secret":                  "allowed: ",
		"acl explain User:carol read topic orders-1":                     "no rule is about this client and operation",
		"acl explain User:carol read topic other":                        "allowed: User:carol from * may Read Topic other: no rule is on the resource, and allow.everyone.if.no.acl.found is true",
		"acl explain User:root delete topic orders-secret":               "it is a super user",
		"acl explain User:alice alter cluster":                           "allowed: User:alice from * may Alter Cluster kafka-cluster",
		"acl explain User:bob read topic orders-secret --host 10.0.0.7 ": "\n* Topic:LITERAL:orders-secret DENY All 10.0.0.7 User:bob\n  Topic:LITERAL:orders-secret DENY All 10.0.0.8 User:bob\n",
		"acl explain User:alice read topic orders-1 --json":              `"in_force": true`,
	} {
		if out := runLine(t, bootstrap, line); !strings.Contains(out, want) {
			t.Errorf("%s: %q in\n%s", line, want, out)
		}
	}

	// What is printed as rules makes the same rules.
	text := runLine(t, bootstrap, "acl list --format rules")
	file := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(file, []byte("# a copy\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := runLine(t, bootstrap, "acl delete --permission deny"); strings.Count(out, "deleted Topic:LITERAL:orders-secret DENY All") != 2 {
		t.Errorf("deleted: %s", out)
	}
	runLine(t, bootstrap, "acl delete --all")
	if out := runLine(t, bootstrap, "acl list --format rules"); out != "" {
		t.Errorf("left: %s", out)
	}
	runLine(t, bootstrap, "acl create --file "+file)
	if out := runLine(t, bootstrap, "acl list --format rules"); out != text {
		t.Errorf("%s became\n%s", text, out)
	}
}

func TestAccessRulesWithoutAuthorizer(t *testing.T) {
	bootstrap := startBroker(t, nil)
	for _, line := range []string{"acl list", "acl delete --all", "acl create --allow User:a --operation read --topic t", "acl explain User:a read topic t"} {
		_, errOut, code := run(t, []string{"RUNNEL_BOOTSTRAP=" + bootstrap}, strings.Fields(line)...)
		if code != exitError || !strings.Contains(errOut, "SECURITY_DISABLED") || !strings.Contains(errOut, "authorizer: on") {
			t.Errorf("%s: exit %d: %s", line, code, errOut)
		}
	}
}

func TestAccessRulesInShadow(t *testing.T) {
	bootstrap := startBroker(t, map[string]string{"authorizer": "shadow"})
	runLine(t, bootstrap, "acl create --deny User:a --operation read --topic t")
	out, errOut, code := run(t, []string{"RUNNEL_BOOTSTRAP=" + bootstrap}, "acl", "explain", "User:a", "read", "topic", "t")
	if code != 0 || !strings.HasPrefix(out, "denied: ") || !strings.Contains(errOut, "everything is allowed") {
		t.Errorf("exit %d: %s%s", code, out, errOut)
	}
}

// TestHostsOfRulesAreAddresses: a rule with a network or the name of a host would be about nobody, and deny nothing.
func TestHostsOfRulesAreAddresses(t *testing.T) {
	for _, host := range []string{"10.0.0.0/8", "db.example.com", "[::1]"} {
		_, errOut, code := run(t, nil, "acl", "create", "--deny", "User:a", "--operation", "all", "--topic", "t", "--host", host)
		if code != exitUsage || !strings.Contains(errOut, "is no address") {
			t.Errorf("%s: exit %d: %s", host, code, errOut)
		}
	}
}
