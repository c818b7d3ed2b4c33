package memory_test

import (
	"testing"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/memory"
	"github.com/runnel-io/runnel/objstore/objstoretest"
)

func TestConformance(t *testing.T) {
	objstoretest.Run(t, func(*testing.T) objstore.Store { return memory.New() })
}

func TestAccountsForWhatItHolds(t *testing.T) {
	s := memory.New()
	for key, n := range map[string]int{"a": 10, "b": 0, "c": 5} {
		if err := s.Put(t.Context(), key, [][]byte{make([]byte, n)}); err != nil {
			t.Fatal(err)
		}
	}
	if s.Bytes() != 15 || s.Len() != 3 {
		t.Fatalf("%d bytes in %d objects", s.Bytes(), s.Len())
	}
	if err := s.Put(t.Context(), "a", [][]byte{make([]byte, 100)}); err == nil {
		t.Fatal("replaced an object")
	}
	if err := s.Delete(t.Context(), []string{"a", "a", "never"}); err != nil {
		t.Fatal(err)
	}
	if s.Bytes() != 5 || s.Len() != 2 {
		t.Fatalf("%d bytes in %d objects after Delete", s.Bytes(), s.Len())
	}
}
