package metastore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
)

// ErrCorrupt: bytes that claim to be an entry or a snapshot are not.
var ErrCorrupt = errors.New("corrupt metastore bytes")

// ErrNewerFormat: the entry or snapshot was written by a newer version of the broker.
var ErrNewerFormat = errors.New("format is newer than this broker understands: upgrade it")

// decoder reads the primitive types of FORMAT.md. The first error sticks and makes every later read return zero, so
// callers check err once. It never allocates more than a small multiple of the bytes it was given.
type decoder struct {
	b   []byte
	at  int // what is read; moved in place of b, whose every write would cost a write barrier
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: bad %s", ErrCorrupt, what)
	}
	d.at = len(d.b)
}

// left is how many bytes are not read yet.
func (d *decoder) left() int { return len(d.b) - d.at }

func (d *decoder) byte() byte {
	if d.at >= len(d.b) {
		d.fail("byte")
		return 0
	}
	v := d.b[d.at]
	d.at++
	return v
}

func (d *decoder) uvarint() uint64 {
	if d.at < len(d.b) && d.b[d.at] < 0x80 { // most are
		v := d.b[d.at]
		d.at++
		return uint64(v)
	}
	return d.longUvarint()
}

// longUvarint reads numbers of up to eight bytes at once, where there are eight: the seven bits of each byte are drawn
// together to fourteen of each pair, then to 28 of each four, then to all.
func (d *decoder) longUvarint() uint64 {
	if d.left() >= 8 {
		w := binary.LittleEndian.Uint64(d.b[d.at:])
		if ends := ^w & 0x8080808080808080; ends != 0 {
			bit := bits.TrailingZeros64(ends) // the highest of the last byte
			d.at += bit/8 + 1
			w &= 1<<bit - 1
			w = w&0x007f007f007f007f | w&0x7f007f007f007f00>>1
			w = w&0x00003fff00003fff | w&0x3fff00003fff0000>>2
			return w&0x0fffffff | w&0x0fffffff00000000>>4
		}
	}
	v, n := binary.Uvarint(d.b[d.at:])
	if n <= 0 {
		d.fail("uvarint")
		return 0
	}
	d.at += n
	return v
}

func (d *decoder) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// uvarintMax fails on values above limit.
func (d *decoder) uvarintMax(limit uint64, what string) uint64 {
	v := d.uvarint()
	if v > limit {
		d.fail(what)
		return 0
	}
	return v
}

// count reads the length of a list whose elements take at least size bytes each.
func (d *decoder) count(size int, what string) int {
	n := d.uvarint()
	if n > uint64(d.left()/size) {
		d.fail("count of " + what)
		return 0
	}
	return int(n)
}

func (d *decoder) uuid() (id [16]byte) {
	if d.left() < len(id) {
		d.fail("uuid")
		return id
	}
	copy(id[:], d.b[d.at:])
	d.at += len(id)
	return id
}

func (d *decoder) uint64() uint64 {
	if d.left() < 8 {
		d.fail("uint64")
		return 0
	}
	v := binary.BigEndian.Uint64(d.b[d.at:])
	d.at += 8
	return v
}

func (d *decoder) string() string { return string(d.bytes()) }

// bytes returns a part of what is decoded.
func (d *decoder) bytes() []byte {
	n := d.count(1, "string bytes")
	b := d.b[d.at : d.at+n]
	d.at += n
	return b
}

func (d *decoder) stringMap() map[string]string {
	n := d.count(2, "map")
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		k := d.string()
		m[k] = d.string()
	}
	return m
}

func (d *decoder) strings() []string {
	n := d.count(1, "strings")
	if n == 0 {
		return nil
	}
	s := make([]string, n)
	for i := range s {
		s[i] = d.string()
	}
	return s
}

// end returns the error, or one if bytes are left over.
func (d *decoder) end() error {
	if d.err == nil && d.left() > 0 {
		d.fail(fmt.Sprintf("end: %d bytes left over", d.left()))
	}
	return d.err
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// appendStringMap writes the map by key, so that equal maps have equal bytes.
func appendStringMap(b []byte, m map[string]string) []byte {
	b = binary.AppendUvarint(b, uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = appendString(b, k)
		b = appendString(b, m[k])
	}
	return b
}

func appendStrings(b []byte, s []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	for _, v := range s {
		b = appendString(b, v)
	}
	return b
}
