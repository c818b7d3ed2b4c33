package metastore_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

func TestEntriesThatOneReplicaFoldedCarryAnotherAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		a, b := open(t, store, metastore.ReplicaOptions{}), open(t, store, metastore.ReplicaOptions{})
		waited := make(chan error, 1)
		go func() { waited <- b.Await(t.Context(), 3) }()
		tp := metastore.TopicPartition{Topic: createTopic(t, a, "t", 1).ID}
		for range 2 {
			if _, err := a.Commit(t.Context(), []metastore.SegmentCommit{plain(tp, 4)}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if b.Position().Seq != 0 {
			t.Fatal("b reads the log by itself: the test shows nothing")
		}
		entries, err := a.After(t.Context(), 0)
		if err != nil || len(entries) != 3 {
			t.Fatalf("%d entries (%v), want 3", len(entries), err)
		}
		for _, e := range entries {
			if !b.Offer(e) {
				t.Fatalf("entry %d is not taken", e.Seq)
			}
		}
		if err := <-waited; err != nil {
			t.Error(err)
		}
		if a.Position() != b.Position() {
			t.Errorf("b is at %v, a at %v", b.Position(), a.Position())
		}
		if w, _ := b.Watermarks(tp); w.High != 8 {
			t.Errorf("b's high watermark is %d, want 8", w.High)
		}
	})
}

func TestOfferedEntriesThatDoNotContinueAreNotFolded(t *testing.T) {
	store := memory.New(memory.Options{})
	defer store.Close()
	a, b := open(t, store, metastore.ReplicaOptions{}), open(t, store, metastore.ReplicaOptions{})
	for _, name := range []string{"t", "u", "v"} {
		createTopic(t, a, name, 1)
	}
	entries, err := a.After(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if b.Offer(entries[1]) {
		t.Error("an entry is taken although the one before is missing")
	}
	forged := entries[0]
	forged.Payload = entries[1].Payload
	if b.Offer(forged) {
		t.Error("an entry is taken whose checksum is another's")
	}
	for range 2 {
		if !b.Offer(entries[0]) {
			t.Error("the next entry is not taken, or its repeat is told apart")
		}
	}
	if err := b.Health(); err != nil {
		t.Errorf("a hint broke the replica: %v", err)
	}
	if err := b.CatchUp(t.Context()); err != nil || b.Position() != a.Position() {
		t.Errorf("b is at %v (%v), a at %v", b.Position(), err, a.Position())
	}
}

func TestAfterSaysWhatItDoesNotKeep(t *testing.T) {
	store := memory.New(memory.Options{})
	defer store.Close()
	a := open(t, store, metastore.ReplicaOptions{})
	createTopic(t, a, "t", 1)
	if err := a.SnapshotNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := open(t, store, metastore.ReplicaOptions{}) // from the snapshot
	if _, err := b.After(t.Context(), 0); !errors.Is(err, metastore.ErrTrimmed) {
		t.Errorf("after a snapshot: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.After(ctx, b.Position().Seq); !errors.Is(err, context.Canceled) {
		t.Errorf("nothing new: %v", err)
	}
	createTopic(t, b, "u", 1)
	if entries, err := b.After(t.Context(), 1); err != nil || len(entries) != 1 || entries[0].Seq != 2 {
		t.Errorf("%v (%v), want entry 2", entries, err)
	}
}

func TestEntriesThatWereHandedOnStayAsTheyAre(t *testing.T) {
	store := memory.New(memory.Options{})
	defer store.Close()
	a := open(t, store, metastore.ReplicaOptions{})
	for i := range 10 {
		createTopic(t, a, fmt.Sprint(i), 1)
	}
	entries, err := a.After(t.Context(), 0)
	if err != nil || len(entries) != 10 {
		t.Fatalf("%d entries (%v), want 10", len(entries), err)
	}
	before := slices.Clone(entries)
	// What is folded while they are being sent is so large that the replica does not keep them any more.
	large := metastore.NewTopic{Name: "large", Partitions: 1, Configs: map[string]string{"k": strings.Repeat("v", 9<<20)}}
	if _, err := a.CreateTopic(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	if _, err := a.After(t.Context(), 0); !errors.Is(err, metastore.ErrTrimmed) {
		t.Fatalf("the replica still keeps them (%v): the test shows nothing", err)
	}
	for i := range before {
		if !reflect.DeepEqual(entries[i], before[i]) {
			t.Errorf("entry %d became %v", before[i].Seq, entries[i].Position)
		}
	}
}
