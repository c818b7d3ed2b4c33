package memory

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The layout of a journal file; FORMAT.md has the byte tables.
const (
	fileMagic       = "RNLJRNL\x00"
	fileVersion     = 3 // what is written; all from 1 on are read
	fileHeaderSize  = 24
	frameMagic      = "RNJF"
	frameHeaderSize = 24
	maxFrameBody    = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fileHeader begins a journal file. The salt is random, and goes into the file's checksums: bytes that a client had us
// store, or that a disk block held in an earlier life, are never taken for a frame.
func fileHeader(version uint32, salt uint64) []byte {
	b := append([]byte(nil), fileMagic...)
	b = binary.BigEndian.AppendUint32(b, version)
	b = binary.BigEndian.AppendUint64(b, salt)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func parseFileHeader(b []byte) (version uint32, salt uint64, err error) {
	switch {
	case len(b) != fileHeaderSize || string(b[:8]) != fileMagic:
		return 0, 0, fmt.Errorf("not a journal: %w", ErrCorrupt)
	case crc32.Checksum(b[:20], castagnoli) != binary.BigEndian.Uint32(b[20:]):
		return 0, 0, fmt.Errorf("file header: checksum is wrong: %w", ErrCorrupt)
	}
	if version = binary.BigEndian.Uint32(b[8:]); version < 1 || version > fileVersion {
		return 0, 0, fmt.Errorf("journal version %d is not known, this is version %d", version, fileVersion)
	}
	return version, binary.BigEndian.Uint64(b[12:]), nil
}

func saltedSum(salt uint64, b []byte) uint32 {
	var s [8]byte
	binary.BigEndian.PutUint64(s[:], salt)
	return crc32.Update(crc32.Checksum(s[:], castagnoli), castagnoli, b)
}

// frameHeader is what stands before the body of the frame with a number.
func frameHeader(salt, number uint64, body []byte) []byte {
	b := append(make([]byte, 0, frameHeaderSize), frameMagic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = binary.BigEndian.AppendUint64(b, number)
	b = binary.BigEndian.AppendUint32(b, saltedSum(salt, body))
	return binary.BigEndian.AppendUint32(b, saltedSum(salt, b))
}

// validFrameHeader tells whether b is the header of some frame of the file.
func validFrameHeader(salt uint64, b []byte) bool {
	return len(b) == frameHeaderSize && string(b[:4]) == frameMagic &&
		binary.BigEndian.Uint32(b[20:]) == saltedSum(salt, b[:20])
}

// errTorn: the frame was not written to its end.
var errTorn = errors.New("frame is torn")

// frames reads the frames of a journal file.
type frames struct {
	file    io.ReaderAt
	size    int64
	version uint32
	salt    uint64

	at     int64  // end of the last good frame
	number uint64 // of the last good frame, 0 before the first
}

func openFrames(file io.ReaderAt, size int64) (*frames, error) {
	var header [fileHeaderSize]byte
	if n, err := file.ReadAt(header[:], 0); n < len(header) {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("file header is cut short: %w", ErrCorrupt)
		}
		return nil, fmt.Errorf("read file header: %w", err)
	}
	version, salt, err := parseFileHeader(header[:])
	if err != nil {
		return nil, err
	}
	return &frames{file: file, size: size, version: version, salt: salt, at: fileHeaderSize}, nil
}

// next returns the body of the next frame, or io.EOF. errTorn: no frame stands here, but one whose writing a crash
// broke off may have; it, and everything after at, was never acknowledged. ErrCorrupt: frames that were made durable
// are damaged.
//
// The two can be told apart because a frame is begun only when the one before is durable: only the last can be torn.
func (f *frames) next() ([]byte, error) {
	left := f.size - f.at
	if left == 0 {
		return nil, io.EOF
	}
	header := make([]byte, min(left, frameHeaderSize))
	if err := f.read(header, f.at); err != nil {
		return nil, fmt.Errorf("read frame %d: %w", f.number+1, err)
	}
	if !validFrameHeader(f.salt, header) {
		return nil, f.tornUnlessMore()
	}
	length, number := int64(binary.BigEndian.Uint32(header[4:])), binary.BigEndian.Uint64(header[8:])
	if number != f.number+1 || length > maxFrameBody {
		return nil, fmt.Errorf("frame %d follows %d: %w", number, f.number, ErrCorrupt)
	}
	if length > left-frameHeaderSize {
		return nil, errTorn
	}
	body := make([]byte, length)
	if err := f.read(body, f.at+frameHeaderSize); err != nil {
		return nil, fmt.Errorf("read frame %d: %w", number, err)
	}
	if saltedSum(f.salt, body) != binary.BigEndian.Uint32(header[16:]) {
		if length < left-frameHeaderSize {
			return nil, fmt.Errorf("frame %d at byte %d: checksum is wrong, and more follows: %w", number, f.at, ErrCorrupt)
		}
		return nil, errTorn
	}
	f.at += frameHeaderSize + length
	f.number = number
	return body, nil
}

// read fills b from the file.
func (f *frames) read(b []byte, at int64) error {
	if n, err := f.file.ReadAt(b, at); n < len(b) {
		return err
	}
	return nil
}

// tornUnlessMore returns errTorn, or ErrCorrupt if any later frame begins past at.
func (f *frames) tornUnlessMore() error {
	const step = 1 << 20
	window := make([]byte, step+frameHeaderSize-1) // windows overlap by all but one byte of a header
	for start := f.at; start < f.size; start += step {
		w := window[:min(int64(len(window)), f.size-start)]
		if err := f.read(w, start); err != nil {
			return fmt.Errorf("look for frames past %d: %w", f.at, err)
		}
		for i := 0; ; i++ {
			found := bytes.Index(w[i:], []byte(frameMagic))
			if found < 0 {
				break
			}
			if i += found; i+frameHeaderSize <= len(w) && validFrameHeader(f.salt, w[i:i+frameHeaderSize]) {
				return fmt.Errorf("nothing readable at byte %d, but a frame at %d: %w", f.at, start+int64(i), ErrCorrupt)
			}
		}
	}
	return errTorn
}
