package node

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore/postgres"
)

// TestNoErrorShowsThePasswordOfTheMetastore takes URLs that cannot be read, mean nothing or lead nowhere.
func TestNoErrorShowsThePasswordOfTheMetastore(t *testing.T) {
	const password = "s3cr3t"
	for _, address := range []string{
		"postgres://u:s3cr3t@127.0.0.1:1/db", "postgres://u:s3cr3t@127.0.0.1:1/db?sslmode=bogus", "postgres://u:s3cr3t@127.0.0.1:port/db",
		"postgres://u@127.0.0.1:1/db?password=s3cr3t", "postgres://u@127.0.0.1:1/db?password=s3cr3t&sslmode=bogus",
		"postgres://u@127.0.0.1:1/db?sslmode=bogus&password=s3cr3t", "postgres://u:s3cr3t@127.0.0.1:1/db?connect_timeout=x",
		"postgres://u:s3cr3t%zz@127.0.0.1:1/db", "bogus://u:s3cr3t@h/db",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		stores, err := OpenMetastores(ctx, address, 1)
		if err == nil {
			_, err = stores[0].ClusterID(ctx)
			if closeErr := CloseMetastores(stores); closeErr != nil {
				t.Error(closeErr)
			}
		}
		if err == nil || strings.Contains(err.Error(), password) {
			t.Errorf("open %s: %v", address, err)
		}
		if _, err := postgres.Migrate(ctx, address); err == nil || strings.Contains(err.Error(), password) {
			t.Errorf("migrate %s: %v", address, err)
		}
		cancel()
	}
}
