package node

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/broker/config"
)

// What is recorded until a broker stops is written before it has stopped.
func TestAuditEventsGoToAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	n, stop := startWith(t, memoryStores(), map[string]string{"audit.to": "file://" + path})
	eventually(t, "the broker is ready", func() bool { return n.Ready() == "" })
	n.audit.Record(audit.Event{Kind: audit.Denial, Principal: "User:eve", Action: "Write", Resource: "Topic:a", Failed: true})
	stop()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var e map[string]any
	if lines := strings.Split(strings.TrimSpace(string(b)), "\n"); len(lines) != 1 || json.Unmarshal([]byte(lines[0]), &e) != nil {
		t.Fatalf("got %q", b)
	}
	if e["kind"] != "denial" || e["principal"] != "User:eve" || e["outcome"] != "failure" || e["resource"] != "Topic:a" {
		t.Errorf("got %v", e)
	}
}

func TestAuditEventsGoToATopic(t *testing.T) {
	stores := memoryStores()
	n, stop := startWith(t, stores, map[string]string{"audit.to": "topic:audit"})
	eventually(t, "the broker is ready", func() bool { return n.Ready() == "" })
	const events = 1000 // more than one write takes
	for range events {
		n.audit.Record(audit.Event{Kind: audit.Change, Action: "CreateTopics"})
	}
	c := client(t, n, kgo.ConsumeTopics("audit"))
	seen := 0
	eventually(t, "all events are read", func() bool {
		fetched := c.PollRecords(t.Context(), events)
		fetched.EachRecord(func(r *kgo.Record) {
			seen++
			if !json.Valid(r.Value) || r.Key != nil {
				t.Errorf("record %q: %q", r.Key, r.Value)
			}
		})
		return seen >= events
	})
	if seen != events {
		t.Errorf("%d records of %d events", seen, events)
	}
	n.audit.Record(audit.Event{Kind: audit.Change, Action: "last"})
	stop()
	again, _ := startWith(t, stores, nil)
	c = client(t, again, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"audit": {0: kgo.NewOffset().At(events)}}))
	last := c.PollRecords(t.Context(), 1).Records()
	if len(last) != 1 || !strings.Contains(string(last[0].Value), `"action":"last"`) {
		t.Errorf("what was recorded last is not there: %v", last)
	}
}

func TestWrongPlacesForAuditEventsAreRefused(t *testing.T) {
	for _, to := range []string{"file://relative", "topic:", "topic:a b", "/var/log/audit", "syslog:"} {
		t.Run(to, func(t *testing.T) {
			if err := loadError(map[string]string{"audit.to": to}); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func loadError(keys map[string]string) error {
	flags := map[string]string{"metastore.url": "memory://", "object_store.url": "memory://"}
	for name, value := range keys {
		flags[name] = value
	}
	_, err := config.Load(config.Sources{Flags: flags})
	return err
}

// TestTheFirstUserIsRecorded: nobody asked for the credentials, and they open everything.
func TestTheFirstUserIsRecorded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	n, stop := startWith(t, memoryStores(), map[string]string{"audit.to": "file://" + path, "auth.bootstrap_user": "root", "auth.bootstrap_password": "a secret word"})
	eventually(t, "the broker is ready", func() bool { return n.Ready() == "" })
	stop()
	b, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(b), `"resource":"User:root"`) || strings.Contains(string(b), "secret") {
		t.Errorf("recorded %s, %v", b, err)
	}
}
