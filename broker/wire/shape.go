package wire

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// The decoders of kmsg are made for answers of trusted brokers: they allocate arrays by the count that is claimed (one
// byte of a frame can cost 100 bytes of memory before the first element is looked at) and loop as often as a count of
// tagged fields says, up to 2^32 times. So every body is first walked along the shape of its request: all lengths and
// counts must fit the bytes that are there, the elements in sum must be at most maxElements, and nothing may be left
// over. What passes costs kmsg memory in proportion to elements that exist.
//
// A shape is text, parsed once: a field is a number of bytes (1, 2, 4, 8, 16), s (string), b (bytes), [fields]
// (array of structs, or of plain values when it begins with a dot), ?{fields} (a struct or null), or #1{fields} (the
// tagged field 1, which kmsg decodes as a struct). @3+, @3-5 and @-7 after a field limit it to versions. In flexible
// versions lengths are compact and structs end in tagged fields.

// maxElements bounds the array elements and tagged fields of one request: 2^20 partitions in a request is far more
// than any client asks for.
const maxElements = 1 << 20

type fieldKind uint8

const (
	fixedField fieldKind = iota
	stringField
	bytesField
	structArray
	plainArray
	nullableStruct
	taggedStruct
)

type field struct {
	kind     fieldKind
	size     int // bytes of a fixedField, number of a taggedStruct
	min, max int16
	fields   []field
}

// mostElements is what a body may have of elements. Those of Produce are answered one by one while its frame's bytes of a
// Budget are all that is counted, so beyond a few they must be as many as can have records: a partition and its topic, 32
// bytes each.
func mostElements(key int16, body []byte) int {
	if key == produceKey {
		return min(1000+len(body)/32, maxElements)
	}
	return maxElements
}

// checkShape tells whether body has the shape of the request. A key without a shape is refused.
func checkShape(key, version int16, flexible bool, body []byte) error {
	shape, ok := shapes[key]
	if !ok {
		return fmt.Errorf("%w: key %d has no shape", errUnknownAPI, key)
	}
	w := walker{src: body, version: version, flexible: flexible, budget: mostElements(key, body)}
	w.structure(shape)
	if w.bad {
		return fmt.Errorf("%w: body of %d bytes does not have the shape of key %d version %d", errMalformed, len(body), key, version)
	}
	if len(w.src) > 0 {
		return fmt.Errorf("%w: %d bytes left over after key %d version %d", errMalformed, len(w.src), key, version)
	}
	return nil
}

// walker steps over encoded fields. After the first fault it is bad and its source empty.
type walker struct {
	src      []byte
	version  int16
	flexible bool
	budget   int
	bad      bool
}

func (w *walker) fail() { w.bad, w.src = true, nil }

func (w *walker) take(n int) []byte {
	if n < 0 || n > len(w.src) {
		w.fail()
		return nil
	}
	b := w.src[:n]
	w.src = w.src[n:]
	return b
}

func (w *walker) uvarint() int {
	v, n := binary.Uvarint(w.src)
	if n <= 0 || n > 5 || v > 1<<32-1 {
		w.fail()
		return 0
	}
	w.src = w.src[n:]
	return int(v)
}

// int16orNull is the length of a string that is not compact; null counts as empty.
func (w *walker) int16orNull() int16 {
	b := w.take(2)
	if b == nil {
		return 0
	}
	n := int16(binary.BigEndian.Uint16(b))
	if n < -1 {
		w.fail()
	}
	return max(n, 0)
}

func (w *walker) int32orNull() int {
	b := w.take(4)
	if b == nil {
		return 0
	}
	n := int32(binary.BigEndian.Uint32(b))
	if n < -1 {
		w.fail()
	}
	return int(max(n, 0))
}

// count reads the length of an array or of bytes; null counts as 0.
func (w *walker) count() int {
	if w.flexible {
		return max(w.uvarint()-1, 0)
	}
	return w.int32orNull()
}

// spend accounts for n elements, each of which is at least a byte.
func (w *walker) spend(n int) bool {
	if n > len(w.src) || n > w.budget {
		w.fail()
		return false
	}
	w.budget -= n
	return !w.bad
}

// tags steps over tagged fields, which may be unknown; those described in fields are walked.
func (w *walker) tags(fields []field) {
	n := w.uvarint()
	if !w.spend(n) {
		return
	}
	for range n {
		number := w.uvarint()
		value := w.take(w.uvarint())
		if i := slices.IndexFunc(fields, func(f field) bool { return f.kind == taggedStruct && f.size == number }); i >= 0 {
			w.within(value, fields[i].fields)
		}
		if w.bad {
			return
		}
	}
}

// within walks a struct that takes all of value.
func (w *walker) within(value []byte, fields []field) {
	inner := walker{src: value, version: w.version, flexible: w.flexible, budget: w.budget}
	inner.structure(fields)
	w.budget = inner.budget
	if inner.bad || len(inner.src) > 0 {
		w.fail()
	}
}

func (w *walker) structure(fields []field) {
	for i := range fields {
		if f := &fields[i]; w.version >= f.min && w.version <= f.max {
			w.field(f)
		}
		if w.bad {
			return
		}
	}
	if w.flexible {
		w.tags(fields)
	}
}

func (w *walker) field(f *field) {
	switch f.kind {
	case fixedField:
		w.take(f.size)
	case stringField:
		if w.flexible {
			w.take(w.count())
		} else {
			w.take(int(w.int16orNull()))
		}
	case bytesField:
		w.take(w.count())
	case nullableStruct:
		if b := w.take(1); len(b) == 1 && int8(b[0]) >= 0 {
			w.structure(f.fields)
		}
	case structArray, plainArray:
		n := w.count()
		if !w.spend(n) {
			return
		}
		for range n {
			if f.kind == structArray {
				w.structure(f.fields)
			} else {
				w.field(&f.fields[0])
			}
			if w.bad {
				return
			}
		}
	}
}
