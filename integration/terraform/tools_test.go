package terraform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/toolchain"
)

// modules is the directory under test.
const modules = "../../terraform"

// What an account of the mock says of itself.
const (
	account = "123456789012"
	region  = "eu-central-1"
)

// cli is a terraform that asks no registry, working on a copy of the modules.
type cli struct {
	program string
	root    string // the copy
	env     []string
}

// open copies the modules for the test, and skips it where terraform or its provider is missing; in CI that is a failure.
func open(t *testing.T) *cli {
	t.Helper()
	program, err := exec.LookPath("terraform")
	if err != nil {
		harness.Missing(t, "terraform", err)
	}
	mirror, err := findMirror()
	if err != nil {
		harness.Missing(t, "the provider", err)
	}
	dir := t.TempDir()
	c := &cli{program: program, root: filepath.Join(dir, "terraform")}
	if err := copyTree(modules, c.root); err != nil {
		t.Fatal(err)
	}
	// The tests of modules/plan read what the binary writes.
	if written := "../../cmd/runnel/testdata"; exists(written) {
		if err := copyTree(written, filepath.Join(dir, "cmd/runnel/testdata")); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(dir, "terraform.rc")
	write(t, config, fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path    = %q\n    include = [\"*/*/*\"]\n  }\n}\n", mirror))
	c.env = append(withoutAWS(os.Environ()), "TF_CLI_CONFIG_FILE="+config, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION="+region)
	return c
}

// findMirror returns the directory that holds registry.terraform.io/hashicorp/aws.
func findMirror() (string, error) {
	home, _ := os.UserHomeDir()
	places := []string{os.Getenv("RUNNEL_TERRAFORM_MIRROR"), "/opt/tf-plugins", filepath.Join(home, ".terraform.d/plugins"), "/usr/local/share/terraform/plugins"}
	for _, dir := range places {
		if found, _ := filepath.Glob(filepath.Join(dir, "registry.terraform.io/hashicorp/aws/*")); dir != "" && len(found) > 0 {
			return dir, nil
		}
	}
	return "", fmt.Errorf("registry.terraform.io/hashicorp/aws is in none of %s (set RUNNEL_TERRAFORM_MIRROR)", strings.Join(places[1:], ", "))
}

// python returns an interpreter that has moto: the machine's, or one that is installed for it.
var python = sync.OnceValues(func() (string, error) {
	if path, err := exec.LookPath("python3"); err == nil && exec.CommandContext(context.Background(), path, "-c", "import moto.server, flask").Run() == nil {
		return path, nil
	}
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		return "", err
	}
	return tools.PythonVenv(context.Background(), "requirements.txt")
})

// withoutAWS drops what would lead the provider to a real account.
func withoutAWS(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "TF_")
	})
}

// try runs terraform in a directory of the copy and returns what it printed.
func (c *cli) try(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, args...)
	cmd.Dir, cmd.Env = filepath.Join(c.root, dir), c.env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run runs terraform and fails the test if it fails.
func (c *cli) run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := c.try(t, dir, args...)
	if err != nil {
		t.Fatalf("terraform %s in %s: %v\n%s", strings.Join(args, " "), dir, err, tail(out))
	}
	return out
}

func (c *cli) init(t *testing.T, dir string) {
	t.Helper()
	c.run(t, dir, "init", "-no-color", "-backend=false")
}

// tail is the end of a long text.
func tail(s string) string { return s[max(0, len(s)-6000):] }

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// copyTree copies what is versioned: no state, no providers of somebody who worked there.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch name := entry.Name(); {
		case entry.IsDir() && name == ".terraform":
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		case strings.HasPrefix(name, "terraform.tfstate"), name == ".terraform.lock.hcl":
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
}

// exitCode is the code that a program ended with; -1 if it did not run to its end.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
