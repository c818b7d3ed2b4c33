package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// File is a Sink that appends lines to a file, which only its owner can read. Whoever rotates it renames it: the next write
// makes a new one.
type File struct {
	path string
	file *os.File
}

// OpenFile opens or makes the file, so that one that cannot be written is heard of at start.
func OpenFile(path string) (*File, error) {
	f := &File{path: path}
	return f, f.open()
}

func (f *File) open() error {
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open audit file: %w", err)
	}
	f.file = file
	return nil
}

// Write implements Sink. The lines are on disk when it returns nil.
func (f *File) Write(_ context.Context, lines [][]byte) error {
	if err := f.follow(); err != nil {
		return err
	}
	var b bytes.Buffer
	for _, line := range lines {
		b.Write(line)
		b.WriteByte('\n')
	}
	if _, err := f.file.Write(b.Bytes()); err != nil {
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

// Close closes the file.
func (f *File) Close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}
