package terraform

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
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
		case strings.HasSuffix(path, ".tf") && !dirs[dir]:
			dirs[dir] = false
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// TestModules runs the tests that stand beside modules, for which they must be valid; what has none is validated. Examples
// are where they are applied.
func TestModules(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.serve(t)
	dirs := c.directories(t)
	for _, dir := range []string{".", "modules/plan", "modules/network", "modules/bucket", "modules/postgres", "modules/broker"} {
		if !dirs[dir] {
			t.Errorf("%s has no tests", dir)
		}
	}
	for dir, tested := range dirs {
		if strings.HasPrefix(dir, "examples/") {
			continue
		}
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
	for dir := range c.directories(t) {
		if findings, clean := lint(t, filepath.Join(c.root, dir)); !clean {
			t.Errorf("tflint in %s:\n%s", dir, findings)
		}
	}
}
