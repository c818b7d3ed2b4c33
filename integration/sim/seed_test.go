//go:build simoverlay

package sim

import (
	"encoding/json"
	"flag"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/history"
	"github.com/runnel-io/runnel/integration/sim/faults"
)

var (
	seedFlag = flag.Uint64("sim.seed", 1, "the seed to play")
	kindFlag = flag.String("sim.kinds", "", "kinds of faults, between commas; empty: all")
	keepFlag = flag.Bool("sim.keep", false, "write what happened into the working directory even if it is right")
)

// What is sampled about memory would be drawn at random, and is not looked at.
func init() { runtime.MemProfileRate = 0 }

// TestSeed plays one seed, for package runner: what came of it goes into files of the working directory.
func TestSeed(t *testing.T) {
	p := Play(t, *seedFlag, PlayOptions{Kinds: kinds(t)})
	sum, lines := p.Trace.Sum()
	result := Result{Seed: *seedFlag, Took: p.Took, Events: lines, Sum: sum, Operations: len(p.History.Operations), Hits: p.Hits,
		Rewritten: p.Rewritten, Deleted: p.Deleted}
	for _, a := range p.Anomalies {
		result.Anomalies = append(result.Anomalies, a.Name)
	}
	text, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	write(t, "result.json", func(f *os.File) error { _, err := f.Write(text); return err })
	if len(p.Anomalies) == 0 && !t.Failed() && !*keepFlag {
		return
	}
	write(t, "anomalies.txt", func(f *os.File) error {
		for _, a := range p.Anomalies {
			if err := a.Print(f, p.History, 10); err != nil {
				return err
			}
		}
		return nil
	})
	write(t, "report.txt", func(f *os.File) error { _, err := f.WriteString(p.Report()); return err })
	write(t, "history.txt", func(f *os.File) error { return p.History.Print(f, history.Window{}) })
	write(t, "history.jsonl", func(f *os.File) error { return p.History.Save(f) })
	write(t, "trace.txt", func(f *os.File) error { _, err := f.Write(p.Trace.Text()); return err })
	write(t, "brokers.log", func(f *os.File) error { _, err := f.WriteString(p.Log); return err })
}

// kinds are those that the flag names.
func kinds(t *testing.T) []faults.Kind {
	t.Helper()
	if *kindFlag == "" {
		return nil
	}
	var chosen []faults.Kind
	for name := range strings.SplitSeq(*kindFlag, ",") {
		if !slices.Contains(faults.Kinds(), faults.Kind(name)) {
			t.Fatalf("there is no kind of fault %q", name)
		}
		chosen = append(chosen, faults.Kind(name))
	}
	return chosen
}

func write(t *testing.T, name string, fill func(f *os.File) error) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := fill(f); err != nil {
		t.Fatal(err)
	}
}
