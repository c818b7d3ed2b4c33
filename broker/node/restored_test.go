package node

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/metastore/index"
	"github.com/runnel-io/runnel/metastore/mark"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
)

// lines is a log that is written to by one and read by another.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// produce sends a record to topic t and returns its offset.
func produce(t *testing.T, n *Node, value string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := client(t, n, kgo.DefaultProduceTopic("t"))
	r, err := c.ProduceSync(ctx, kgo.StringRecord(value)).First()
	if err != nil {
		t.Fatal(err)
	}
	return r.Offset
}

// TestABrokerRefusesARestoredMetastoreThatLacksWhatTheBucketKnowsOf although no broker is left that knew it, until somebody
// deletes the marks.
func TestABrokerRefusesARestoredMetastoreThatLacksWhatTheBucketKnowsOf(t *testing.T) {
	t.Parallel()
	objects := objmemory.New()
	open := func(dir string) *Stores {
		meta, err := metamemory.Open(t.Context(), dir, metamemory.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return &Stores{Metastore: meta, Objects: objects}
	}
	run := func(dir string, work func(n *Node)) {
		stores := open(dir)
		n, stop := start(t, stores)
		eventually(t, "ready", func() bool { return n.Ready() == "" })
		work(n)
		stop()
		if err := stores.Metastore.Close(); err != nil {
			t.Fatal(err)
		}
	}
	dir, backup := t.TempDir(), t.TempDir()+"/backup"
	run(dir, func(n *Node) {
		if _, err := kadm.NewClient(client(t, n)).CreateTopic(t.Context(), 1, 1, nil, "t"); err != nil {
			t.Fatal(err)
		}
		produce(t, n, "before")
	})
	if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	run(dir, func(n *Node) {
		if at := produce(t, n, "after"); at != 1 {
			t.Fatalf("offset %d", at)
		}
	})

	stores, log := open(backup), new(lines)
	defer stores.Metastore.Close()
	n, err := Open(t.Context(), Options{Config: testConfig(t, nil), Stores: stores, Version: "test", Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	cluster, err := stores.Metastore.ClusterID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "not ready, and says why", func() bool {
		return strings.Contains(n.Ready(), "went back in time") && strings.Contains(n.Ready(), mark.Prefix(cluster)+" and "+index.Prefix(cluster))
	})
	if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "went back in time") {
		t.Errorf("the log says\n%s", text)
	}
	if live, err := stores.Metastore.LiveBrokers(t.Context()); err != nil || len(live) != 0 {
		t.Errorf("brokers %v, %v: one registered that must not serve", live, err)
	}

	// What docs/recovery.md tells an administrator to do who gives up what was lost.
	var keys []string
	for o, err := range objects.List(t.Context(), mark.Prefix(cluster), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	if err := objects.Delete(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready", func() bool { return n.Ready() == "" })
	if at := produce(t, n, "anew"); at != 1 {
		t.Errorf("offset %d", at)
	}
}

// TestANewMetastoreMayBeginOnAUsedBucket: it is another cluster's.
func TestANewMetastoreMayBeginOnAUsedBucket(t *testing.T) {
	t.Parallel()
	first := memoryStores()
	for _, stores := range []*Stores{first, {Metastore: metamemory.New(metamemory.Options{}), Objects: first.Objects}} {
		n, stop := start(t, stores)
		eventually(t, "ready", func() bool { return n.Ready() == "" })
		if _, err := kadm.NewClient(client(t, n)).CreateTopic(t.Context(), 1, 1, nil, "t"); err != nil {
			t.Fatal(err)
		}
		if at := produce(t, n, "first"); at != 0 {
			t.Errorf("offset %d", at)
		}
		stop()
	}
}
