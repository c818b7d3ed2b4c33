package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// File is a Sink that appends lines to a file, which only its owner can read. Whoever rotates it renames it: the next write
// makes a new one.
//
// A file system may hang, such as one of a network, and a call that does cannot be ended. So the file is touched by one
// goroutine at a time, for which nobody waits longer than a context says: the next write waits until the one before has ended.
type File struct {
	path string
	turn chan struct{} // holds a token while a goroutine touches what follows
	file *os.File
	wait time.Duration // of OpenFile and Close
}

// patience is how long the start and the end of a broker wait for the file.
const patience = 10 * time.Second

// ErrHangs: the file did not answer in time. What was to be written may be written later.
var ErrHangs = errors.New("the audit file does not answer")

// OpenFile opens or makes the file, so that one that cannot be written is heard of at start.
func OpenFile(path string) (*File, error) { return openFile(path, patience) }

func openFile(path string, patience time.Duration) (*File, error) {
	f := &File{path: path, turn: make(chan struct{}, 1), wait: patience}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return f, f.do(ctx, f.open)
}

// do runs a function that touches the file, and waits for it until ctx ends. The function goes on after that, and may
// use nothing that its caller owns.
func (f *File) do(ctx context.Context, touch func() error) error {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrHangs, ctx.Err())
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-f.turn }()
		done <- touch()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrHangs, ctx.Err())
	}
}

func (f *File) open() error {
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open audit file: %w", err)
	}
	f.file = file
	return nil
}

// Write implements Sink. The lines are on disk when it returns nil. ErrHangs.
func (f *File) Write(ctx context.Context, lines [][]byte) error {
	var b bytes.Buffer
	for _, line := range lines {
		b.Write(line)
		b.WriteByte('\n')
	}
	return f.do(ctx, func() error { return f.append(b.Bytes()) })
}

func (f *File) append(text []byte) error {
	if err := f.follow(); err != nil {
		return err
	}
	if _, err := f.file.Write(text); err != nil {
		return fmt.Errorf("write audit file: %w", err)
	}
	if err := f.file.Sync(); err != nil {
		return fmt.Errorf("sync audit file: %w", err)
	}
	return nil
}

// follow opens the file anew if another, or none, has its name.
func (f *File) follow() error {
	if f.file == nil {
		return f.open()
	}
	named, err := os.Stat(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at audit file: %w", err)
	}
	own, ownErr := f.file.Stat()
	if err == nil && ownErr == nil && os.SameFile(named, own) {
		return nil
	}
	_ = f.file.Close()
	f.file = nil
	return f.open()
}

// Close closes the file. ErrHangs: a write is under way still.
func (f *File) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), f.wait)
	defer cancel()
	return f.do(ctx, func() error {
		if f.file == nil {
			return nil
		}
		return f.file.Close()
	})
}
