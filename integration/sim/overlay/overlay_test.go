package overlay

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheChangesFitTheInstallation(t *testing.T) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir, root := t.TempDir(), strings.TrimSpace(string(goroot))
	first, err := Write(root, dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Write(root, dir)
	if err != nil || first != second {
		t.Errorf("written again it is %s, not %s: %v", second, first, err)
	}
}

func TestAnotherVersionOfGoIsRefused(t *testing.T) {
	goroot := t.TempDir()
	for _, c := range changes {
		path := filepath.Join(goroot, "src", c.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("package runtime\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Write(goroot, t.TempDir()); err == nil || !strings.Contains(err.Error(), "another version of Go") {
		t.Errorf("got %v", err)
	}
}
