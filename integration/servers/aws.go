package servers

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// AWS is a mock of AWS's APIs (moto) on a free loopback port, with nothing in it but what every account has.
type AWS struct {
	dir, address string
	proc         *Process
	log          *Log
}

//go:embed aws.py
var awsServer []byte

// awsStartTimeout is for Python to load all of AWS's APIs, on a machine that is busy.
const awsStartTimeout = 2 * time.Minute

// OpenAWS starts the mock with a Python interpreter that has the package moto.
func OpenAWS(ctx context.Context, python string) (_ *AWS, err error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	log, _ := NewLog("")
	a := &AWS{address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), log: log}
	if a.dir, err = os.MkdirTemp("", "runnel-aws-"); err != nil {
		return nil, fmt.Errorf("make the mock's directory: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(a.dir)
		}
	}()
	script := filepath.Join(a.dir, "aws.py")
	if err := os.WriteFile(script, awsServer, 0o600); err != nil {
		return nil, fmt.Errorf("write the mock: %w", err)
	}
	cmd := exec.Command(python, script, "-H", "127.0.0.1", "-p", strconv.Itoa(port))
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), "MOTO_IAM_LOAD_MANAGED_POLICIES=true") // those of AWS itself
	if a.proc, err = Start("moto", cmd, syscall.SIGKILL, a.log); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, awsStartTimeout)
	defer cancel()
	if err := a.proc.ready(ctx, a.probe); err != nil {
		a.proc.Stop(syscall.SIGKILL, stopGrace)
		return nil, err
	}
	return a, nil
}

func (a *AWS) probe(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.Endpoint()+"/moto-api/data.json", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Endpoint is the mock's URL, for AWS_ENDPOINT_URL.
func (a *AWS) Endpoint() string { return "http://" + a.address }

// Log returns what the mock printed last: requests, and what it does not know.
func (a *AWS) Log() string { return a.log.Tail() }

// Close ends the mock, with all that was in it. It would wait for connections that clients keep, were it asked.
func (a *AWS) Close() error {
	err := a.proc.Stop(syscall.SIGKILL, stopGrace)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(a.dir))
}
