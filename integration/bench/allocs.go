package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// hotPaths are the packages whose benchmarks say what a batch or a run costs, and those benchmarks. The others need
// servers or disks, or measure seconds.
var hotPaths = []struct{ pkg, pattern string }{
	{"./batching/recordbatch", "Validate"},
	{"./batching/segment", "Assemble"},
	{"./batching", "Append"},
	{"./batching/reader", "Read"},
	{"./broker/wire", "PipelinedProduce|RoundTrip"},
	{"./broker", "Admit|Fetch"},
	{"./metastore", "BenchmarkCommit$|BenchmarkFollow"},
	{"./objstore/cache", "ReadHit"},
}

// benchLine is a line of `go test -bench -benchmem`.
var benchLine = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([0-9.]+) ns/op(.*?)\s+(\d+) B/op\s+(\d+) allocs/op`)

// parseBench reads the name, the time and the allocations of a benchmark.
func parseBench(line string) (cells []string, ok bool) {
	match := benchLine.FindStringSubmatch(line)
	if match == nil {
		return nil, false
	}
	return []string{match[1], match[2], match[4], match[5]}, true
}

func allocations(ctx context.Context, m *machine) (section, error) {
	s := newSection("package", "benchmark", "ns/op", "B/op", "allocs/op")
	for _, p := range hotPaths {
		args := []string{"test", "-run", "^$", "-bench", p.pattern, "-benchmem", "-benchtime", "100ms", p.pkg}
		s.commands = append(s.commands, "go "+strings.Join(args, " "))
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = m.root
		out, err := cmd.CombinedOutput()
		if err != nil {
			return s, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
			if cells, ok := parseBench(lines.Text()); ok {
				s.row(append([]string{strings.TrimPrefix(p.pkg, "./")}, cells...)...)
			}
		}
	}
	s.outcome = "see the table"
	return s, nil
}
