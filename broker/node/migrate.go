package node

import (
	"context"
	"time"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/metastore/postgres"
)

// Migration is a step that Migrate has taken.
type Migration struct {
	Version int64
	Name    string
	Took    time.Duration
}

// Migrate brings the metastore to what this version needs and tells the steps, also those before an error. Embedded
// metastores need none.
func Migrate(ctx context.Context, c *config.Config) ([]Migration, error) {
	name, _ := scheme(c.Metastore.URL)
	if name != "postgres" && name != "postgresql" {
		return nil, nil
	}
	login, err := loginOf(ctx, c)
	if err != nil {
		return nil, err
	}
	applied, err := postgres.MigrateAs(ctx, c.Metastore.URL, login)
	steps := make([]Migration, len(applied))
	for i, a := range applied {
		steps[i] = Migration{Version: a.Version, Name: a.Name, Took: a.Took}
	}
	return steps, err
}
