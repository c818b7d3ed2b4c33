package fuzztest

import "encoding/binary"

// script is what decisions are read from. At its end it answers 0, which everywhere is the choice that changes least:
// a shorter script is a simpler request, and the empty one sends the right request as it is.
type script struct{ rest []byte }

func (s *script) byte() byte {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return b
}

// take is up to n bytes.
func (s *script) take(n int) []byte {
	n = min(n, len(s.rest))
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b
}

// below is a number in [0, n), n up to 2^24.
func (s *script) below(n int) int {
	switch {
	case n <= 1:
		return 0
	case n <= 1<<8:
		return int(s.byte()) % n
	case n <= 1<<16:
		return (int(s.byte())<<8 | int(s.byte())) % n
	}
	return (int(s.byte())<<16 | int(s.byte())<<8 | int(s.byte())) % n
}

// oneIn is true for one script in n.
func (s *script) oneIn(n int) bool { return s.below(n) == n-1 }

func choose[T any](s *script, from []T) T { return from[s.below(len(from))] }

// numbers at which code changes its mind.
var numbers = []int64{
	-1, 0, 1, 2, 3, 7, 100, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 65536, 1 << 20, 1<<31 - 2, 1<<31 - 1, 1 << 31, 1 << 32, 1 << 40,
	1<<63 - 1, -2, -3, -4, -5, -6, -7, -127, -128, -32768, -1 << 31, -1 << 63,
}

func (s *script) number() int64 {
	if s.oneIn(6) {
		var b [8]byte
		copy(b[:], s.take(8))
		return int64(binary.LittleEndian.Uint64(b[:]))
	}
	return choose(s, numbers)
}
