package file

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/runnel-io/runnel/objstore"
)

// List implements objstore.Store. It holds the names of one directory per level in memory.
func (s *Store) List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		w := walk{ctx: ctx, root: s.dir, prefix: prefix, startAfter: startAfter, yield: yield}
		if err := w.dir(""); err != nil && !w.stopped {
			yield(objstore.Object{}, fmt.Errorf("list %s: %w", prefix, err))
		}
	}
}

// walk is one call of List; it lives no longer, which is why it may hold a context.
type walk struct {
	ctx                context.Context
	root               string
	prefix, startAfter string
	yield              func(objstore.Object, error) bool
	stopped            bool // the caller wants no more
}

// dir yields what is below a directory, whose path from the root, with a slash at its end, begins all keys in it.
func (w *walk) dir(path string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(w.root, path))
	if isAbsent(err) && path != "" {
		return nil
	}
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	for _, entry := range entries {
		if err := w.entry(path, entry); err != nil || w.stopped {
			return err
		}
	}
	return nil
}

// sortName is what decides the order of an entry among its siblings: everything in a directory d has a key that goes on
// with "d/", so "d-x" and "d.x" come before it and "d0" after, while by bare name d is before all of them.
func sortName(entry fs.DirEntry) string {
	if entry.IsDir() {
		return entry.Name() + "/"
	}
	return entry.Name()
}

func (w *walk) entry(path string, entry fs.DirEntry) error {
	key := path + sortName(entry)
	if entry.IsDir() {
		if objstore.ValidKey(path+entry.Name()) != nil || !w.mayHold(key) { // tempDir is no valid key
			return nil
		}
		return w.dir(key)
	}
	if key <= w.startAfter || !strings.HasPrefix(key, w.prefix) || !entry.Type().IsRegular() || objstore.ValidKey(key) != nil {
		return nil
	}
	info, err := entry.Info()
	if isAbsent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	w.stopped = !w.yield(objstore.Object{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil)
	return nil
}

// mayHold tells whether a key that begins with dir can have the prefix and sort after startAfter.
func (w *walk) mayHold(dir string) bool {
	if !strings.HasPrefix(dir, w.prefix) && !strings.HasPrefix(w.prefix, dir) {
		return false
	}
	return dir > w.startAfter || strings.HasPrefix(w.startAfter, dir)
}
