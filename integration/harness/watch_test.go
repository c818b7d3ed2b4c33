package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// hanging is a test whose package has not much time left, and what it says.
type hanging struct {
	testing.TB
	deadline time.Time

	mu   sync.Mutex
	said strings.Builder
}

func (h *hanging) Deadline() (time.Time, bool) { return h.deadline, true }

func (h *hanging) Logf(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(&h.said, format+"\n", args...)
}

func (h *hanging) Errorf(format string, args ...any) { h.Logf("FAILED: "+format, args...) }

// TestATestThatHangsIsEndedAndSaysWhatItWaitsFor: its broker tells what it does, and ends; its client is closed, which is all that
// ends a wait for a record that was sent; its context ends.
func TestATestThatHangsIsEndedAndSaysWhatItWaitsFor(t *testing.T) {
	h := &hanging{TB: t, deadline: time.Now().Add(time.Minute)}
	b := Dev(h, DevOptions{})
	silent := listenSilently(t)
	h = &hanging{TB: t, deadline: time.Now().Add(time.Second)}
	watching(h).add(b, nil)
	client, err := Client(h, kgo.SeedBrokers(silent), kgo.DefaultProduceTopic("t"), kgo.RequestTimeoutOverhead(10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	waitForARecord(t, client)
	<-Soon(h).Done()
	if err := Watched(h).Err(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-b.proc.Exited()
	w := watching(h)
	w.mu.Lock() // until all is said
	defer w.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, want := range []string{
		"FAILED: the test hangs: it has not ended after 1s", "harness.waitForARecord", "harness/watch_test.go:",
		"the broker at " + b.Addr, "broker/node.(*Node).serve", "for up to 0 minutes [",
	} {
		if !strings.Contains(h.said.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, h.said.String())
		}
	}
}

// waitForARecord returns when the client is closed.
func waitForARecord(t *testing.T, client *kgo.Client) {
	t.Helper()
	if err := client.ProduceSync(context.Background(), kgo.StringRecord("x")).FirstErr(); !errors.Is(err, kgo.ErrClientClosed) {
		t.Error(err)
	}
}

// listenSilently is the address of one who takes connections and never says a word.
func listenSilently(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
		}
	}()
	return ln.Addr().String()
}

// TestATestThatEndsIsNotDisturbed: nothing is ended before, nor said after.
func TestATestThatEndsIsNotDisturbed(t *testing.T) {
	var h *hanging
	var soon context.Context
	t.Run("it", func(t *testing.T) {
		h = &hanging{TB: t, deadline: time.Now().Add(300 * time.Millisecond)}
		soon = Soon(h)
		t.Cleanup(func() {
			if soon.Err() != nil {
				t.Error("the context ended before the test had cleaned up")
			}
		})
	})
	if soon.Err() == nil {
		t.Error("the context outlives the test")
	}
	<-time.After(400 * time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.said.Len() > 0 {
		t.Error(h.said.String())
	}
}

func TestStacksAreSummedUp(t *testing.T) {
	dump := `goroutine 1 [running]:
main.main()
	/x/main.go:1 +0x1d

goroutine 22 [chan receive, 7 minutes]:
github.com/runnel-io/runnel/broker/wire.(*Server).read(0xc000123, {0x1, 0x2})
	github.com/runnel-io/runnel/broker/wire/server.go:10 +0x1d
created by github.com/runnel-io/runnel/broker/wire.(*Server).Run in goroutine 21
	github.com/runnel-io/runnel/broker/wire/server.go:5 +0x2c

goroutine 23 gp=0xc0001 m=nil mp=0x3 [chan receive, 9 minutes, locked to thread]:
github.com/runnel-io/runnel/broker/wire.(*Server).read(0xc000999, {...})
	github.com/runnel-io/runnel/broker/wire/server.go:10 +0x1d
created by github.com/runnel-io/runnel/broker/wire.(*Server).Run in goroutine 8
	github.com/runnel-io/runnel/broker/wire/server.go:5 +0x2c

goroutine 24 [select]:
github.com/runnel-io/runnel/integration/e2e.TestIt(0xc0001)
	/x/integration/e2e/it_test.go:10 +0x1d`
	want := `1 for up to 0 minutes [select]
github.com/runnel-io/runnel/integration/e2e.TestIt
	/x/integration/e2e/it_test.go:10

2 for up to 9 minutes [chan receive]
github.com/runnel-io/runnel/broker/wire.(*Server).read
	github.com/runnel-io/runnel/broker/wire/server.go:10
created by github.com/runnel-io/runnel/broker/wire.(*Server).Run
	github.com/runnel-io/runnel/broker/wire/server.go:5

`
	if got := stacks(dump); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
