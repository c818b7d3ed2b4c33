package postgres

import (
	"reflect"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// TestABinaryFromBeforeListenersHasThoseOfNobodyElse is a cluster that goes back to such a binary: it registers under the node id of a
// later one, and does not know the column.
func TestABinaryFromBeforeListenersHasThoseOfNobodyElse(t *testing.T) {
	dsn := migrated(t)
	s, conn := open(t, dsn), connect(t, dsn)
	b := metastore.Broker{NodeID: 1, Host: "new", Port: 9092, Listeners: []metastore.Listener{{Name: "A", Host: "new", Port: 9092, Protocol: "SSL"}}}
	if _, err := s.RegisterBroker(t.Context(), b, time.Hour); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "update brokers set epoch = epoch + 1, host = 'old', port = 9092 where node_id = 1")
	live, err := s.LiveBrokers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(live) != 1 || live[0].Host != "old" || live[0].Listeners != nil {
		t.Errorf("live: %+v", live)
	}
}

func TestListenersThatCannotBeRead(t *testing.T) {
	for _, text := range []string{"", "{}", `"x"`, `[{"port":"a"}]`, `[{"port":4294967296}]`} {
		if got, err := decodeListeners(text, "h", 1); err == nil {
			t.Errorf("%s: %v", text, got)
		}
	}
	want := []metastore.Listener{{Name: "A", Host: "h", Port: 1, Protocol: "SSL"}, {Name: "B", Host: "g", Port: 2, Protocol: "PLAINTEXT"}}
	text, err := encodeListeners(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeListeners(text, "h", 1); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %v, %v", text, got, err)
	}
}
