package config

import (
	"fmt"
	"path/filepath"
)

// InDirectory is where `runnel dev --data` keeps a cluster in a directory: its metastore.url and object_store.url.
func InDirectory(dir string) (metastore, objectStore string, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", "", fmt.Errorf("find the directory: %w", err)
	}
	return "file://" + filepath.Join(dir, "metastore"), "file://" + filepath.Join(dir, "objects"), nil
}
