package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/integration/sim"
	"github.com/runnel-io/runnel/integration/sim/faults"
	"github.com/runnel-io/runnel/planted"
)

// Outcome is what came of one seed.
type Outcome struct {
	sim.Result
	CPU    time.Duration // user and system time of its process
	Wall   time.Duration
	Memory int64  // bytes, at most
	Output string // of the process, if something was wrong
}

// Options of Play. The zero value is the default.
type Options struct {
	Patience time.Duration // real time until a seed counts as stuck; default 5 minutes, some hundred times what it takes: others may keep processors busy
	Keep     bool          // leave all files of the seed in its directory, also if it is right
	Kinds    []faults.Kind // of faults; default: all
	Planted  planted.Bug   // of a program that was built with the tag
}

// memoryLimit is where the collector begins: a seed needs a tenth of it. It runs at no other time, since what it does
// depends on the clock.
const memoryLimit = "3GiB"

const resultFile = "result.json"

// Play plays a seed in an empty directory of its own. What went wrong is in the outcome, and files about it in the directory;
// an error means that the seed could not be played.
func Play(ctx context.Context, binary string, seed uint64, dir string, opts Options) (Outcome, error) {
	if opts.Patience == 0 {
		opts.Patience = 5 * time.Minute
	}
	o := Outcome{Result: sim.Result{Seed: seed}}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return o, err
	}
	if err := os.Remove(filepath.Join(dir, resultFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return o, err // of an earlier run
	}
	keep := 0
	if opts.Keep {
		keep = 1
	}
	patient, cancel := context.WithTimeout(ctx, opts.Patience)
	defer cancel()
	// The environment is the same for all who play the seed.
	run := exec.CommandContext(patient, binary, "-test.run=^TestSeed$", "-test.timeout=0",
		fmt.Sprintf("-sim.seed=%d", seed), "-sim.keep="+strconv.Itoa(keep))
	if len(opts.Kinds) > 0 {
		run.Args = append(run.Args, "-sim.kinds="+joined(opts.Kinds))
	}
	run.Dir = dir
	run.Env = []string{"GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=" + memoryLimit, "GODEBUG=asyncpreemptoff=1", "GOTRACEBACK=all"}
	if opts.Planted != "" {
		run.Env = append(run.Env, "RUNNEL_PLANTED="+string(opts.Planted))
	}
	run.Cancel = func() error { return run.Process.Signal(syscall.SIGQUIT) } // it tells where it is stuck
	run.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	run.Stdout, run.Stderr = &out, &out
	began := time.Now()
	failed := run.Run()
	o.Wall = time.Since(began)
	if state := run.ProcessState; state != nil {
		o.CPU = state.UserTime() + state.SystemTime()
		if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
			o.Memory = usage.Maxrss << 10
		}
	}
	if ctx.Err() != nil {
		return o, ctx.Err()
	}
	if err := readResult(dir, &o.Result); err != nil {
		return o, err
	}
	if failed != nil {
		o.Output = out.String()
		if err := os.WriteFile(filepath.Join(dir, "output.txt"), out.Bytes(), 0o644); err != nil {
			return o, err
		}
		o.Anomalies = append(o.Anomalies, fatal(patient, o.Output))
	}
	return o, nil
}

func joined(kinds []faults.Kind) string {
	names := make([]string, len(kinds))
	for i, kind := range kinds {
		names[i] = string(kind)
	}
	return strings.Join(names, ",")
}

// fatal names the way in which a process failed.
func fatal(patient context.Context, output string) string {
	if patient.Err() != nil || strings.Contains(output, "deadlock") || !strings.Contains(output, "panic: ") && !strings.Contains(output, "fatal error: ") {
		return sim.Stuck
	}
	return sim.Panic
}

func readResult(dir string, into *sim.Result) error {
	text, err := os.ReadFile(filepath.Join(dir, resultFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil // it did not get so far
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
