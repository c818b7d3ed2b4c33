package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
)

// onlyAnswers is the argument by which this program is a server that only answers.
const onlyAnswers = "only-answers"

// answer serves until standard input ends. It tells its address first.
func answer() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it ends with the process
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = ln.Close()
	}()
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go answerOn(conn)
	}
}

// answerOn answers whatever comes in one piece like a heartbeat, as long as the peer is there.
func answerOn(conn net.Conn) {
	defer conn.Close()
	in := make([]byte, 8<<10)
	out := make([]byte, 16) // a size, a correlation id, no tags, no throttle, no error, no tags
	out[3] = byte(len(out) - 4)
	for {
		if _, err := conn.Read(in); err != nil {
			return
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// floor is a server that only answers, in a process of its own.
type floor struct {
	cmd     *exec.Cmd
	in      io.Closer
	address string
}

func startFloor(ctx context.Context) (*floor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, onlyAnswers)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	f := &floor{cmd: cmd, in: in}
	if f.address, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("the server that only answers: %w", err), f.stop())
	}
	f.address = strings.TrimSpace(f.address)
	return f, nil
}

func (f *floor) pid() int { return f.cmd.Process.Pid }

func (f *floor) stop() error {
	_ = f.in.Close()
	return f.cmd.Wait()
}
