package cleaning

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/runnel-io/runnel/metastore"
)

func TestKeyMapHoldsTheLastOffsetOfEachKey(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	m := newKeyMap(1<<20, 1<<40)
	want := map[string]metastore.Offset{}
	full := 0
	for offset := range metastore.Offset(200_000) {
		key := fmt.Sprint(rng.IntN(60_000))
		if rng.IntN(1000) == 0 {
			key = "" // a key too, and another one than none
		}
		_, known := want[key]
		if !m.put([]byte(key), offset) {
			if full++; known || len(want) != m.most {
				t.Fatalf("full with %d keys of %d, known %v", len(want), m.most, known)
			}
			continue
		}
		want[key] = offset
	}
	if m.keys != len(want) || full == 0 || m.keys != 39_321 { // 2^20 bytes / 24 * 0.9
		t.Errorf("%d keys, want %d; full %d times", m.keys, len(want), full)
	}
	for i := range 60_000 {
		key := fmt.Sprint(i)
		last, ok := want[key]
		if !ok {
			last = metastore.NoOffset
		}
		if got := m.last([]byte(key)); got != last {
			t.Fatalf("key %s: %d, want %d", key, got, last)
		}
	}
}

func TestKeyMapTakesNoMoreThanItIsFor(t *testing.T) {
	if size := unsafe.Sizeof(slot{}); size != slotBytes {
		t.Fatalf("a slot has %d bytes", size)
	}
	for _, c := range []struct{ bytes, keys, want int64 }{ // want: keys that it takes
		{128 << 20, 1 << 40, 5_033_164},
		{128 << 20, 100_000, 100_000},
		{128 << 20, 0, 1},
		{0, 1_000_000, 1},
	} {
		m := newKeyMap(c.bytes, c.keys)
		if most := int64(float64(m.limit) * loadFactor); most < c.want || most > c.want+1 || int64(m.limit)*slotBytes > max(c.bytes, 2*slotBytes) {
			t.Errorf("%d bytes for %d keys: %d slots", c.bytes, c.keys, m.limit)
		}
		for i := range min(c.want, 200_000) {
			if !m.put(binary.BigEndian.AppendUint64(nil, uint64(i)), metastore.Offset(i)) {
				t.Fatalf("%d bytes for %d keys: full at %d", c.bytes, c.keys, i)
			}
		}
		if want := min(c.want, 200_000); int64(len(m.slots))*slotBytes > 3*want*slotBytes+firstSlots*slotBytes {
			t.Errorf("%d slots for %d keys", len(m.slots), want)
		}
	}
}

func BenchmarkKeyMap(b *testing.B) {
	const keys = 1_000_000
	m := newKeyMap(1<<30, keys)
	for i := range keys {
		if !m.put(fmt.Appendf(nil, "customer-%012d", i), metastore.Offset(i)) {
			b.Fatal("full")
		}
	}
	for name, from := range map[string]int{"there": 0, "not there": keys} {
		b.Run(name, func(b *testing.B) {
			key := make([]byte, 0, 32)
			for i := 0; b.Loop(); i++ {
				key = fmt.Appendf(key[:0], "customer-%012d", from+i*7919%keys)
				m.last(key)
			}
		})
	}
}
