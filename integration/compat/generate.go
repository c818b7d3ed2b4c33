package compat

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Abilities says which records a producer can express through its own interface.
type Abilities struct {
	Timestamps bool // explicit ones
	AllNull    bool // key and value null in one record
	EmptyKey   bool // an empty key is something else than a null key
	EmptyValue bool // an empty value is something else than a null value
	Binary     bool // any bytes in keys, values and header values
	Headers    HeaderAbility
	NullHeader bool // a header whose value is null
}

// HeaderAbility says how freely a producer sets headers.
type HeaderAbility int

// Headers may differ per record, or be the same for all that one process sends, then with text values only.
const (
	HeadersPerRecord HeaderAbility = iota
	HeadersPerRun
)

// Codecs are Kafka's compression codecs.
var Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// epoch is where timestamps begin: in the recent past, as retention and the broker's limits expect.
func epoch() int64 { return time.Now().Add(-30 * time.Minute).UnixMilli() }

// Generate makes n records that a producer with these abilities can send, numbered from first; equal arguments make
// equal records. Timestamps start at epoch and jump back and forth.
func Generate(n, first int, epoch int64, a Abilities) []Record {
	rng := rand.New(rand.NewPCG(uint64(first), 20))
	records := make([]Record, n)
	for i := range records {
		r := &records[i]
		r.Key = key(rng, a)
		r.Value = value(rng, first+i, a)
		if r.Key == nil && r.Value == nil && !a.AllNull {
			r.Key = []byte("tombstone")
		}
		r.Headers = headers(rng, first, a)
		if a.Timestamps {
			r.Timestamp = epoch + int64(first+i)*3 + rng.Int64N(10_000)
		}
	}
	return records
}

func key(rng *rand.Rand, a Abilities) []byte {
	switch x := rng.IntN(100); {
	case x < 10:
		return nil
	case x < 12 && a.EmptyKey:
		return []byte{}
	case x < 20 && a.Binary:
		return []byte{0, 0xff, byte(rng.IntN(32)), '\n', 0x80}
	default:
		return fmt.Appendf(nil, "customer-%04d", rng.IntN(997))
	}
}

const filler = "the quick brown fox jumps over the lazy dog; "

func value(rng *rand.Rand, i int, a Abilities) []byte {
	switch x := rng.IntN(1000); {
	case x < 20:
		return nil
	case x < 30 && a.EmptyValue:
		return []byte{}
	case x < 100 && a.Binary:
		b := fmt.Appendf(nil, "%d\x00\r\n", i)
		for range rng.IntN(300) {
			b = append(b, byte(rng.Uint32()))
		}
		return b
	case x == 100:
		return fmt.Appendf(nil, `{"seq":%d,"note":"%s"}`, i, strings.Repeat(filler, 400))
	default:
		return fmt.Appendf(nil, `{"seq":%d,"note":"%s größer"}`, i, filler[:rng.IntN(len(filler))])
	}
}

func headers(rng *rand.Rand, first int, a Abilities) []Header {
	if a.Headers == HeadersPerRun {
		return []Header{{"run", fmt.Appendf(nil, "%d", first)}, {"source", []byte("compat")}}
	}
	var hs []Header
	for i := range rng.IntN(4) {
		hs = append(hs, Header{fmt.Sprintf("h%d", i), fmt.Appendf(nil, "value %d", rng.IntN(1000))})
	}
	switch x := rng.IntN(20); {
	case x == 0 && a.NullHeader:
		hs = append(hs, Header{"absent", nil})
	case x == 1:
		hs = append(hs, Header{"empty", []byte{}})
	case x == 2 && a.Binary:
		hs = append(hs, Header{"binary", []byte{0xff, 0x01, 0xfe, '\n', 0x80}})
	case x == 3:
		hs = append(hs, Header{"twice", []byte("first")}, Header{"twice", []byte("second")})
	}
	return hs
}
