package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/runnel-io/runnel/broker/config"
)

const (
	// longestAdvertise is how long dev waits for the addresses that clients are told.
	longestAdvertise = time.Minute
	advertiseLook    = 10 * time.Millisecond
)

// awaitAddresses waits until a file holds as many addresses as there are brokers, separated by white space, with a line break
// behind the last: who starts a container knows where its ports are found outside when it runs, and puts them into this file.
// What is empty, or does not end in a line break, is not all there yet.
func awaitAddresses(ctx context.Context, file string, brokers int) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, longestAdvertise, fmt.Errorf("--advertise-from: %s held no address after %s", file, longestAdvertise))
	defer cancel()
	tick := time.NewTicker(advertiseLook)
	defer tick.Stop()
	for {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("--advertise-from: %w", err)
		}
		addresses := strings.Fields(string(text))
		switch {
		case len(addresses) == 0 || !strings.HasSuffix(string(text), "\n"):
		case len(addresses) != brokers:
			return nil, usagef("--advertise-from: %s holds %d addresses, and there are %d brokers", file, len(addresses), brokers)
		default:
			return addresses, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// checkAdvertised refuses flags that would have several brokers listen on one address, or tell of one.
func (o *devOptions) checkAdvertised() error {
	given := func(flag string) bool { return o.given != nil && o.given(flag) }
	switch {
	case o.brokers > 1 && len(o.listeners) > 0:
		return usagef("--%s is for one broker", config.ListenerFlag)
	case o.advertiseFrom != "" && given("advertise"):
		return usagef("--advertise and --advertise-from say the same; give one of them")
	}
	return nil
}

// advertise has the first listener of a broker tell clients of an address.
func (o *devOptions) advertise(src *config.Sources, address string) {
	if len(o.listeners) == 0 {
		src.Flags["advertise"] = address
		return
	}
	first, _, _ := strings.Cut(o.listeners[0], ".")
	src.Listener = append(src.Listener[:len(src.Listener):len(src.Listener)], first+".advertise="+address)
}
