package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/integration/toolchain"
)

// program is one that is built beside the tests, with what they leave of the processors, for tiers that come late.
type program struct {
	stop context.CancelFunc // and wait until the build has ended
	done chan struct{}
	path string // valid once done is closed, as is err
	err  error
}

// startMinIOBuild begins to build MinIO unless it is there: 8 CPU-minutes, of which the tiers that run meanwhile notice little.
func startMinIOBuild(ctx context.Context) *program {
	ctx, cancel := context.WithCancel(ctx)
	p := &program{done: make(chan struct{})}
	p.stop = func() { cancel(); <-p.done }
	go func() {
		defer close(p.done)
		tools, err := toolchain.Default(os.Stderr)
		tools.Idle = true
		if _, asked := os.LookupEnv(servers.MinIOEnv); err == nil && !asked {
			p.path, p.err = tools.GoProgram(ctx, toolchain.MinIO)
			return
		}
		if p.err = err; err == nil {
			p.path, p.err = servers.FindMinIO(ctx, tools)
		}
	}()
	return p
}

// wait returns the program's path when it is built.
func (p *program) wait() (string, error) {
	select {
	case <-p.done:
		return p.path, p.err
	default:
	}
	start := time.Now()
	<-p.done
	fmt.Printf("waited %.0fs until MinIO was built\n", time.Since(start).Seconds())
	return p.path, p.err
}

// runTier runs a tier with what it wants beside the servers of all.
func runTier(ctx context.Context, t tier, out io.Writer, root string, env []string, minio *program, verbose bool) []result {
	if !t.minio {
		return t.run(ctx, out, root, env, verbose)
	}
	bin, err := minio.wait()
	if err != nil {
		return []result{{tier: t.name, broken: err.Error()}}
	}
	env = append(env[:len(env):len(env)], servers.MinIOEnv+"="+bin)
	if !t.onMinIO {
		return t.run(ctx, out, root, env, verbose)
	}
	s3, err := servers.OpenMinIO(ctx, bin)
	if err != nil {
		return []result{{tier: t.name, broken: err.Error()}}
	}
	results := t.run(ctx, out, root, append(env, "RUNNEL_TEST_S3="+s3.URL(), harness.ServerEnv+"=minio"), verbose)
	if err := s3.Close(); err != nil {
		results[0].broken = err.Error()
	}
	return results
}
