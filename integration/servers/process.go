package servers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a child process that is stopped by its pid.
type Process struct {
	name string
	cmd  *exec.Cmd
	log  *Log

	exited chan struct{} // closed after the process was reaped
	err    error         // result of Wait, valid once exited is closed

	stopOnce sync.Once
}

// inheritedOutput is how long the output of a process that has ended is read on. Its children have it too, and those of a PostgreSQL
// server that was killed may wait for each other.
const inheritedOutput = 10 * time.Second

// Start starts cmd as a child that gets orphanSignal from the kernel should this process die without stopping it
// (a panic, a SIGKILL): nothing may stay behind on the machine. Standard output and error go to log.
func Start(name string, cmd *exec.Cmd, orphanSignal syscall.Signal, log *Log) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = orphanSignal
	// A group of its own: a Ctrl-C at the terminal reaches us alone, and we stop children in order.
	cmd.SysProcAttr.Setpgid = true
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = inheritedOutput

	p := &Process{name: name, cmd: cmd, log: log, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends orphanSignal when the starting thread ends, so the thread has to stay: the runtime may
		// end threads that locked goroutines leave, but keeps those whose goroutine waits here unlocked.
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		p.err = cmd.Wait()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Exited is closed when the process is gone and reaped.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Signal sends a signal, unless the process is gone.
func (p *Process) Signal(sig syscall.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Stop sends sig, waits up to grace for the end, then kills. It returns how the process ended: nil for exit code 0,
// an *exec.ExitError otherwise, and an error saying so if it had to be killed. Safe to call again.
func (p *Process) Stop(sig syscall.Signal, grace time.Duration) error {
	killed := false
	p.stopOnce.Do(func() {
		p.Signal(sig)
		select {
		case <-p.exited:
		case <-time.After(grace):
			killed = true
			p.Signal(syscall.SIGKILL)
		}
	})
	<-p.exited
	if killed {
		return fmt.Errorf("%s ignored %v for %v and was killed; its last words:\n%s", p.name, sig, grace, p.log.Tail())
	}
	return p.err
}

// ready polls probe until it succeeds, the process ends, or ctx does.
func (p *Process) ready(ctx context.Context, probe func(context.Context) error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended before it was ready: %v\n%s", p.name, p.err, p.log.Tail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w (last probe: %v)\n%s", p.name, ctx.Err(), err, p.log.Tail())
		case <-tick.C:
		}
	}
}

// AwaitOK asks for a page of the process until it is answered with 200, the process ends, or ctx does.
func (p *Process) AwaitOK(ctx context.Context, url string) error {
	return p.ready(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		if answer.StatusCode != http.StatusOK {
			err = errors.New(answer.Status)
		}
		return errors.Join(err, answer.Body.Close())
	})
}

// Log keeps the last lines that a process printed and copies them to a file if it has one.
type Log struct {
	mu   sync.Mutex
	buf  []byte
	tail int // bytes to keep, if not logTail
	file *os.File
}

const logTail = 64 << 10

// NewLog returns a log. With a path, everything is appended to that file as well.
func NewLog(path string) (*Log, error) {
	if path == "" {
		return &Log{}, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return &Log{file: f}, nil
}

// Write takes output of the process.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, b...)
	if tail := cmp.Or(l.tail, logTail); len(l.buf) > 2*tail {
		l.buf = append(l.buf[:0], l.buf[len(l.buf)-tail:]...)
	}
	if l.file != nil {
		return l.file.Write(b)
	}
	return len(b), nil
}

// Grow has the log keep so many bytes from now on.
func (l *Log) Grow(bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = bytes
}

// Tail returns the last lines.
func (l *Log) Tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(string(l.buf[max(0, len(l.buf)-cmp.Or(l.tail, logTail)):]))
}

// Clear forgets the lines.
func (l *Log) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = nil
}

// Close closes the file.
func (l *Log) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
