package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
)

// storesFlags are the flags of commands that look through both stores of a cluster and are no broker of it: fsck and rebuild.
type storesFlags struct {
	config      *configFlags
	data        string // directory of `runnel dev --data`, in place of config
	concurrency int    // objects that are read at the same time
	mostFound   int    // what is told in full
}

// objectStoreKeys are what the bucket is reached by.
var objectStoreKeys = []string{"object_store.url", "object_store.region", "object_store.endpoint", "object_store.path_style",
	"object_store.access_key", "object_store.secret_key"}

// newStoresFlags gives a command the flags; findings says what the command tells of.
func newStoresFlags(env *environment, cmd *cobra.Command, findings string) *storesFlags {
	f := &storesFlags{config: newConfigFlags(cmd)}
	f.config.show(append([]string{"metastore.url"}, objectStoreKeys...)...)
	cmd.Flags().StringVar(&f.data, "data", "", "`directory` of `runnel dev --data`, in place of a configuration")
	cmd.Flags().IntVar(&f.concurrency, "concurrency", 16, "objects that are read at the same time")
	cmd.Flags().IntVar(&f.mostFound, "max-findings", 1000, findings+" that are told in full; further ones are counted")
	cmd.Flags().BoolVar(&env.json, "json", false, "write JSON")
	if err := cobra.MarkFlagDirname(cmd.Flags(), "data"); err != nil {
		panic(err)
	}
	return f
}

func (f *storesFlags) check() error {
	switch {
	case f.concurrency < 1 || f.concurrency > 1000:
		return usagef("--concurrency must be between 1 and 1000")
	case f.mostFound < 0:
		return usagef("--max-findings must not be negative")
	}
	return nil
}

// load returns the configuration that names the stores.
func (f *storesFlags) load(env *environment) (*config.Config, error) {
	if f.data == "" {
		loaded, err := f.config.load(env)
		if err != nil {
			return nil, err
		}
		return &loaded.Config, nil
	}
	var c config.Config
	var err error
	if c.Metastore.URL, c.ObjectStore.URL, err = config.InDirectory(f.data); err != nil {
		return nil, usagef("--data: %w", err)
	}
	return &c, nil
}

// notOpened is what the user is told when the stores cannot be opened.
func (f *storesFlags) notOpened(err error) error {
	switch {
	case node.InUse(err):
		err = fmt.Errorf("%w: stop the broker first, which has it for itself", err)
	case f.data != "" && errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%s is no directory of `runnel dev --data`: %w", f.data, err)
	}
	return &unfinishedError{err}
}

// closeAfter closes the stores behind a command that ends with err. One that cannot close them has not finished.
func closeAfter(stores *node.Stores, err error) error {
	if closed := stores.Close(); closed != nil {
		return &unfinishedError{errors.Join(err, closed)}
	}
	return err
}
