package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"sync"

	"golang.org/x/sync/semaphore"
)

// passwords checks passwords against the verifiers of SCRAM, which takes milliseconds of a processor by intent: so it is done
// for a few peers at a time, and what was right is remembered, as keyed hashes of the password and the verifier, so that many
// connections that come back at once cost little.
//
// A check that fails has derived a key for each mechanism, whoever the user is and whatever credentials there are.
type passwords struct {
	lookup *lookup
	slots  *semaphore.Weighted
	key    []byte // of the hashes, known to this process alone

	mu    sync.Mutex
	right map[string][sha256.Size]byte // by user
}

// maxRemembered is how many users' passwords are remembered, as 32 bytes each.
const maxRemembered = 10_000

func newPasswords(l *lookup, slots int) *passwords {
	p := &passwords{lookup: l, slots: semaphore.NewWeighted(int64(slots)), key: make([]byte, 32), right: make(map[string][sha256.Size]byte)}
	_, _ = rand.Read(p.key) // never fails
	return p
}

// check tells whether the password is the user's. The error is that of ctx.
func (p *passwords) check(ctx context.Context, user, password string) (bool, error) {
	if p.remembered(user, password) {
		return true, nil
	}
	if err := p.slots.Acquire(ctx, 1); err != nil {
		return false, err
	}
	defer p.slots.Release(1)
	for _, m := range []Mechanism{ScramSHA256, ScramSHA512} {
		_, text, _ := p.lookup.stored(m, user)
		c, exists := p.lookup.credential(m, user)
		if c.matches(m, password) && exists {
			p.remember(user, p.hash(user, password, text))
			return true, nil
		}
	}
	return false, nil
}

// remembered tells whether the password was right for a credential that the user still has, and forgets what was right for
// one that is gone.
func (p *passwords) remembered(user, password string) bool {
	p.mu.Lock()
	known, ok := p.right[user]
	p.mu.Unlock()
	if !ok {
		return false
	}
	stored := false
	for _, m := range []Mechanism{ScramSHA256, ScramSHA512} {
		_, text, exists := p.lookup.stored(m, user)
		stored = stored || exists
		if now := p.hash(user, password, text); exists && hmac.Equal(now[:], known[:]) {
			return true
		}
	}
	if !stored {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.right, user)
	}
	return false
}

func (p *passwords) remember(user string, hash [sha256.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.right[user]; !ok && len(p.right) >= maxRemembered {
		for other := range p.right { // any
			delete(p.right, other)
			break
		}
	}
	p.right[user] = hash
}

func (p *passwords) hash(user, password, credential string) (sum [sha256.Size]byte) {
	copy(sum[:], mac(sha256.New, p.key, user, "\x00", credential, "\x00", password))
	return sum
}
