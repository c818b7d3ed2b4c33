package node

import (
	"context"
	"fmt"

	"github.com/runnel-io/runnel/metastore"
)

// OpenMetastore opens the metastore that a URL names as metastore.url does, for tools that need no object store.
func OpenMetastore(ctx context.Context, url string) (metastore.Store, error) {
	meta, err := openMetastore(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("open metastore: %w", err)
	}
	return meta, nil
}
