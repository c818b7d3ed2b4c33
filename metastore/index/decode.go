package index

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/runnel-io/runnel/metastore"
)

// ErrCorrupt: the bytes are not an index object.
var ErrCorrupt = errors.New("corrupt index object")

// MostBytes is more than an index object can have: what is larger is none, and need not be read.
const MostBytes = 3 << 30

// VersionError says that an object is of a version that this software does not know.
type VersionError struct{ Version uint16 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("index object has format version %d, this software reads version %d", e.Version, version)
}

// Object is an index object whose checksum is right.
type Object struct {
	Name
	Groups  int64 // that have offsets
	Offsets int64

	header header
	packed []byte // groups and state, compressed
}

// Decode checks all of an object's bytes, and keeps them. Errors: ErrCorrupt, *VersionError.
func Decode(b []byte) (*Object, error) {
	if len(b) < headerSize+sumSize || string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: no magic at the start", ErrCorrupt)
	}
	be := binary.BigEndian
	if v := be.Uint16(b[8:]); v != version {
		return nil, &VersionError{Version: v}
	}
	body, sum := b[:len(b)-sumSize], b[len(b)-sumSize:]
	if is := sha256.Sum256(body); !bytes.Equal(is[:], sum) {
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrCorrupt)
	}
	var n [9]int64
	for i := range n {
		n[i] = int64(be.Uint64(b[36+8*i:]))
	}
	o := &Object{packed: body[headerSize:], header: header{
		Name:   Name{string(b[12 : 12+clusterBytes]), metastore.Position{Seq: metastore.Seq(n[0]), Checksum: uint64(n[1])}, time.UnixMilli(n[2])},
		groups: n[3], offsets: n[4], groupsPacked: n[5], groupsLength: n[6], statePacked: n[7], stateLength: n[8],
	}}
	h := &o.header
	o.Name, o.Groups, o.Offsets = h.Name, h.groups, h.offsets
	packed := int64(len(o.packed))
	if h.groupsPacked < 0 || h.groupsPacked > packed || h.statePacked != packed-h.groupsPacked ||
		h.groupsLength < 0 || h.groupsLength > maxPart || h.stateLength < 0 || h.stateLength > maxPart || h.groups < 0 || h.offsets < h.groups {
		return nil, fmt.Errorf("%w: lengths of its parts", ErrCorrupt)
	}
	if _, err := ParseKey(h.Key()); err != nil || b[10]|b[11]|b[34]|b[35] != 0 {
		return nil, fmt.Errorf("%w: header", ErrCorrupt)
	}
	return o, nil
}

// State returns the folded state, as a snapshot of the object's position. It is made anew at each call.
func (o *Object) State() (metastore.Snapshot, error) {
	part, err := unpack(o.packed[o.header.groupsPacked:], o.header.stateLength)
	if err != nil {
		return metastore.Snapshot{}, err
	}
	defer part.Close()
	state, err := part.take(o.header.stateLength)
	if err == nil {
		err = part.end()
	}
	return metastore.Snapshot{Position: o.Position, State: state}, err
}

// EachGroup yields the offsets of groups, at most 1,000 at a time: a group may come several times, one after the other. An
// ErrCorrupt ends the sequence and is its last element.
func (o *Object) EachGroup() iter.Seq2[metastore.GroupOffsets, error] {
	return func(yield func(metastore.GroupOffsets, error) bool) {
		part, err := unpack(o.packed[:o.header.groupsPacked], o.header.groupsLength)
		if err != nil {
			yield(metastore.GroupOffsets{}, err)
			return
		}
		defer part.Close()
		for part.left > 0 {
			g, err := part.group()
			if !yield(g, err) || err != nil {
				return
			}
		}
		if err := part.end(); err != nil {
			yield(metastore.GroupOffsets{}, err)
		}
	}
}

// unpacked reads a part that was compressed.
type unpacked struct {
	*zstd.Decoder
	in     *bufio.Reader
	packed int64 // length when compressed
	left   int64 // bytes that are to come
}

func unpack(packed []byte, length int64) (*unpacked, error) {
	d, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return &unpacked{Decoder: d, in: bufio.NewReaderSize(d, 64<<10), packed: int64(len(packed)), left: length}, nil
}

// take reads n bytes. Its memory is in proportion to the compressed bytes, or grows as what they say comes, whatever n is.
func (u *unpacked) take(n int64) ([]byte, error) {
	if n < 0 || n > u.left {
		return nil, fmt.Errorf("%w: %d bytes where %d are left", ErrCorrupt, n, u.left)
	}
	u.left -= n
	var b bytes.Buffer
	b.Grow(int(min(n, 64<<10+16*u.packed)))
	if _, err := io.CopyN(&b, u.in, n); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return b.Bytes(), nil
}

// ReadByte counts what binary.ReadUvarint reads.
func (u *unpacked) ReadByte() (byte, error) {
	if u.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	u.left--
	return u.in.ReadByte()
}

// end makes sure that nothing is left over.
func (u *unpacked) end() error {
	if _, err := u.in.ReadByte(); u.left != 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: its parts are not as long as it says", ErrCorrupt)
	}
	return nil
}

func (u *unpacked) group() (metastore.GroupOffsets, error) {
	f := fields{in: u}
	g := metastore.GroupOffsets{Group: f.string()}
	n := f.uvarint(groupPage)
	for range n {
		var o metastore.CommittedOffset
		copy(o.Topic[:], f.bytes(16))
		o.Partition = int32(f.uvarint(math.MaxInt32))
		o.TopicName = f.string()
		o.Offset = metastore.Offset(f.uvarint(math.MaxUint64))
		epoch := f.varint()
		o.LeaderEpoch = int32(epoch)
		o.Metadata = f.string()
		o.CommittedAt = time.UnixMilli(f.varint())
		if f.err == nil && int64(o.LeaderEpoch) != epoch {
			f.err = fmt.Errorf("%w: leader epoch", ErrCorrupt)
		}
		if f.err != nil {
			return metastore.GroupOffsets{}, f.err
		}
		g.Offsets = append(g.Offsets, o)
	}
	if f.err == nil && n == 0 {
		f.err = fmt.Errorf("%w: a group without offsets", ErrCorrupt)
	}
	return g, f.err
}

// fields reads the fields of a record; the first error sticks.
type fields struct {
	in  *unpacked
	err error
}

func (f *fields) uvarint(limit uint64) uint64 {
	if f.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(f.in)
	if err != nil || v > limit {
		f.err = fmt.Errorf("%w: number in a group", ErrCorrupt)
		return 0
	}
	return v
}

func (f *fields) varint() int64 {
	v := f.uvarint(math.MaxUint64)
	return int64(v>>1) ^ -int64(v&1)
}

func (f *fields) bytes(n int64) []byte {
	if f.err != nil {
		return nil
	}
	var b []byte
	b, f.err = f.in.take(n)
	return b
}

func (f *fields) string() string { return string(f.bytes(int64(f.uvarint(maxPart)))) }
