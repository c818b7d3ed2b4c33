// Command demo does Runnel's main job on real data: it streams 20,000 flights of a government's statistics through a
// broker while two consumer groups read them, one to keep running totals, one to raise notices. It shows what each
// computed, checks that against the same computation on the file, and fails if they differ.
//
//	go run ./demo [-binary ../bin/runnel] [-bootstrap HOST:PORT]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// timeLimit is generous: the demo takes seconds.
const timeLimit = 2 * time.Minute

func main() {
	binary := flag.String("binary", "../bin/runnel", "broker to start")
	bootstrap := flag.String("bootstrap", "", "broker to use instead of starting one; it must not have the topic "+topic)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx, os.Stdout, *binary, *bootstrap); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context, w io.Writer, binary, bootstrap string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, timeLimit)
	defer cancel()
	flights, err := readFlights()
	if err != nil {
		return err
	}
	if bootstrap == "" {
		address, stop, startErr := startBroker(ctx, binary)
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, stop()) }()
		bootstrap = address
		fmt.Fprintf(w, "Started a broker at %s, everything in memory.\n", address)
	}
	out, err := run(ctx, bootstrap, flights)
	if err != nil {
		return err
	}
	if err := report(w, out); err != nil {
		return err
	}
	if differences := check(flights, out); len(differences) > 0 {
		return fmt.Errorf("what was computed from the topic differs from the file:\n  %s", strings.Join(differences, "\n  "))
	}
	fmt.Fprintln(w, "Checked: both agree with the same computation done directly on the file.")
	return nil
}
