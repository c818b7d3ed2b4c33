package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReasonsAreALineEach(t *testing.T) {
	var r readiness
	down := errors.New("cannot connect:\n\t[::1]: refused\n\t127.0.0.1: refused\n\t127.0.0.1: refused")
	if !r.set(componentMetastore, down) || r.set(componentMetastore, down) {
		t.Error("a reason is news once")
	}
	r.set(componentObjectStore, errors.New("no bucket"))
	want := "metastore: cannot connect: [::1]: refused 127.0.0.1: refused\nobject store: no bucket\n"
	if got := r.why(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !r.set(componentMetastore, nil) || !r.set(componentObjectStore, nil) || r.why() != "" {
		t.Errorf("still %q", r.why())
	}
}

func TestWhoWaitsIsToldOfTheLastReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r readiness
		r.set(componentMetastore, errors.New("down"))
		r.set(componentObjectStore, errors.New("no bucket"))
		done := make(chan error, 1)
		go func() { done <- r.await(t.Context()) }()
		synctest.Wait()
		r.set(componentMetastore, nil)
		synctest.Wait()
		if len(done) > 0 {
			t.Fatal("ready without a bucket")
		}
		r.set(componentObjectStore, nil)
		synctest.Wait()
		if len(done) != 1 {
			t.Fatal("not told")
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.set(componentMetastore, errors.New("down again"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.await(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "metastore: down again") {
			t.Errorf("%v", err)
		}
	})
}
