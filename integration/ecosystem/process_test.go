package ecosystem

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/servers"
)

// runScenarios runs a program that checks scenarios and reports each as a test of its own.
func runScenarios(t *testing.T, limit time.Duration, command []string) {
	t.Helper()
	ctx := within(t, limit)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	count := 0
	for lines := json.NewDecoder(&out); ; count++ {
		var s struct{ Scenario, Error string }
		if lines.Decode(&s) != nil {
			break
		}
		t.Run(s.Scenario, func(t *testing.T) {
			if s.Error != "" {
				t.Error(s.Error)
			}
		})
	}
	if err != nil || count == 0 || t.Failed() {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		t.Errorf("%d scenarios ended; the program: %v\n%s", count, err, tail(errs.Bytes()))
	}
}

// process is a program that runs beside the test, until it is killed or the test ends.
type process struct {
	*servers.Process
	name string
	log  *servers.Log
}

func start(t *testing.T, name string, command []string) *process {
	t.Helper()
	log, err := servers.NewLog("")
	if err != nil {
		t.Fatal(err)
	}
	p, err := servers.Start(name, exec.Command(command[0], command[1:]...), syscall.SIGKILL, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop(syscall.SIGKILL, time.Minute)
		if t.Failed() {
			t.Logf("%s said:\n%s", name, tail([]byte(log.Tail())))
		}
	})
	return &process{p, name, log}
}

// kill ends the process at once; it must have been alive until now.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.alive(t)
	p.Stop(syscall.SIGKILL, time.Minute)
}

// end ends a Java program by SIGTERM, in good order.
func (p *process) end(t *testing.T) {
	t.Helper()
	p.alive(t)
	err := p.Stop(syscall.SIGTERM, time.Minute)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGTERM) {
		t.Fatalf("%s did not end well on SIGTERM: %v", p.name, err)
	}
}

func (p *process) alive(t *testing.T) {
	t.Helper()
	select {
	case <-p.Exited():
		t.Fatalf("%s ended by itself", p.name)
	default:
	}
}

// tail is the end of a long output.
func tail(b []byte) []byte { return bytes.TrimSpace(b[max(0, len(b)-4000):]) }
