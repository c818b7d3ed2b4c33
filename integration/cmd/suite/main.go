// Command suite runs the tiers of tests, with the servers they need, and ends with one line per tier: what ran, what
// was skipped and why. Run it in the integration directory:
//
//	go run ./cmd/suite [TIER...]
//
// Without arguments all tiers run. With CI=true in the environment a skipped test is a failure.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/integration/toolchain"
)

func main() {
	verbose := flag.Bool("v", false, "print every test")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: suite [-v] [TIER...]\ntiers:\n")
		for _, t := range tiers {
			fmt.Fprintf(flag.CommandLine.Output(), "  %-10s %s\n", t.name, t.about)
		}
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, flag.Args(), *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string, verbose bool) (err error) {
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	if err := checkDisk(os.TempDir(), leastDisk); err != nil {
		return err
	}
	env := os.Environ()
	if slices.ContainsFunc(chosen, func(t tier) bool { return t.servers }) {
		started, stop, err := startServers(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
		env = append(env, started...)
	}
	var minio *program
	if slices.ContainsFunc(chosen, func(t tier) bool { return t.minio }) {
		minio = startMinIOBuild(ctx)
		defer minio.stop()
	}
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	if slices.ContainsFunc(chosen, func(t tier) bool { return t.binary }) {
		binary, err := harness.Build(root, filepath.Join(root, "bin", "runnel"))
		if err != nil {
			return err
		}
		env = append(env, "RUNNEL_BIN="+binary)
	}

	told := watchBusy()
	results := runAll(chosen, os.Stdout, func(t tier, out io.Writer) []result {
		if ctx.Err() != nil {
			return nil
		}
		return runTier(ctx, t, out, root, env, minio, verbose)
	})
	fmt.Printf("\n%s\n", told())
	return errors.Join(ctx.Err(), report(os.Stdout, results, os.Getenv("CI") == "true"))
}

// runAll runs tiers one after the other, and beside them, one after the other as well, those that may. What these print comes
// between what the others do. The results are in the order of the tiers.
func runAll(chosen []tier, out io.Writer, run func(tier, io.Writer) []result) []result {
	results := make([][]result, len(chosen))
	ended := make(chan *bytes.Buffer, len(chosen))
	go func() {
		defer close(ended)
		for i, t := range chosen {
			if t.beside > 0 {
				var printed bytes.Buffer
				results[i] = run(t, &printed)
				ended <- &printed
			}
		}
	}()
	for i, t := range chosen {
		if t.beside > 0 {
			continue
		}
		results[i] = run(t, out)
		for len(ended) > 0 {
			_, _ = (<-ended).WriteTo(out)
		}
	}
	for printed := range ended {
		_, _ = printed.WriteTo(out)
	}
	return slices.Concat(results...)
}

// startServers starts PostgreSQL and the S3 server and returns the environment that names them.
func startServers(ctx context.Context) (env []string, stop func() error, err error) {
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		return nil, nil, err
	}
	postgres, err := servers.OpenPostgres(ctx, servers.PostgresOptions{})
	if err != nil {
		return nil, nil, err
	}
	s3, err := servers.OpenS3(ctx, tools)
	if err != nil {
		return nil, nil, errors.Join(err, postgres.Close())
	}
	env = []string{"RUNNEL_TEST_POSTGRES=" + postgres.DSN(), "RUNNEL_TEST_S3=" + s3.URL()}
	return env, func() error { return errors.Join(postgres.Close(), s3.Close()) }, nil
}
