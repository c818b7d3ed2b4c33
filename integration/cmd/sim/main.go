// Command sim plays seeds of the simulated cluster, each in a process of its own, and tells which went wrong. The same
// seed gives the same run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/integration/sim/faults"
	"github.com/runnel-io/runnel/integration/sim/runner"
	"github.com/runnel-io/runnel/planted"
)

// errAnomalies: the seeds were played, and some went wrong.
var errAnomalies = errors.New("there are anomalies")

type flags struct {
	seed, base uint64
	count      int
	parallel   int
	out        string
	patience   time.Duration
	planted    string
	kinds      string
}

func main() {
	var f flags
	flag.Uint64Var(&f.seed, "seed", 0, "play this seed alone, and keep what happened")
	flag.IntVar(&f.count, "seeds", 100, "how many seeds to play")
	flag.Uint64Var(&f.base, "base", 0, "the first of them; 0: by chance")
	flag.IntVar(&f.parallel, "parallel", runtime.NumCPU(), "how many to play at a time")
	flag.StringVar(&f.out, "out", filepath.Join("..", "bin", "sim"), "directory for the program and for what happened")
	flag.DurationVar(&f.patience, "patience", 2*time.Minute, "real time after which a seed counts as stuck")
	flag.StringVar(&f.kinds, "kinds", "", "kinds of faults, between commas; empty: all")
	flag.StringVar(&f.planted, "planted", "", "plant a bug of package planted; \"none\": build so that one could be planted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, f); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

func run(ctx context.Context, f flags) error {
	out, err := filepath.Abs(f.out)
	if err != nil {
		return err
	}
	opts, err := f.options()
	if err != nil {
		return err
	}
	fmt.Println("building; the first time takes minutes, since Go's runtime is built anew")
	binary, tags := filepath.Join(out, "sim.test"), []string(nil)
	if f.planted != "" {
		binary, tags = filepath.Join(out, "sim-planted.test"), []string{planted.Tag}
	}
	if err := runner.Build(ctx, binary, tags...); err != nil {
		return err
	}
	switch {
	case f.seed != 0:
		f.base, f.count, opts.Keep = f.seed, 1, true
	case f.base == 0:
		f.base = uint64(rand.Uint32())
	}
	if f.count == 1 {
		fmt.Printf("playing seed %d\n", f.base)
	} else {
		fmt.Printf("playing %s from %d on, %d at a time\n", seeds(f.count), f.base, f.parallel)
	}
	s := newSummary(out, f.count, again(f))
	err = runner.Many(ctx, binary, f.base, f.count, f.parallel, out, opts, s.add)
	s.print(os.Stdout)
	if opts.Keep && err == nil && s.bad == 0 {
		fmt.Println("what happened:", runner.Dir(out, f.seed))
	}
	if err == nil && s.bad > 0 {
		err = errAnomalies
	}
	return err
}

// options are how seeds are played. It refuses names that nothing has before anything is built.
func (f flags) options() (runner.Options, error) {
	opts := runner.Options{Patience: f.patience}
	if f.planted != "none" {
		opts.Planted = planted.Bug(f.planted)
	}
	if opts.Planted != "" && !slices.Contains(planted.All, opts.Planted) {
		return opts, fmt.Errorf("-planted %s: there is no such bug; there are %v", f.planted, planted.All)
	}
	for name := range strings.SplitSeq(f.kinds, ",") {
		switch kind := faults.Kind(name); {
		case name == "":
		case slices.Contains(faults.Kinds(), kind):
			opts.Kinds = append(opts.Kinds, kind)
		default:
			return opts, fmt.Errorf("-kinds %s: there is no such kind; there are %v", name, faults.Kinds())
		}
	}
	return opts, nil
}

// again is the command that plays a seed as these flags do, without the seed.
func again(f flags) string {
	if f.planted == "" && f.kinds == "" {
		return "make sim SEED="
	}
	command := "cd integration && go run ./cmd/sim "
	if f.planted != "" {
		command += "-planted " + f.planted + " "
	}
	if f.kinds != "" {
		command += "-kinds " + f.kinds + " "
	}
	return command + "-seed "
}
