package metastore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// readCounter counts reads of a log.
type readCounter struct {
	metastore.Log
	mu    sync.Mutex
	reads int
}

func (c *readCounter) Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	c.mu.Lock()
	c.reads++
	c.mu.Unlock()
	return c.Log.Read(ctx, after, maxBytes)
}

func TestRefreshFoldsWhatOthersAppendedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		a, b := open(t, store, metastore.ReplicaOptions{}), open(t, store, metastore.ReplicaOptions{})
		for _, name := range []string{"t", "u", "v"} {
			createTopic(t, a, name, 1)
			if _, ok := b.Topic(name); ok {
				t.Fatal("b follows by itself: the test shows nothing")
			}
			if err := b.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, ok := b.Topic(name); !ok {
				t.Errorf("topic %s is not known after a look", name)
			}
		}
	})
}

// busyLog is one that others append to faster than it is read.
type busyLog struct {
	metastore.Log
	reads  int
	before func(read int)
}

func (b *busyLog) Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	b.reads++
	b.before(b.reads)
	return b.Log.Read(ctx, after, maxBytes)
}

// A broker that is farther from the metastore than those who append finds news whenever it looks.
func TestRefreshEndsAlthoughOthersAppendFasterThanItReads(t *testing.T) {
	store := memory.New(memory.Options{})
	defer store.Close()
	other := open(t, store, metastore.ReplicaOptions{})
	log := &busyLog{Log: store, before: func(int) {}}
	r := open(t, log, metastore.ReplicaOptions{})
	createTopic(t, other, "before", 1)
	log.reads, log.before = 0, func(read int) {
		if read <= 100 {
			createTopic(t, other, fmt.Sprint("t", read), 1)
		}
	}
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Topic("before"); !ok {
		t.Error("what was there before the call is not folded")
	}
	if log.reads > 3 {
		t.Errorf("%d reads", log.reads)
	}
}

func TestRefreshesShareReadsAndAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		log := &readCounter{Log: store}
		r := open(t, log, metastore.ReplicaOptions{})
		opened := log.reads
		var asking sync.WaitGroup
		for range 50 {
			asking.Go(func() {
				for begun := time.Now(); time.Since(begun) < time.Second; {
					if err := r.Refresh(context.Background()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		asking.Wait()
		if got := log.reads - opened; got < 15 || got > 25 {
			t.Errorf("%d reads in a second, want about 20", got)
		}
	})
}

// A client that goes away ends nobody's look but its own.
func TestRefreshOutlivesTheOneWhoBeganIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		a, b := open(t, store, metastore.ReplicaOptions{}), open(t, store, metastore.ReplicaOptions{RefreshPause: time.Second})
		if err := b.Refresh(t.Context()); err != nil { // so that the next one waits
			t.Fatal(err)
		}
		createTopic(t, a, "t", 1)
		gone, leave := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- b.Refresh(gone) }()
		synctest.Wait()
		go func() { second <- b.Refresh(t.Context()) }()
		synctest.Wait()
		leave()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		if err := <-second; err != nil {
			t.Errorf("who stayed got %v", err)
		}
		if _, ok := b.Topic("t"); !ok {
			t.Error("the topic is not known after a look")
		}
	})
}
