package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAddressesAreWaitedFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "addresses")
	synctest.Test(t, func(t *testing.T) {
		type result struct {
			addresses []string
			err       error
		}
		done := make(chan result, 1)
		go func() {
			addresses, err := awaitAddresses(t.Context(), file, 2)
			done <- result{addresses, err}
		}()
		for _, text := range []string{"", "b1.example:1909", "b1.example:19092\nb2.example:19093"} { // not all there yet
			time.Sleep(5 * time.Second)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		if len(done) > 0 {
			t.Fatalf("did not wait: %v", <-done)
		}
		if err := os.WriteFile(file, []byte("b1.example:19092\nb2.example:19093\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		got := <-done
		if got.err != nil || !slices.Equal(got.addresses, []string{"b1.example:19092", "b2.example:19093"}) {
			t.Errorf("%v", got)
		}
	})
}

func TestWaitForAddressesIsBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "never")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := awaitAddresses(t.Context(), file, 1)
		if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "held no address after 1m0s") || took != time.Minute {
			t.Errorf("after %s: %v", took, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := awaitAddresses(ctx, file, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

func TestDevTellsAddressesOfAFile(t *testing.T) {
	o := devOptions{listen: "0.0.0.0:9092", admin: "", brokers: 2, logLevel: "warn", advertised: []string{"host:32001", "host:32002"}}
	configs, err := o.configs()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range o.advertised {
		if got := configs[i].Listeners[0].Advertise; got != want {
			t.Errorf("broker %d advertises %q", i, got)
		}
	}
	o = devOptions{
		listen: "127.0.0.1:9092", brokers: 1, logLevel: "warn", advertised: []string{"host:32001"},
		listeners: []string{"OUTSIDE.listen=0.0.0.0:9092", "OUTSIDE.protocol=PLAINTEXT", "INSIDE.listen=0.0.0.0:9093", "INSIDE.protocol=PLAINTEXT"},
	}
	if configs, err = o.configs(); err != nil {
		t.Fatal(err)
	}
	if l := configs[0].Listeners; len(l) != 2 || l[0].Name != "OUTSIDE" || l[0].Advertise != "host:32001" || l[1].Advertise != "" {
		t.Errorf("listeners %+v", l)
	}
}

func TestDevTakesFlagsOfABroker(t *testing.T) {
	file := filepath.Join(t.TempDir(), "address")
	if err := os.WriteFile(file, []byte("one:1\ntwo:2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"dev --protocol SASL_SSL":                    "needs tls.certificate",
		"dev --authorizer maybe":                     "invalid value \"maybe\" for authorizer",
		"dev --metastore-url memory://":              "unknown flag: --metastore-url",
		"dev --node-id 7":                            "unknown flag: --node-id",
		"dev --brokers 2 --listener a.listen=:1":     "--listener is for one broker",
		"dev --advertise a:1 --advertise-from /none": "say the same",
		"dev --listener a.listen=:1":                 "listeners.a.protocol is required",
		"dev --advertise-from " + file:               "holds 2 addresses, and there are 1 brokers",
		"dev --linger-min 2s":                        "must not be above linger.max (10ms)",
	} {
		if _, errOut, code := run(t, nil, strings.Fields(line)...); code != exitUsage || !strings.Contains(errOut, want) {
			t.Errorf("%s: exit %d: %s", line, code, errOut)
		}
	}
}

// TestDevAsksWhereItIs: clients were told of a host, and brokers of a zone, by the name of auto.
func TestDevAsksWhereItIs(t *testing.T) {
	t.Setenv("ECS_CONTAINER_METADATA_URI_V4", "https://nowhere")
	for _, flags := range []string{"--zone auto:ecs", "--advertise auto:ecs", "--advertise auto:ecs:9092"} {
		line := "dev --listen 127.0.0.1:0 --admin= " + flags
		if _, errOut, code := run(t, nil, strings.Fields(line)...); code != exitError || !strings.Contains(errOut, "ask ecs where this broker is") {
			t.Errorf("%s: exit %d: %s", line, code, errOut)
		}
	}
}
