package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Architectures are those that the image is made for.
var Architectures = []string{"amd64", "arm64"}

// Compile builds the broker for Linux from the checkout at root, into dir, and returns the path of the binary. The
// environment of whoever builds changes nothing but which Go does.
func Compile(ctx context.Context, root, arch, dir string) (string, error) {
	path, err := filepath.Abs(filepath.Join(dir, "runnel-linux-"+arch))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the directory for binaries: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=auto", "-ldflags=-s -w", "-o", path, "./cmd/runnel")
	cmd.Dir = root
	cmd.Env = environment("CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the broker for %s: %w\n%s", arch, err, out)
	}
	return path, nil
}

func environment(set ...string) (env []string) {
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if name == "GOFIPS140" || name == "GO_EXTLINK_ENABLED" {
			continue
		}
		env = append(env, pair)
	}
	return append(env, set...)
}
