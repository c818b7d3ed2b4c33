package node

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/runnel-io/runnel/metastore"
)

func TestNodeTakesSnapshotsAsOftenAsItIsTold(t *testing.T) {
	stores := memoryStores()
	n, err := Open(t.Context(), Options{Config: testConfig(t, nil), Stores: stores, Version: "test", SnapshotEvery: 5})
	if err != nil {
		t.Fatal(err)
	}
	run, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(run) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if at, _ := n.Replica().Digest(); at.Seq < 10 {
			t.Errorf("the replica of a node that has ended is at %d", at.Seq)
		}
	}()
	eventually(t, "ready", func() bool { return n.Ready() == "" })
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	admin := kadm.NewClient(client(t, n))
	for i := range 10 {
		if _, err := admin.CreateTopic(ctx, 1, 1, nil, fmt.Sprint("t", i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a snapshot", func() bool {
		_, err := stores.Metastore.LatestSnapshot(ctx)
		if err != nil && !errors.Is(err, metastore.ErrNoSnapshot) {
			t.Fatal(err)
		}
		return err == nil
	})
}
