// Package toolchain installs the pinned programs and libraries that the tests run: an S3 server, a linter, and the
// Kafka clients of other languages. They go into a cache outside the repository, keyed by what they were made from,
// so that a changed pin installs beside the old one and a second run installs nothing.
package toolchain

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Cache is the directory that holds everything installed.
type Cache struct {
	Dir string
	Log io.Writer // what the installers print; io.Discard to be silent

	// Idle: installers take only what processors have left, as those do that nobody waits for yet.
	Idle bool
}

// installed is the file that says of a directory that all is in it.
const installed = ".installed"

// Default returns the cache at $RUNNEL_TOOLS, else at runnel-tools in the user's cache directory.
func Default(log io.Writer) (Cache, error) {
	if dir := os.Getenv("RUNNEL_TOOLS"); dir != "" {
		abs, err := filepath.Abs(dir)
		return Cache{Dir: abs, Log: log}, err
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return Cache{}, fmt.Errorf("find the tool cache: %w (set RUNNEL_TOOLS)", err)
	}
	return Cache{Dir: filepath.Join(dir, "runnel-tools"), Log: log}, nil
}

// install returns the directory named name, running fill on it first unless an earlier fill of the same name
// succeeded. Processes that ask at the same time wait for the first of them.
func (c Cache) install(name string, fill func(dir string) error) (string, error) {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return "", fmt.Errorf("make the tool cache: %w", err)
	}
	dir := filepath.Join(c.Dir, name)
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()

	done := filepath.Join(dir, installed)
	if _, err := os.Stat(done); err == nil {
		return dir, nil
	}
	// What an interrupted installation left is of unknown state.
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("clear %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	fmt.Fprintf(c.Log, "toolchain: installing %s\n", name)
	if err := fill(dir); err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	return dir, os.WriteFile(done, nil, 0o644)
}

// run executes an installer in dir. Its output goes to the log; the end of it is part of the error.
func (c Cache) run(ctx context.Context, dir string, env []string, name string, args ...string) error {
	if nice, err := exec.LookPath("nice"); c.Idle && err == nil {
		name, args = nice, append([]string{"-n", "19", name}, args...)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var tail tailWriter
	cmd.Stdout = io.MultiWriter(c.Log, &tail)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, tail.String())
	}
	return nil
}

// lock takes an exclusive lock on a file, which the kernel gives back if the process dies.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// fingerprint is a short name for the content of files, in order.
func fingerprint(paths ...string) (string, error) {
	h := sha256.New()
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read pins: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n", filepath.Base(path), len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

// tailWriter keeps the last bytes written to it.
type tailWriter struct{ buf []byte }

const tailSize = 4 << 10

// Write appends p and forgets what lies further back than tailSize.
func (t *tailWriter) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*tailSize {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailSize:]...)
	}
	return len(p), nil
}

// String returns the last bytes.
func (t *tailWriter) String() string {
	return string(t.buf[max(0, len(t.buf)-tailSize):])
}
