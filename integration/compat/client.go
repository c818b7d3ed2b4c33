package compat

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Producer sends records with one real client.
type Producer interface {
	Name() string
	Abilities() Abilities
	// Produce sends the records in order and returns when the broker has acknowledged all of them.
	Produce(ctx context.Context, bootstrap, topic, codec string, records []Record) error
}

// Consumer reads records with one real client.
type Consumer interface {
	Name() string
	// Consume joins a group, reads count records from the beginning, commits, and leaves.
	Consume(ctx context.Context, bootstrap, topic, group string, count int) ([]Line, error)
	// Render is the text that Consume gives for a record.
	Render(Record) string
}

// program is a client of another language, one of those in clients/.
type program struct {
	name      string
	command   []string
	env       []string
	abilities Abilities
}

func (p program) Name() string           { return p.name }
func (p program) Abilities() Abilities   { return p.abilities }
func (p program) Render(r Record) string { return r.Content(true) }

func (p program) Produce(ctx context.Context, bootstrap, topic, codec string, records []Record) error {
	var in bytes.Buffer
	if err := writeJSON(&in, records); err != nil {
		return err
	}
	_, err := runCommand(ctx, p.env, &in, append(p.command, "produce", bootstrap, topic, codec)...)
	return err
}

func (p program) Consume(ctx context.Context, bootstrap, topic, group string, count int) ([]Line, error) {
	out, err := runCommand(ctx, p.env, nil, append(p.command, "consume", bootstrap, topic, group, fmt.Sprint(count))...)
	if err != nil {
		return nil, err
	}
	return readJSON(out)
}

// runCommand runs a client to its end and returns what it printed. When ctx ends first, the client is killed.
func runCommand(ctx context.Context, env []string, in io.Reader, command ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return out.Bytes(), fmt.Errorf("%s: %w\nstdout: %s\nstderr: %s", strings.Join(command, " "), err, end(out.Bytes()), end(errs.Bytes()))
	}
	return out.Bytes(), nil
}

// runBoth is runCommand, with what the client said on standard error as well.
func runBoth(ctx context.Context, in io.Reader, command ...string) (string, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = in
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, end(out))
	}
	return string(out), nil
}

// end is the end of a long output.
func end(b []byte) []byte { return bytes.TrimSpace(b[max(0, len(b)-2000):]) }
