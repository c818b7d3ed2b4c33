// Package runner plays seeds of package sim, each in a process of its own, so that each is the same every time.
package runner

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/runnel-io/runnel/integration/sim/overlay"
	"github.com/runnel-io/runnel/integration/toolchain"
)

const pkg = "github.com/runnel-io/runnel/integration/sim"

// Build makes the program that plays seeds, at a path. It takes minutes the first time, since everything is built anew with
// the changed runtime, and seconds after that. It must be called within the integration module. Tags are further build tags.
func Build(ctx context.Context, binary string, tags ...string) error {
	cache, err := toolchain.Default(os.Stderr)
	if err != nil {
		return err
	}
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("find the installation of Go: %w", err)
	}
	list, err := overlay.Write(strings.TrimSpace(string(goroot)), filepath.Join(cache.Dir, "sim"))
	if err != nil {
		return fmt.Errorf("change the runtime: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", list, "-tags", strings.Join(append([]string{overlay.Tag}, tags...), ","), "-o", binary, pkg)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build simulation: %w\n%s", err, out)
	}
	return nil
}
