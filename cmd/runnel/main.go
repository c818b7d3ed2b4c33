// Command runnel is the broker and its client tools.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// Exit codes. Scripts may rely on them.
const (
	exitError       = 1
	exitUsage       = 2 // the command line or the configuration is wrong
	exitUnfinished  = 2 // of fsck and segment verify, where 1 means that something is wrong with the data
	exitInterrupted = 130
)

func main() {
	ctx := untilSignal()
	env := &environment{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, environ: os.Environ, proc: "/proc"}
	err := newRoot(env).ExecuteContext(ctx)
	if err != nil {
		os.Exit(report(env, err))
	}
}

// untilSignal returns a context that the first SIGINT or SIGTERM ends, so that commands stop in good order. The second
// ends the process at once as if it had never been caught, however soon it comes.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		second := <-signals
		signal.Reset()
		if err := syscall.Kill(syscall.Getpid(), second.(syscall.Signal)); err != nil {
			os.Exit(exitInterrupted)
		}
	}()
	return ctx
}

// usageError is a mistake in what the user wrote.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// unfinishedError ends a check before it is known whether anything is wrong.
type unfinishedError struct{ err error }

func (e *unfinishedError) Error() string { return e.err.Error() }
func (e *unfinishedError) Unwrap() error { return e.err }

// errFindings ends a check that found something, and has told of it.
var errFindings = errors.New("something is wrong")

// report tells the user of an error and returns the exit code.
func report(env *environment, err error) int {
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(env.err, "interrupted")
		return exitInterrupted
	}
	if err == errFindings { //nolint:errorlint // joined with others, those are to be told
		return exitError
	}
	fmt.Fprintln(env.err, message(err))
	if h := hint(err, env.bootstrap); h != "" {
		fmt.Fprintln(env.err, "  "+h)
	}
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	var unfinished *unfinishedError
	if errors.As(err, &unfinished) {
		return exitUnfinished
	}
	return exitError
}

// message is an error as the user sees it: one line for each of several that are joined. Lines that begin with spaces
// belong to the one above. Those that begin with a tab are parts of one error, as the PostgreSQL driver writes them, and
// go behind it, each once.
func message(err error) string {
	var lines []string
	var parts []string // of the last line
	for line := range strings.SplitSeq(strings.TrimSpace(err.Error()), "\n") {
		part, isPart := strings.CutPrefix(line, "\t")
		switch {
		case isPart && slices.Contains(parts, part):
		case isPart && len(lines) > 0:
			separator := map[bool]string{true: " ", false: "; "}[len(parts) == 0]
			lines[len(lines)-1] += separator + part
			parts = append(parts, part)
		case strings.HasPrefix(line, " "):
			lines, parts = append(lines, line), nil
		default:
			lines, parts = append(lines, "runnel: "+line), nil
		}
	}
	return strings.Join(lines, "\n")
}
