package node

import (
	"errors"
	"testing"
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
