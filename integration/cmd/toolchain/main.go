// Command toolchain installs a pinned program in the tool cache, unless it is there, and prints its path:
//
//	go run ./cmd/toolchain golangci-lint|versitygw|minio|tflint|helm|kubeconform
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/runnel-io/runnel/integration/toolchain"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "toolchain:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string) error {
	cache, err := toolchain.Default(os.Stderr)
	if err != nil {
		return err
	}
	programs := map[string]toolchain.GoProgram{}
	for _, p := range []toolchain.GoProgram{toolchain.GolangCILint, toolchain.VersityGW, toolchain.MinIO, toolchain.TFLint, toolchain.Helm, toolchain.Kubeconform} {
		programs[p.Name()] = p
	}
	for _, name := range names {
		p, ok := programs[name]
		if !ok {
			return fmt.Errorf("no program is called %q", name)
		}
		path, err := cache.GoProgram(ctx, p)
		if err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}
