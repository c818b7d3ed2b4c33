package bench

import "math/rand/v2"

// Payload makes the values of records: random capital letters, as Kafka's own performance tool, which compress to some
// six tenths.
type Payload struct {
	pool []byte
	size int
	next int
}

const poolBytes = 1 << 20

// NewPayload makes values of a size. Seeds make the values of several producers different.
func NewPayload(size int, seed uint64) *Payload {
	p := &Payload{pool: make([]byte, max(poolBytes, 2*size)), size: size}
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range p.pool {
		p.pool[i] = 'A' + byte(rng.IntN(26))
	}
	return p
}

// Next is a value. It shares memory with others and must not be changed.
func (p *Payload) Next() []byte {
	at := p.next
	p.next = (p.next + 4099) % (len(p.pool) - p.size) // a prime: offsets repeat late
	return p.pool[at : at+p.size : at+p.size]
}
