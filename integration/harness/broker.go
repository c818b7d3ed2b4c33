package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/servers"
)

const (
	// ReadyTimeout is how long a broker may take from its start until it is ready.
	ReadyTimeout = 30 * time.Second
	// StopTimeout is how long a broker may take to end after SIGTERM.
	StopTimeout = 40 * time.Second
)

// Broker is a runnel process. Start, Stop and Kill may follow each other any number of times; address and data stay.
type Broker struct {
	Addr      string            // where Kafka clients connect; that of the first listener
	Listeners map[string]string // where clients of each connect, by name, if there are any
	Admin     string            // where /livez, /readyz and /metrics are

	t    testing.TB
	args []string
	env  []string
	log  *servers.Log
	proc *servers.Process
}

// DevOptions are the settings of an embedded broker.
type DevOptions struct {
	Data string            // directory; empty keeps everything in memory
	Set  map[string]string // cluster defaults by their Kafka names
}

// Dev starts `runnel dev` and waits until it is ready.
func Dev(t testing.TB, o DevOptions) *Broker {
	t.Helper()
	b := newBroker(t, "")
	b.args = append([]string{"dev", "--listen", b.Addr, "--admin", b.Admin}, set(o.Set)...)
	if o.Data != "" {
		b.args = append(b.args, "--data", o.Data)
	}
	b.Start()
	b.WaitReady()
	return b
}

// NodeOptions are the settings of a broker in production mode.
type NodeOptions struct {
	Set map[string]string // cluster defaults by their Kafka names
	Env []string          // further configuration, RUNNEL_KEY=value
	Log string            // file to which the process's log is appended as well; empty: none

	Listeners []Listener // none: one of plaintext
}

// Listener is an address on which a broker serves clients, and how.
type Listener struct{ Name, Protocol string }

// Node prepares a `runnel broker` on the stores, without starting it.
func Node(t testing.TB, s Stores, o NodeOptions) *Broker {
	t.Helper()
	b := newBroker(t, o.Log)
	b.args = append([]string{"broker"}, set(o.Set)...)
	b.env = slices.Concat(s.env(), b.listen(o.Listeners), []string{"RUNNEL_ADMIN_LISTEN=" + b.Admin}, o.Env)
	return b
}

// listen gives each listener an address, and returns the configuration of them.
func (b *Broker) listen(listeners []Listener) []string {
	if len(listeners) == 0 {
		return []string{"RUNNEL_LISTEN=" + b.Addr, "RUNNEL_ADVERTISE=" + b.Addr}
	}
	b.Listeners = make(map[string]string)
	var env []string
	for i, l := range listeners {
		address := b.Addr
		if i > 0 {
			address = FreeAddress(b.t)
		}
		b.Listeners[l.Name] = address
		prefix := "RUNNEL_LISTENERS_" + strings.ToUpper(l.Name) + "_"
		env = append(env, prefix+"LISTEN="+address, prefix+"ADVERTISE="+address, prefix+"PROTOCOL="+l.Protocol)
	}
	return env
}

func newBroker(t testing.TB, logFile string) *Broker {
	t.Helper()
	log, err := servers.NewLog(logFile)
	if err != nil {
		t.Fatal(err)
	}
	b := &Broker{t: t, Addr: FreeAddress(t), Admin: FreeAddress(t), log: log}
	watching(t).add(b, nil)
	t.Cleanup(func() {
		if b.Running() {
			b.Stop()
		}
		if t.Failed() {
			t.Logf("log of the broker at %s:\n%s", b.Addr, lastLines(log.Tail(), 60))
		}
		log.Close()
	})
	return b
}

// set makes flags of cluster defaults. Groups need not wait for members that tests do not have.
func set(defaults map[string]string) []string {
	args := []string{"--set", "group.initial.rebalance.delay.ms=0"}
	for name, value := range defaults {
		args = append(args, "--set", name+"="+value)
	}
	return args
}

