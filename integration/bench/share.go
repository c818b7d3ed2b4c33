package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
)

// errNoPerf: the program is not there.
var errNoPerf = errors.New("needs Linux perf")

// share tells in how many percent of the samples of a process's CPU, while something is done, a function is running or has called
// what runs. Where two processes differ by a few percent for no reason, it tells what a difference of rates cannot.
func share(ctx context.Context, pid int, function *regexp.Regexp, during func() error) (percent float64, samples int, err error) {
	if _, err := exec.LookPath("perf"); err != nil {
		return 0, 0, errNoPerf
	}
	dir, err := os.MkdirTemp("", "runnel-bench-share-")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "perf.data")
	record := exec.CommandContext(ctx, "perf", "record", "-q", "-F", "499", "-g", "-p", strconv.Itoa(pid), "-o", data)
	if err := record.Start(); err != nil {
		return 0, 0, fmt.Errorf("perf record: %w", err)
	}
	err = during()
	_ = record.Process.Signal(syscall.SIGINT)
	_ = record.Wait() // it ends with the signal that we sent
	if err != nil {
		return 0, 0, err
	}
	stacks, err := exec.CommandContext(ctx, "perf", "script", "-i", data).Output()
	if err != nil {
		return 0, 0, fmt.Errorf("perf script: %w", err)
	}
	samples, of := countStacks(stacks, function)
	if samples == 0 {
		return 0, 0, errors.New("perf took no sample")
	}
	return 100 * float64(of) / float64(samples), samples, nil
}

// countStacks counts the samples that perf script prints, and those with a function on their stack. Samples are separated by empty lines.
func countStacks(printed []byte, function *regexp.Regexp) (samples, with int) {
	for stack := range bytes.SplitSeq(bytes.TrimSpace(printed), []byte("\n\n")) {
		if len(bytes.TrimSpace(stack)) == 0 {
			continue
		}
		samples++
		if function.Match(stack) {
			with++
		}
	}
	return samples, with
}
