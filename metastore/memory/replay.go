package memory

import (
	"errors"
	"fmt"
	"io"
)

// replayed is what a journal file holds.
type replayed struct {
	state   state
	version uint32
	salt    uint64
	// checkpoint is where the checkpoint ends, end where the last good frame does: what lies between end and the size of
	// the file was being written when the machine or the process died.
	checkpoint, end int64
	number          uint64 // of the last good frame
}

// replay reads a journal file of size bytes. ErrCorrupt.
func replay(file io.ReaderAt, size int64) (replayed, error) {
	frames, err := openFrames(file, size)
	if err != nil {
		return replayed{}, err
	}
	r := replayed{state: newState(), version: frames.version, salt: frames.salt}
	for {
		body, err := frames.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			break
		}
		if err != nil {
			return replayed{}, err
		}
		last, err := r.state.replayFrame(body)
		if err != nil {
			return replayed{}, fmt.Errorf("frame %d: %w", frames.number, err)
		}
		if _, ok := last.(*checkpointEnd); ok {
			r.checkpoint = frames.at
		}
	}
	if r.checkpoint == 0 {
		// The file got its name after all of the checkpoint was durable.
		return replayed{}, fmt.Errorf("checkpoint is incomplete: %w", ErrCorrupt)
	}
	r.end, r.number = frames.at, frames.number
	return r, nil
}

// replayFrame makes the changes of one frame and returns the last of them.
func (s *state) replayFrame(body []byte) (change, error) {
	var last change
	for len(body) > 0 {
		c, rest, err := decodeRecord(body)
		if err != nil {
			return nil, err
		}
		if err := c.applyTo(s); err != nil {
			return nil, fmt.Errorf("%w: %w", err, ErrCorrupt)
		}
		last, body = c, rest
	}
	return last, nil
}