// Start starts the process and does not wait for it.
func (b *Broker) Start() {
	b.t.Helper()
	cmd := exec.Command(Binary(b.t), b.args...)
	cmd.Env = append(withoutRunnel(os.Environ()), b.env...)
	proc, err := servers.Start("runnel", cmd, syscall.SIGKILL, b.log)
	if err != nil {
		b.t.Fatal(err)
	}
	b.proc = proc
}

// withoutRunnel drops the suite's own variables, which the broker would refuse as unknown configuration.
func withoutRunnel(env []string) []string {
	return slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "RUNNEL_") })
}

// Running tells whether the process lives.
func (b *Broker) Running() bool {
	if b.proc == nil {
		return false
	}
	select {
	case <-b.proc.Exited():
		return false
	default:
		return true
	}
}

// Pid is the process id.
func (b *Broker) Pid() int { return b.proc.Pid() }

// Log is the end of what the process printed, over all its lives.
func (b *Broker) Log() string { return b.log.Tail() }

// WaitReady waits until /readyz says yes.
func (b *Broker) WaitReady() {
	b.t.Helper()
	deadline := time.Now().Add(ReadyTimeout)
	for {
		ready, why := b.Ready()
		if ready {
			return
		}
		if !b.Running() {
			b.t.Fatalf("the broker ended before it was ready")
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("the broker is not ready after %v: %s", ReadyTimeout, why)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// WaitNotReady waits until /readyz says no for a reason that contains word.
func (b *Broker) WaitNotReady(word string) {
	b.t.Helper()
	deadline := time.Now().Add(ReadyTimeout)
	for {
		ready, why := b.Ready()
		if !ready && strings.Contains(why, word) {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("/readyz does not name %q after %v: ready %v, %s", word, ReadyTimeout, ready, why)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Ready asks /readyz once. A broker that does not answer is not ready; why says so.
func (b *Broker) Ready() (ready bool, why string) {
	status, body, err := b.get("/readyz")
	if err != nil {
		return false, err.Error()
	}
	return status == http.StatusOK, body
}

// Metrics is the text of /metrics.
func (b *Broker) Metrics() string {
	b.t.Helper()
	status, body, err := b.get("/metrics")
	if err != nil || status != http.StatusOK {
		b.t.Fatalf("GET /metrics: status %d, %v", status, err)
	}
	return body
}

func (b *Broker) get(path string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.Admin+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// Stop sends SIGTERM and fails the test unless the broker drains and ends with exit code 0.
func (b *Broker) Stop() {
	b.t.Helper()
	if err := b.proc.Stop(syscall.SIGTERM, StopTimeout); err != nil {
		b.t.Errorf("the broker did not end well on SIGTERM: %v", err)
	}
}

// Terminate sends SIGTERM and does not wait. How the broker ended can be received: nil if it drained and ended with exit
// code 0. It is killed after StopTimeout.
func (b *Broker) Terminate() <-chan error {
	ended, proc := make(chan error, 1), b.proc
	go func() { ended <- proc.Stop(syscall.SIGTERM, StopTimeout) }()
	return ended
}

// StopTwice sends SIGTERM, waits until the broker drains, sends it again, and fails the test unless that ends the process
// at once.
func (b *Broker) StopTwice() {
	b.t.Helper()
	if err := b.proc.Signal(syscall.SIGTERM); err != nil {
		b.t.Fatal(err)
	}
	b.WaitNotReady("draining")
	err := b.proc.Stop(syscall.SIGTERM, 2*time.Second)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		b.t.Errorf("the broker did not end at once on the second SIGTERM: %v", err)
	}
}

// Kill ends the process at once, as a crash does.
func (b *Broker) Kill() {
	b.t.Helper()
	err := b.proc.Stop(syscall.SIGKILL, StopTimeout)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		b.t.Fatalf("the broker had ended before it was killed: %v", err)
	}
}

// Restart starts the process again and waits until it is ready.
func (b *Broker) Restart() {
	b.t.Helper()
	b.Start()
	b.WaitReady()
}

// FreeAddress is one on the loopback at which nobody listens.
func FreeAddress(t testing.TB) string {
	t.Helper()
	port, err := servers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
