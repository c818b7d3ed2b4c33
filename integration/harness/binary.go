package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Binary is the path of the runnel binary: RUNNEL_BIN, else one built from this checkout, once per process.
func Binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("RUNNEL_BIN"); path != "" {
		return path
	}
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var built = sync.OnceValues(func() (string, error) {
	root, err := Repository()
	if err != nil {
		return "", err
	}
	return Build(root, filepath.Join(root, "bin", "runnel-test"))
})

// Build builds the broker as it is shipped and returns the path. A binary that runs there is replaced, not disturbed.
func Build(root, path string) (string, error) {
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	cmd := exec.Command("go", "build", "-trimpath", "-o", fresh, "./cmd/runnel")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the broker: %w\n%s", err, out)
	}
	return path, os.Rename(fresh, path)
}

// Repository is the directory of the broker's module, above the working directory.
func Repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(b, []byte("module github.com/runnel-io/runnel\n")) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no directory above holds the module github.com/runnel-io/runnel")
}
