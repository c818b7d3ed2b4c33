package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// result is what became of the tests of one tier.
type result struct {
	tier           string
	passed, failed int
	skipped        []string // "package.Test: reason"
	failures       []string // "package.Test", or a package that did not build or ended outside of any test
	broken         string   // why the tier did not run to its end
	took           time.Duration
	computed       time.Duration // by all its processes on all processors, but for servers that it shares
}

// event is one line of `go test -json`.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
	FailedBuild                   string
}

// counter reads the events of one `go test -json`, prints what a person wants to see, and counts leaf tests.
type counter struct {
	verbose bool
	out     io.Writer
	of      func(pkg string) *result

	output  map[string][]string // of tests that are not decided
	parents map[string]bool     // tests that have subtests
	running map[string]bool     // tests that began and are not decided
}

func (c *counter) read(r io.Reader) {
	c.output, c.parents, c.running = map[string][]string{}, map[string]bool{}, map[string]bool{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(c.out, lines.Text())
			continue
		}
		c.event(e)
	}
	_, _ = io.Copy(io.Discard, r) // a line too long ended the scan; let the writer end
}

func (c *counter) event(e event) {
	key := e.Package + "." + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(c.out, e.Output)
	case "run":
		c.running[key] = true
		if i := strings.LastIndexByte(e.Test, '/'); i > 0 {
			c.parents[e.Package+"."+e.Test[:i]] = true
		}
	case "output":
		c.output[key] = append(c.output[key], e.Output)
		if c.verbose {
			fmt.Fprint(c.out, e.Output)
		}
	case "pass", "fail", "skip":
		c.decided(e, key)
		delete(c.output, key)
		delete(c.running, key)
	}
}

func (c *counter) decided(e event, key string) {
	res := c.of(e.Package)
	if e.Test == "" {
		c.packageDecided(e, res, key)
		return
	}
	if e.Action == "fail" && !c.verbose {
		fmt.Fprint(c.out, strings.Join(c.output[key], ""))
	}
	if c.parents[key] {
		return // its subtests count, not the frame around them
	}
	switch e.Action {
	case "pass":
		res.passed++
	case "fail":
		res.failed++
		res.failures = append(res.failures, key)
	case "skip":
		res.skipped = append(res.skipped, key+": "+reason(c.output[key]))
	}
}

// packageDecided prints the line that `go test` prints for a package.
func (c *counter) packageDecided(e event, res *result, key string) {
	if e.Action == "skip" {
		return // no test files
	}
	if e.Action == "fail" {
		if !c.verbose {
			fmt.Fprint(c.out, strings.Join(c.output[key], ""))
		}
		hung := c.neverEnded(e.Package, res)
		if e.FailedBuild != "" || (res.failed == 0 && !hung) {
			res.failed++ // did not build, or ended outside any test
			res.failures = append(res.failures, e.Package)
		}
	}
	word := map[string]string{"pass": "ok  ", "fail": "FAIL"}[e.Action]
	fmt.Fprintf(c.out, "%s\t%s\t%.1fs\n", word, e.Package, e.Elapsed)
}

// neverEnded counts as failed what still ran when its package ended: the process died, or the time was up, of which `go test` tells
// in the output of a test that happened to speak last.
func (c *counter) neverEnded(pkg string, res *result) (found bool) {
	for _, key := range slices.Sorted(maps.Keys(c.running)) {
		if !strings.HasPrefix(key, pkg+".") {
			continue
		}
		found = true
		if !c.verbose {
			fmt.Fprint(c.out, strings.Join(c.output[key], ""))
		}
		if !c.parents[key] {
			res.failed++
			res.failures = append(res.failures, key+" (had not ended)")
		}
		delete(c.output, key)
		delete(c.running, key)
	}
	return found
}

// reason is what a skipped test said.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "---") || strings.HasPrefix(line, "===") {
			continue
		}
		if _, said, ok := strings.Cut(line, ".go:"); ok {
			if _, said, ok = strings.Cut(said, ": "); ok {
				return said
			}
		}
		return line
	}
	return "no reason given"
}

// report prints the summary and says whether the run is a failure: strict makes it one if anything was skipped.
func report(w io.Writer, results []result, strict bool) error {
	fmt.Fprintln(w, "\n=== summary")
	var passed, failed, skipped int
	var wrong []string
	for _, r := range results {
		passed, failed, skipped = passed+r.passed, failed+r.failed, skipped+len(r.skipped)
		line := fmt.Sprintf("tier %-9s %4d passed, %d failed, %d skipped", r.tier+":", r.passed, r.failed, len(r.skipped))
		if r.took > 0 {
			line += fmt.Sprintf("  (%.0fs, %.0fs of processors)", r.took.Seconds(), r.computed.Seconds())
		}
		switch {
		case r.broken != "":
			line += "  BROKEN: " + r.broken
			wrong = append(wrong, r.tier+" broken")
		case r.failed > 0:
			wrong = append(wrong, r.tier+" failed")
		case r.passed == 0:
			line += "  NOTHING RAN"
			wrong = append(wrong, r.tier+" ran nothing")
		case strict && len(r.skipped) > 0:
			wrong = append(wrong, r.tier+" skipped tests in CI")
		}
		fmt.Fprintln(w, line)
		for _, f := range r.failures {
			fmt.Fprintln(w, "    failed "+f)
		}
		for _, s := range r.skipped {
			fmt.Fprintln(w, "    skipped "+s)
		}
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if len(wrong) > 0 {
		return fmt.Errorf("%s", strings.Join(wrong, "; "))
	}
	return nil
}
