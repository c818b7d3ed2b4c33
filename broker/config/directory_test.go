package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestStoresInADirectory(t *testing.T) {
	here := t.TempDir()
	t.Chdir(here)
	metastore, objects, err := InDirectory("data")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Sources{Flags: map[string]string{"metastore.url": metastore, "object_store.url": objects}}); err != nil {
		t.Error(err)
	}
	for _, url := range []string{metastore, objects} {
		if !strings.HasPrefix(url, "file://"+filepath.Join(here, "data")+"/") {
			t.Errorf("%s", url)
		}
	}
	if metastore == objects {
		t.Error("both are in one place")
	}
}
