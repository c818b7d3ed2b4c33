package node

import (
	"context"
	"errors"
	"time"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/metastore/postgres"
	"github.com/runnel-io/runnel/objstore/s3"
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

// ErrNoBucket: the object store is none that has a bucket.
var ErrNoBucket = errors.New("object_store.url names no bucket")

// MakeBucket makes the bucket of the object store unless it is there, and tells whether it did.
func MakeBucket(ctx context.Context, c *config.Config) (made bool, err error) {
	if name, _ := scheme(c.ObjectStore.URL); name != "s3" {
		return false, ErrNoBucket
	}
	objects, err := openObjectStore(ctx, &c.ObjectStore)
	if err != nil {
		return false, err
	}
	store := objects.(*s3.Store)
	made, err = store.MakeBucket(ctx)
	return made, errors.Join(err, store.Close())
}

// mostMigration is how long a broker may take to bring the metastore to what it needs, and wait for another that does so,
// before it begins again. It serves nobody meanwhile.
const mostMigration = time.Hour

// errMigrating is why a broker is not ready while it works at the metastore.
var errMigrating = errors.New("being brought to what this version needs, by this broker or another")

// migrate is Migrate for a broker that joins and found a metastore that is older than it needs. A broker that joins looks first: then most never need the lock of a migration, nor a way to the database
// around a pooler.
func (n *Node) migrate(ctx context.Context) error {
	n.note(componentMetastore, errMigrating)
	ctx, cancel := context.WithTimeout(ctx, mostMigration)
	defer cancel()
	steps, err := Migrate(ctx, n.opts.Config)
	for _, s := range steps {
		n.log.Info("migrated the metastore", "migration", s.Name, "took", s.Took)
	}
	return err
}
