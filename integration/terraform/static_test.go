package terraform

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/toolchain"
)

func TestFormat(t *testing.T) {
	t.Parallel()
	c := open(t)
	if out, err := c.try(t, ".", "fmt", "-check", "-recursive", "-diff", "-no-color"); err != nil {
		t.Errorf("terraform fmt would change:\n%s", out)
	}
}

// directories returns those that hold Terraform's files, below the copy's root, and whether they have tests.
func (c *cli) directories(t *testing.T) map[string]bool {
	t.Helper()
	dirs := map[string]bool{}
	err := filepath.WalkDir(c.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		dir, err := filepath.Rel(c.root, filepath.Dir(path))
		if err != nil {
			return err
		}
		switch {
		case strings.HasSuffix(path, ".tftest.hcl"):
			dirs[strings.TrimSuffix(dir, "/tests")] = true
		case strings.HasSuffix(path, ".tf"):
			dirs[dir] = dirs[dir]
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// TestModules runs the tests that stand beside modules, for which they must be valid; what has none is validated.
func TestModules(t *testing.T) {
	t.Parallel()
	c := open(t)
	dirs := c.directories(t)
	for _, dir := range []string{".", "modules/plan", "modules/network", "modules/bucket", "modules/postgres", "modules/broker"} {
		if !dirs[dir] {
			t.Errorf("%s has no tests", dir)
		}
	}
	for dir, tested := range dirs {
		t.Run(dir, func(t *testing.T) {
			c.init(t, dir)
			if !tested {
				c.run(t, dir, "validate", "-no-color")
				return
			}
			out := c.run(t, dir, "test", "-no-color")
			if !strings.Contains(out, "Success!") || strings.Contains(out, "Success! 0 passed") {
				t.Errorf("no test ran:\n%s", tail(out))
			}
		})
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	c := open(t)
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	tflint, err := tools.GoProgram(t.Context(), toolchain.TFLint)
	if err != nil {
		missing(t, "tflint", err)
	}
	dirs := c.directories(t)
	names := make([]string, 0, len(dirs))
	for dir := range dirs {
		names = append(names, dir)
	}
	slices.Sort(names)
	for _, dir := range names {
		args := []string{"--chdir=" + filepath.Join(c.root, dir), "--no-color", "--call-module-type=none"}
		if config := filepath.Join(c.root, ".tflint.hcl"); exists(config) {
			args = append(args, "--config="+config)
		}
		cmd := exec.CommandContext(t.Context(), tflint, args...)
		cmd.Env = c.env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("tflint in %s: %v\n%s", dir, err, out)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
