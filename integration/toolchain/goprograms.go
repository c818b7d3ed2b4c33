package toolchain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// GoProgram is a program that the Go tool builds from a pinned version of a module.
type GoProgram struct {
	Package string // import path of the main package
	Version string
	LDFlags string // of the linker
}

var (
	// VersityGW is the S3 server of the contract and end-to-end suites: Apache-2.0, checks signatures and
	// checksums, keeps If-None-Match. About 4 CPU-minutes to build.
	VersityGW = GoProgram{Package: "github.com/versity/versitygw/cmd/versitygw", Version: "v1.8.0"}
	// MinIO is another S3 server, AGPL: a tool of tests alone, a process beside them that nothing links. About 8 CPU-minutes
	// to build, and a third smaller without what debuggers read.
	MinIO = GoProgram{Package: "github.com/minio/minio", Version: "v0.0.0-20260212201848-7aac2a2c5b7c", LDFlags: "-s -w"}
	// GolangCILint is the linter. About 10 CPU-minutes to build.
	GolangCILint = GoProgram{Package: "github.com/golangci/golangci-lint/v2/cmd/golangci-lint", Version: "v2.15.0"}
	// TFLint is the linter of terraform/, with the rules for the language that are built into it. MPL-2.0, a test tool.
	// About 3 CPU-minutes to build.
	TFLint = GoProgram{Package: "github.com/terraform-linters/tflint", Version: "v0.64.0"}
	// Helm renders and checks the chart. About 5 CPU-minutes to build.
	Helm = GoProgram{Package: "helm.sh/helm/v3/cmd/helm", Version: "v3.22.0"}
	// Kubeconform holds manifests against the schemas of the Kubernetes API. Seconds to build.
	Kubeconform = GoProgram{Package: "github.com/yannh/kubeconform/cmd/kubeconform", Version: "v0.8.0"}
)

// Name is the file name of the binary.
func (p GoProgram) Name() string { return p.Package[strings.LastIndexByte(p.Package, '/')+1:] }

// GoProgram builds the program unless the cache holds it and returns the path of the binary.
func (c Cache) GoProgram(ctx context.Context, p GoProgram) (string, error) {
	dir, err := c.install(p.Name()+"-"+p.Version, func(dir string) error {
		// GOFLAGS of the caller may hold -race or -mod, which are not meant for this.
		env := []string{"GOBIN=" + dir, "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0"}
		return c.run(ctx, dir, env, "go", "install", "-trimpath", "-ldflags="+p.LDFlags, p.Package+"@"+p.Version)
	})
	return filepath.Join(dir, p.Name()), err
}

// Has tells whether the program is built, and where it is.
func (c Cache) Has(p GoProgram) (path string, ok bool) {
	dir := filepath.Join(c.Dir, p.Name()+"-"+p.Version)
	_, err := os.Stat(filepath.Join(dir, installed))
	return filepath.Join(dir, p.Name()), err == nil
}

// GoSource is a program that the Go tool builds in the directory of its module, as the module's own go.mod and go.sum say: for
// those that `go install` does not take. Sum is that of the module, as in a go.sum.
type GoSource struct{ Module, Version, Sum string }

// KafkaProvider is the Terraform provider that people have topics, access rules, quotas and users with (MIT). About a
// CPU-minute to build. The proxy has this version and no list of versions, which `go install` wants to see.
var KafkaProvider = GoSource{"github.com/Mongey/terraform-provider-kafka", "v0.13.1", "h1:Dh+rcu3u/j8W2VlR47e6z28EI1ptmN+UfAU6As8WRsw="}

// Name is the file name of the binary.
func (s GoSource) Name() string { return s.Module[strings.LastIndexByte(s.Module, '/')+1:] }

// GoSource builds the program unless the cache holds it and returns the path of the binary.
func (c Cache) GoSource(ctx context.Context, s GoSource) (string, error) {
	dir, err := c.install(s.Name()+"-"+s.Version, func(dir string) error {
		env := append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off", "CGO_ENABLED=0")
		download := exec.CommandContext(ctx, "go", "mod", "download", "-json", s.Module+"@"+s.Version)
		download.Dir, download.Env, download.Stderr = dir, env, c.Log
		out, err := download.Output()
		var module struct{ Dir, Sum, Error string }
		if decode := json.Unmarshal(out, &module); err != nil || decode != nil || module.Error != "" {
			return fmt.Errorf("download %s: %w %s", s.Module, errors.Join(err, decode), module.Error)
		}
		if module.Sum != s.Sum {
			return fmt.Errorf("%s@%s has the sum %s, and is to have %s", s.Module, s.Version, module.Sum, s.Sum)
		}
		return c.run(ctx, module.Dir, []string{"GOFLAGS=-buildvcs=false", "GOWORK=off", "CGO_ENABLED=0"},
			"go", "build", "-trimpath", "-o", filepath.Join(dir, s.Name()), ".")
	})
	return filepath.Join(dir, s.Name()), err
}
