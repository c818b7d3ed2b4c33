package memory

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/metastoretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openMemory(t testing.TB) metastore.Store {
	s := New(Options{PollInterval: 10 * time.Millisecond})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestContract(t *testing.T) { metastoretest.Run(t, openMemory) }
