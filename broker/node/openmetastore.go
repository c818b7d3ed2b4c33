package node

import (
	"context"
	"errors"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/metastore"
)

// OpenMetastores opens the metastore that a URL names as metastore.url does, for tools that need no object store: so many
// stores with connections of their own, as that many brokers have, or one if it lives in this process.
func OpenMetastores(ctx context.Context, url string, brokers int) ([]metastore.Store, error) {
	if name, _ := scheme(url); name == "memory" || name == "file" {
		brokers = 1
	}
	var stores []metastore.Store
	for range brokers {
		meta, err := openMetastore(ctx, &config.Config{Metastore: config.Metastore{URL: url}})
		if err != nil {
			return nil, errors.Join(err, CloseMetastores(stores))
		}
		stores = append(stores, meta)
	}
	return stores, nil
}

// CloseMetastores closes all.
func CloseMetastores(stores []metastore.Store) error {
	var err error
	for _, s := range stores {
		err = errors.Join(err, s.Close())
	}
	return err
}
