package memory

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// maxPayload bounds what one call may store, so that a frame holds it.
const maxPayload = 256 << 20

func checkSize(n int) error {
	if n > maxPayload {
		return fmt.Errorf("%d bytes are more than the %d that a record holds", n, maxPayload)
	}
	return nil
}

// journal makes the changes of a store durable. Store tells the protocol. Its methods do nothing on nil.
//
// A file of the journal, journal-<number>, is a checkpoint (the whole state) and the frames appended after it. The next
// checkpoint goes to a new file, which gets its name once it is durable; then the old one is deleted. The highest number
// counts.
type journal struct {
	dir        string
	checkpoint int64 // bytes past the checkpoint that make the next one due
	lock       io.Closer

	mu       sync.Mutex
	pending  []byte        // records not yet written
	added    uint64        // number of records ever put in pending
	durable  uint64        // of these, how many need no more waiting for
	flushing bool          // somebody writes; the fields below are theirs
	flushed  chan struct{} // closed and replaced when they are done
	err      error         // set for ever by the first failure, and by Close

	file    journalFile
	number  uint64 // of the file
	version uint32 // of the file
	salt    uint64
	frame   uint64 // of the last frame
	size    int64  // past the checkpoint
	image   int64  // size of the checkpoint
	spare   []byte // a buffer to swap with pending
}

// journalFile is what the journal needs of an *os.File that it appends to.
type journalFile interface {
	io.WriteCloser
	Sync() error
}

// add buffers the records of changes, for one frame, and returns the mark to settle: calls to it are ordered by Store.mu.
func (j *journal) add(changes []change) (mark uint64) {
	if j == nil {
		return 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.added
	}
	for _, c := range changes {
		j.pending = appendRecord(j.pending, c)
		j.added++
	}
	return j.added
}

// failure is the reason why nothing settles any more, if there is one.
func (j *journal) failure() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// settle returns nil once the records up to mark are durable.
func (s *Store) settle(ctx context.Context, mark uint64) error {
	j := s.journal
	if j == nil {
		return nil
	}
	for {
		j.mu.Lock()
		if j.err != nil || j.durable >= mark {
			defer j.mu.Unlock()
			return j.err
		}
		flushed, mine := j.flushed, !j.flushing
		j.flushing = true
		j.mu.Unlock()
		if mine {
			s.flush()
			continue
		}
		select {
		case <-flushed:
		case <-ctx.Done():
			return fmt.Errorf("wait for the journal: %w", ctx.Err())
		}
	}
}

// flush makes all that is pending durable. The caller has set flushing.
func (s *Store) flush() {
	j := s.journal
	var through uint64
	var err error
	if j.size > max(j.checkpoint, j.image) { // the latter so that checkpoints are at most half of what is written
		through, err = s.writeCheckpoint()
	} else {
		through, err = j.writePending()
	}
	j.mu.Lock()
	if err != nil {
		j.err = fmt.Errorf("metastore journal failed, restart to recover: %w", err)
		j.pending = nil
	} else {
		j.durable = through
	}
	j.flushing = false
	close(j.flushed)
	j.flushed = make(chan struct{})
	j.mu.Unlock()
	s.wake()
}

// writePending appends one frame with all pending records.
func (j *journal) writePending() (through uint64, err error) {
	j.mu.Lock()
	body := j.pending
	j.pending, through = j.spare[:0], j.added
	j.mu.Unlock()
	n, err := j.writeFrame(j.file, body)
	if err != nil {
		return 0, fmt.Errorf("append: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return 0, fmt.Errorf("sync: %w", err)
	}
	j.size += n
	if j.spare = body; cap(body) > 16<<20 {
		j.spare = nil
	}
	return through, nil
}

func (j *journal) writeFrame(w io.Writer, body []byte) (int64, error) {
	if len(body) > maxFrameBody {
		return 0, fmt.Errorf("frame of %d bytes", len(body))
	}
	j.frame++
	if _, err := w.Write(frameHeader(j.salt, j.frame, body)); err != nil {
		return 0, err
	}
	_, err := w.Write(body)
	return frameHeaderSize + int64(len(body)), err
}

// writeCheckpoint starts the next file with the present state, which what is pending is part of.
func (s *Store) writeCheckpoint() (through uint64, err error) {
	j := s.journal
	s.mu.Lock()
	image := s.state.image()
	j.mu.Lock()
	j.pending, through = j.pending[:0], j.added
	j.mu.Unlock()
	s.mu.Unlock()

	old := j.file
	if err := j.startFile(image); err != nil {
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	if err := old.Close(); err != nil {
		return 0, fmt.Errorf("checkpoint: close the last file: %w", err)
	}
	if err := os.Remove(filepath.Join(j.dir, fileName(j.number-1))); err != nil {
		return 0, fmt.Errorf("checkpoint: remove the last file: %w", err)
	}
	s.opts.Logger.Info("metastore checkpoint written", "file", fileName(j.number), "bytes", j.image)
	return through, nil
}

// startFile makes the file that follows number, and switches to it when it, and its name, are durable.
func (j *journal) startFile(image []change) (err error) {
	name := filepath.Join(j.dir, fileName(j.number+1))
	file, err := os.OpenFile(name+tmpSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	j.salt, j.frame = newSalt(), 0
	size, err := j.writeImage(file, image)
	if err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(name+tmpSuffix, name); err != nil {
		return err
	}
	if err := syncDir(j.dir); err != nil {
		return err
	}
	j.file, j.version, j.size, j.image = file, fileVersion, 0, size
	j.number++
	return nil
}

// writeImage writes the header of a file and its checkpoint, in frames of about a MiB.
func (j *journal) writeImage(file io.Writer, image []change) (size int64, err error) {
	w := bufio.NewWriter(file)
	if _, err := w.Write(fileHeader(fileVersion, j.salt)); err != nil {
		return 0, err
	}
	size = fileHeaderSize
	var body []byte
	for i, c := range image {
		body = appendRecord(body, c)
		if len(body) < 1<<20 && i < len(image)-1 {
			continue
		}
		n, err := j.writeFrame(w, body)
		if err != nil {
			return 0, err
		}
		size += n
		body = body[:0]
	}
	return size, w.Flush()
}
