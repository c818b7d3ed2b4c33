package fault_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/fault"
	"github.com/runnel-io/runnel/objstore/memory"
	"github.com/runnel-io/runnel/objstore/objstoretest"
)

var errFault = errors.New("fault")

func TestConformanceWithoutFaults(t *testing.T) {
	objstoretest.Run(t, func(*testing.T) objstore.Store { return fault.Wrap(memory.New()) })
}

func TestPutThatFailsBeforeAndAfterItTakesEffect(t *testing.T) {
	inner := memory.New()
	s := fault.Wrap(inner)
	s.Before(func(context.Context, fault.Call) error { return errFault })
	if err := s.Put(t.Context(), "a", nil); !errors.Is(err, errFault) || inner.Len() != 0 {
		t.Fatalf("%v, and %d objects", err, inner.Len())
	}
	s.Before(nil)
	s.After(func(_ context.Context, _ fault.Call, result error) error { return errors.Join(result, errFault) })
	if err := s.Put(t.Context(), "a", nil); !errors.Is(err, errFault) || inner.Len() != 1 {
		t.Fatalf("%v, and %d objects", err, inner.Len())
	}
	if err := s.Put(t.Context(), "a", nil); !errors.Is(err, objstore.ErrExists) {
		t.Fatalf("the hook was not told the result: %v", err)
	}
	s.After(nil)
	if err := s.Delete(t.Context(), []string{"a"}); err != nil {
		t.Fatal(err)
	}
}

func TestFailedGetReturnsNoData(t *testing.T) {
	s := fault.Wrap(memory.New())
	if err := s.Put(t.Context(), "a", [][]byte{[]byte("abc")}); err != nil {
		t.Fatal(err)
	}
	s.After(func(context.Context, fault.Call, error) error { return errFault })
	if data, err := s.Get(t.Context(), "a", 0, 3); data != nil || !errors.Is(err, errFault) {
		t.Fatalf("%q, %v", data, err)
	}
	var last error
	for _, err := range s.List(t.Context(), "", "") {
		last = err
	}
	if !errors.Is(last, errFault) {
		t.Fatalf("List ended with %v", last)
	}
}

func TestPutThatTakesEffectAfterItsError(t *testing.T) {
	inner := memory.New()
	s := fault.Wrap(inner)
	var late func(context.Context) error
	s.Before(func(_ context.Context, call fault.Call) error {
		late = call.Later()
		return errFault
	})
	data := []byte("abc")
	if err := s.Put(t.Context(), "a", [][]byte{data[:1], data[1:]}); !errors.Is(err, errFault) || inner.Len() != 0 {
		t.Fatalf("%v, and %d objects", err, inner.Len())
	}
	copy(data, "xyz") // as whoever put it may do by now
	if err := late(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := inner.Get(t.Context(), "a", 0, 9); string(got) != "abc" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	keys := []string{"a"}
	if err := s.Delete(t.Context(), keys); !errors.Is(err, errFault) || inner.Len() != 1 {
		t.Fatalf("%v, and %d objects", err, inner.Len())
	}
	keys[0] = "b"
	if err := late(t.Context()); err != nil || inner.Len() != 0 {
		t.Fatalf("%v, and %d objects", err, inner.Len())
	}
}

func TestCheckFails(t *testing.T) {
	s := fault.Wrap(memory.New())
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Before(func(context.Context, fault.Call) error { return errFault })
	if err := s.Check(t.Context()); !errors.Is(err, errFault) {
		t.Fatalf("an unreachable store says %v", err)
	}
}

func TestTrace(t *testing.T) {
	s := fault.Wrap(memory.New())
	var trace []string
	s.Before(func(_ context.Context, call fault.Call) error {
		trace = append(trace, call.String())
		return nil
	})
	ctx := t.Context()
	if err := s.Put(ctx, "a/b", [][]byte{[]byte("ab"), []byte("c")}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(ctx, "a/b", 1, 9); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetSuffix(ctx, "a/b", 2); err != nil {
		t.Fatal(err)
	}
	for _, err := range s.List(ctx, "a/", "") {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(ctx, []string{"a/b", "c"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(ctx); err != nil {
		t.Fatal(err)
	}
	want := []string{"PUT a/b 3", "GET a/b 1+9", "GETSUFFIX a/b 2", "LIST a/", `DELETE ["a/b" "c"]`, "CHECK"}
	if !slices.Equal(trace, want) {
		t.Fatalf("got %q\nwant %q", trace, want)
	}
}
