package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/metastore"
	metafault "github.com/runnel-io/runnel/metastore/fault"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
)

// TestABrokerThatIsTooOldDoesNotMigrate: it says that it is too old, and not what keeps it from a migration that there is none of:
// a pooler, rights that it lacks, or here a server that is not there.
func TestABrokerThatIsTooOldDoesNotMigrate(t *testing.T) {
	loaded, err := config.Load(config.Sources{Flags: map[string]string{
		"metastore.url": "postgres://runnel@127.0.0.1:1/runnel", "object_store.url": "s3://nowhere", "listen": "127.0.0.1:0", "admin.listen": "", "migrate": "auto",
	}})
	if err != nil {
		t.Fatal(err)
	}
	for schema, want := range map[error]string{metastore.ErrNewerSchema: "run a newer binary", metastore.ErrSchema: "migrate metastore"} {
		meta := metafault.Wrap(metamemory.New(metamemory.Options{}))
		meta.Before(func(context.Context, metafault.Call) error { return fmt.Errorf("read: %w", schema) })
		n, err := Open(t.Context(), Options{Config: &loaded.Config, Stores: &Stores{Metastore: meta, Objects: objmemory.New()}, Version: "test"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		late := time.After(30 * time.Second)
		for {
			changed := n.ready.next()
			if strings.Contains(n.Ready(), want) {
				break
			}
			select {
			case <-changed:
			case <-late:
				t.Fatalf("%v: it says %q", schema, n.Ready())
			}
		}
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}
