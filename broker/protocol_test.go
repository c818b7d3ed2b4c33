package broker

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var update = flag.Bool("update", false, "write generated files instead of comparing them")

func TestProtocolDocIsCurrent(t *testing.T) {
	const path = "../docs/protocol.md"
	if *update {
		if err := os.WriteFile(path, []byte(ProtocolDoc()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != ProtocolDoc() {
		t.Fatal("docs/protocol.md is stale: run go generate ./broker")
	}
}

// TestEveryKeyIsServedOrSaidWhyNot: docs/protocol.md has a row for each key that there is.
func TestEveryKeyIsServedOrSaidWhyNot(t *testing.T) {
	rows := make(map[int16]int)
	for _, a := range new(Broker).apis() {
		rows[a.key]++
	}
	for i, u := range unservedKeys {
		rows[u.key]++
		if i > 0 && u.key <= unservedKeys[i-1].key {
			t.Errorf("%s is not in the order of keys", u.name)
		}
		if u.why == "" || !strings.EqualFold(u.name, kmsg.NameForKey(u.key)) {
			t.Errorf("key %d: %q, kmsg's name is %q; because: %q", u.key, u.name, kmsg.NameForKey(u.key), u.why)
		}
	}
	for key := range int16(kmsg.MaxKey + 1) {
		if rows[key] != 1 {
			t.Errorf("key %d, %s, has %d rows", key, kmsg.NameForKey(key), rows[key])
		}
		delete(rows, key)
	}
	if len(rows) > 0 {
		t.Errorf("keys that do not exist: %v", rows)
	}
}

func TestProtocolTable(t *testing.T) {
	apis := new(Broker).apis()
	if !slices.IsSortedFunc(apis, func(a, b api) int { return int(a.key) - int(b.key) }) {
		t.Error("rows are not in the order of their keys")
	}
	for _, a := range apis {
		req := kmsg.RequestForKey(a.key)
		switch {
		case req == nil:
			t.Errorf("key %d: kmsg does not know it", a.key)
		case !strings.EqualFold(kmsg.NameForKey(a.key), a.name) && a.name != "AlterPartitionReassignments":
			t.Errorf("key %d: name %q, kmsg's is %q", a.key, a.name, kmsg.NameForKey(a.key))
		case a.min < 0 || a.min > a.max || a.max > req.MaxVersion() || a.claimed > a.min:
			t.Errorf("%s: versions %d-%d", a.name, a.min, a.max)
		}
	}
}
