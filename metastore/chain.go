package metastore

import (
	"crypto/sha256"
	"encoding/binary"
)

// Chain extends the checksum of a log by one payload: the first 8 bytes, big endian, of SHA-256 over the previous
// checksum and the payload. Two logs that agree at a position agree on everything before it.
func Chain(previous uint64, payload []byte) uint64 {
	h := sha256.New()
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], previous)
	h.Write(b[:])
	h.Write(payload)
	var sum [sha256.Size]byte
	return binary.BigEndian.Uint64(h.Sum(sum[:0]))
}

// Next is the entry that holds payload after p.
func (p Position) Next(payload []byte) Entry {
	return Entry{Position: Position{Seq: p.Seq + 1, Checksum: Chain(p.Checksum, payload)}, Payload: payload}
}
