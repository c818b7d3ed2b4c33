// Package engine gives tests a container engine: the one that answers here, else a Docker engine that it starts and stops,
// if it may. It needs no registry: images are made from what is on this machine.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/integration/servers"
)

// ErrNone: no engine answers, and none can be started. Tests that need one skip then, and fail in CI.
var ErrNone = errors.New("no container engine answers and none can be started")

// Engine is a Docker engine.
type Engine struct {
	host   string
	client *http.Client

	// Of one that we started; empty otherwise.
	dir  string
	proc *servers.Process
	log  *servers.Log
	net  network
}

// Timeouts of the engine.
const (
	startTimeout = time.Minute
	stopTimeout  = time.Minute
	askTimeout   = 5 * time.Second
)

// defaultHost is where an engine is if DOCKER_HOST does not say.
const defaultHost = "unix:///var/run/docker.sock"

// Start returns the engine at DOCKER_HOST, or at the usual socket, if it answers; else, as root, it starts one in a new
// directory, with networks of its own and without a change to the machine's packet filter: ports of containers are
// published by its proxy. The caller stops it.
func Start(ctx context.Context) (*Engine, error) {
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = defaultHost
	}
	if e, err := connect(host); err == nil && e.answers(ctx) == nil {
		return e, nil
	}
	if os.Getenv("DOCKER_HOST") != "" {
		return nil, fmt.Errorf("%w: DOCKER_HOST is %s", ErrNone, host)
	}
	program, err := findProgram()
	if err != nil {
		return nil, err
	}
	return start(ctx, program)
}

// findProgram is dockerd, which may lie where only root looks.
func findProgram() (string, error) {
	if os.Getuid() != 0 {
		return "", fmt.Errorf("%w: only root may start one", ErrNone)
	}
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin", "/sbin") {
		path := filepath.Join(dir, "dockerd")
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: there is no dockerd (apt-get install docker.io)", ErrNone)
}

func start(ctx context.Context, program string) (_ *Engine, err error) {
	dir, err := os.MkdirTemp("", "runnel-engine-")
	if err != nil {
		return nil, fmt.Errorf("make the engine's directory: %w", err)
	}
	e, err := connect("unix://" + filepath.Join(dir, "docker.sock"))
	if err != nil {
		return nil, err
	}
	e.dir = dir
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Stop())
		}
	}()
	if e.log, err = servers.NewLog(""); err != nil {
		return nil, err
	}
	if e.net, err = newNetwork(); err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "--host", e.host,
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"),
		"--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--userland-proxy=true",
		"--bridge", e.net.bridge, "--default-address-pool", "base="+e.net.prefix+".128.0/17,size=24", "--storage-driver", "overlay2")
	// What the daemon starts must find its programs, also where PATH is a user's.
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if e.proc, err = servers.Start("dockerd", cmd, syscall.SIGTERM, e.log); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for e.answers(ctx) != nil {
		select {
		case <-e.proc.Exited():
			return nil, fmt.Errorf("%w: dockerd ended: %s", ErrNone, e.log.Tail())
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: dockerd does not answer: %s", ErrNone, e.log.Tail())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return e, nil
}

// connect makes a client of an engine's interface, and asks it nothing.
func connect(host string) (*Engine, error) {
	network, address, _ := strings.Cut(host, "://")
	if network != "unix" && network != "tcp" {
		return nil, fmt.Errorf("DOCKER_HOST is %q: only unix:// and tcp:// are known", host)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	return &Engine{host: host, client: &http.Client{Transport: transport}}, nil
}

// Host is what DOCKER_HOST has to be for clients of the engine.
func (e *Engine) Host() string { return e.host }

// Environment is what testcontainers-go and the docker commands need to use the engine. Its reaper of containers, which comes
// from a registry, is off: tests end what they start, and an engine of our own ends everything.
func (e *Engine) Environment() []string {
	return []string{"DOCKER_HOST=" + e.host, "TESTCONTAINERS_RYUK_DISABLED=true", "TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1"}
}

// answers asks whether the engine is there.
func (e *Engine) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err := e.do(ctx, http.MethodGet, "/_ping", "", nil)
	return err
}

// mostAnswer bounds what is read of an answer, in bytes.
const mostAnswer = 1 << 20

// do makes one call and returns the answer.
func (e *Engine) do(ctx context.Context, method, path, contentType string, body io.Reader) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://engine"+path, body)
	if err != nil {
		return "", err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("engine: %s: %w", path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	switch {
	case err != nil:
		return "", fmt.Errorf("engine: %s: %w", path, err)
	case resp.StatusCode >= 300:
		return "", fmt.Errorf("engine: %s: %s: %s", path, resp.Status, strings.TrimSpace(string(answer)))
	}
	return string(answer), nil
}

// Stop ends an engine that Start started, with all its containers, and removes what it has on disk. One that was there
// before stays.
func (e *Engine) Stop() error {
	e.client.CloseIdleConnections()
	if e.dir == "" {
		return nil
	}
	var err error
	if e.proc != nil {
		err = errors.Join(e.killContainers(), e.proc.Stop(syscall.SIGTERM, stopTimeout))
	}
	if e.log != nil {
		e.log.Close()
	}
	return errors.Join(err, unmount(e.dir), e.net.remove(), os.RemoveAll(e.dir))
}

// Get asks the engine's interface, such as /containers/ID/json, and returns the answer.
func (e *Engine) Get(ctx context.Context, path string) (string, error) {
	return e.do(ctx, http.MethodGet, path, "", nil)
}

// Post tells the engine to do something, such as /containers/ID/pause.
func (e *Engine) Post(ctx context.Context, path string) error {
	_, err := e.do(ctx, http.MethodPost, path, "", nil)
	return err
}

// Delete removes something from the engine, such as /volumes/NAME.
func (e *Engine) Delete(ctx context.Context, path string) error {
	_, err := e.do(ctx, http.MethodDelete, path, "", nil)
	return err
}

// Stream is Get for an answer of any size.
func (e *Engine) Stream(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("engine: %s: %w", path, err)
	}
	if resp.StatusCode >= 300 {
		resp.Body.Close()
		return nil, fmt.Errorf("engine: %s: %s", path, resp.Status)
	}
	return resp.Body, nil
}
