package toolchain

import (
	"context"
	"path/filepath"
	"strings"
)

// GoProgram is a program that the Go tool builds from a pinned version of a module.
type GoProgram struct {
	Package string // import path of the main package
	Version string
}

var (
	// VersityGW is the S3 server of the contract and end-to-end suites: Apache-2.0, checks signatures and
	// checksums, keeps If-None-Match. About 4 CPU-minutes to build.
	VersityGW = GoProgram{"github.com/versity/versitygw/cmd/versitygw", "v1.8.0"}
	// GolangCILint is the linter. About 10 CPU-minutes to build.
	GolangCILint = GoProgram{"github.com/golangci/golangci-lint/v2/cmd/golangci-lint", "v2.15.0"}
	// TFLint is the linter of terraform/, with the rules for the language that are built into it. MPL-2.0, a test tool.
	// About 3 CPU-minutes to build.
	TFLint = GoProgram{"github.com/terraform-linters/tflint", "v0.64.0"}
)

// Name is the file name of the binary.
func (p GoProgram) Name() string { return p.Package[strings.LastIndexByte(p.Package, '/')+1:] }

// GoProgram builds the program unless the cache holds it and returns the path of the binary.
func (c Cache) GoProgram(ctx context.Context, p GoProgram) (string, error) {
	dir, err := c.install(p.Name()+"-"+p.Version, func(dir string) error {
		// GOFLAGS of the caller may hold -race or -mod, which are not meant for this.
		env := []string{"GOBIN=" + dir, "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0"}
		return c.run(ctx, dir, env, "go", "install", "-trimpath", p.Package+"@"+p.Version)
	})
	return filepath.Join(dir, p.Name()), err
}
