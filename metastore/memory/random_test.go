package memory

import (
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/metastoretest"
)

func TestRandomCalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { metastoretest.Random(t, New(Options{}), nil) })
}

func TestRandomCallsWithJournal(t *testing.T) {
	root := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(root, "")
		if err != nil {
			rt.Fatal(err)
		}
		openAgain := func(metastore.Store) metastore.Store {
			s, err := Open(t.Context(), dir, Options{CheckpointBytes: 1000})
			if err != nil {
				rt.Fatal(err)
			}
			return s
		}
		var last metastore.Store
		defer func() { _ = last.Close() }()
		last = openAgain(nil)
		metastoretest.Random(rt, last, func(s metastore.Store) metastore.Store {
			if err := s.Close(); err != nil {
				rt.Fatal(err)
			}
			last = openAgain(nil)
			return last
		})
	})
}
