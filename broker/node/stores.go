package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strings"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/metastore"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/metastore/postgres"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/file"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
	"github.com/runnel-io/runnel/objstore/s3"
)

// Stores are what brokers of one cluster share. Brokers in one process share the values too.
type Stores struct {
	Metastore metastore.Store
	Objects   ObjectStore
}

// ObjectStore is a store that can tell whether it is reachable.
type ObjectStore interface {
	objstore.Store
	objstore.Checker
}

// OpenStores opens the stores that the configuration names. Servers need not be up yet; a directory must be usable.
func OpenStores(ctx context.Context, c *config.Config) (*Stores, error) {
	meta, err := openMetastore(ctx, c)
	if err != nil {
		return nil, err // says what was opened
	}
	objects, err := openObjectStore(ctx, &c.ObjectStore)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open object store: %w", err), meta.Close())
	}
	return &Stores{Metastore: meta, Objects: objects}, nil
}

// OpenToRead opens the stores for one that looks and changes nothing, no file either. What must be there already is not
// made. The stores of `dev` can be opened so while no broker has them open (memory.ErrLocked).
func OpenToRead(ctx context.Context, c *config.Config) (*Stores, error) {
	meta, err := openMetastoreToRead(ctx, c)
	if err != nil {
		return nil, err
	}
	objects, err := OpenObjectsToRead(ctx, c)
	if err != nil {
		return nil, errors.Join(err, meta.Close())
	}
	return &Stores{Metastore: meta, Objects: objects}, nil
}

// OpenToRebuild opens the stores for one that makes the metastore anew from the objects, which must be there. In a dry run
// nothing is made, and a metastore that is not there yet is an empty one.
func OpenToRebuild(ctx context.Context, c *config.Config, dryRun bool) (*Stores, error) {
	objects, err := OpenObjectsToRead(ctx, c)
	if err != nil {
		return nil, err
	}
	stores := &Stores{Objects: objects}
	if !dryRun {
		if err := stores.closeObjects(); err != nil {
			return nil, err
		}
		return OpenStores(ctx, c)
	}
	stores.Metastore, err = openMetastoreToRead(ctx, c)
	if errors.Is(err, fs.ErrNotExist) {
		stores.Metastore, err = metamemory.New(metamemory.Options{}), nil
	}
	if err != nil {
		return nil, errors.Join(err, stores.closeObjects())
	}
	return stores, nil
}

// errInMemory: there is nothing that another process could read.
var errInMemory = errors.New("memory:// is in the memory of a broker's process, and no other can read it")

func openMetastoreToRead(ctx context.Context, c *config.Config) (metastore.Store, error) {
	switch scheme, dir := scheme(c.Metastore.URL); scheme {
	case "file":
		return metamemory.OpenReadOnly(ctx, dir)
	case "memory":
		return nil, fmt.Errorf("open metastore: %w", errInMemory)
	}
	return openMetastore(ctx, c)
}

// OpenObjectsToRead opens the object store alone, as OpenToRead does.
func OpenObjectsToRead(ctx context.Context, c *config.Config) (objects ObjectStore, err error) {
	switch scheme, dir := scheme(c.ObjectStore.URL); scheme {
	case "file":
		objects, err = file.Open(ctx, dir, file.Options{ReadOnly: true})
	case "memory":
		err = errInMemory
	default:
		objects, err = openObjectStore(ctx, &c.ObjectStore)
	}
	if err != nil {
		return nil, fmt.Errorf("open object store: %w", err)
	}
	return objects, nil
}

// InUse tells that a directory could not be opened because another process has it open.
func InUse(err error) bool { return errors.Is(err, metamemory.ErrLocked) }

// Close closes both.
func (s *Stores) Close() error {
	return errors.Join(s.Metastore.Close(), s.closeObjects())
}

func (s *Stores) closeObjects() error {
	if c, ok := s.Objects.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func openMetastore(ctx context.Context, c *config.Config) (metastore.Store, error) {
	switch scheme, dir := scheme(c.Metastore.URL); scheme {
	case "postgres", "postgresql":
		login, err := loginOf(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("open metastore: %w", err)
		}
		return postgres.Open(ctx, c.Metastore.URL, postgres.Options{Login: login})
	case "file":
		return metamemory.Open(ctx, dir, metamemory.Options{})
	case "memory":
		return metamemory.New(metamemory.Options{}), nil
	default:
		return nil, fmt.Errorf("open metastore: unknown scheme %q", scheme)
	}
}

func openObjectStore(ctx context.Context, c *config.ObjectStore) (ObjectStore, error) {
	switch scheme, dir := scheme(c.URL); scheme {
	case "s3":
		u, err := url.Parse(c.URL)
		if err != nil {
			return nil, err
		}
		return s3.Open(ctx, s3.Options{
			Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), Region: c.Region, Endpoint: c.Endpoint,
			PathStyle: c.PathStyle, AccessKey: c.AccessKey, SecretKey: c.SecretKey,
		})
	case "file":
		return file.Open(ctx, dir, file.Options{})
	case "memory":
		return objmemory.New(), nil
	default:
		return nil, fmt.Errorf("unknown scheme %q", scheme)
	}
}

// scheme splits an address; the rest of file:///dir is /dir.
func scheme(address string) (string, string) {
	name, rest, _ := strings.Cut(address, "://")
	return name, rest
}
