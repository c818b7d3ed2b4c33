package cleaning

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/runnel-io/runnel/metastore"
)

const (
	// slotBytes is what a key takes in a map, whatever its length.
	slotBytes = 24
	// loadFactor is how full a map becomes, as log.cleaner.io.buffer.load.factor has it. A key that is not there costs some
	// fifty slots then, which lie side by side.
	loadFactor = 0.9
)

// digest stands for a key. Two keys with the same digest would be one, and the older record of theirs lost, so it is 128
// bits of SHA-256: nobody finds two such keys, neither by chance nor by wanting to. (Kafka takes MD5, for which that
// is no longer true.)
type digest struct{ high, low uint64 }

func digestOf(key []byte) digest {
	sum := sha256.Sum256(key)
	return digest{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
}

// keyMap holds the last offset of each key, in memory of a bound. It is a table with linear probing, from which nothing is
// removed. It begins small, and doubles as it fills: a topic has many records and few keys more often than not, and a small
// table is in the processor's caches. While it moves, the smaller table is there too.
type keyMap struct {
	slots []slot
	keys  int
	most  int // keys for which slots are enough
	limit int // slots that there may be
}

// slot holds a key's digest and the offset after its last record; 0 says that the slot is free.
type slot struct {
	digest
	next metastore.Offset
}

const firstSlots = 4096

// newKeyMap makes a map of at most so many bytes, for at most so many keys.
func newKeyMap(bytes, keys int64) *keyMap {
	limit := int(max(min(bytes/slotBytes, int64(float64(keys)/loadFactor)+1), 2))
	m := &keyMap{limit: limit}
	m.resize(min(limit, firstSlots))
	return m
}

// resize gives the map so many slots.
func (m *keyMap) resize(slots int) {
	old := m.slots
	m.slots, m.most = make([]slot, slots), int(float64(slots)*loadFactor)
	for i := range old {
		if old[i].next != 0 {
			*m.find(old[i].digest) = old[i]
		}
	}
}

// put notes that the last record of a key is at an offset. It returns false, and notes nothing, if the map has no room for
// another key.
func (m *keyMap) put(key []byte, offset metastore.Offset) bool {
	d := digestOf(key)
	s := m.find(d)
	if s.next == 0 {
		if m.keys == m.most {
			if len(m.slots) == m.limit {
				return false
			}
			m.resize(min(2*len(m.slots), m.limit))
			s = m.find(d)
		}
		m.keys++
		s.digest = d
	}
	s.next = max(s.next, offset+1)
	return true
}

// last returns the offset of the last record of a key, metastore.NoOffset if it is not in the map.
func (m *keyMap) last(key []byte) metastore.Offset { return m.find(digestOf(key)).next - 1 }

// find returns the slot of a digest, or the one that is free for it.
func (m *keyMap) find(d digest) *slot {
	i, _ := bits.Mul64(d.high, uint64(len(m.slots))) // spreads over the slots, whose number is no power of two
	for {
		s := &m.slots[i]
		if s.next == 0 || s.digest == d {
			return s
		}
		if i++; i == uint64(len(m.slots)) {
			i = 0
		}
	}
}
