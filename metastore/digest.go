package metastore

import "crypto/sha256"

// Digest sums the state that the replica has folded, and tells of which position it is. Replicas of one log have the same
// digest at the same position, whether they began at its first entry or at a snapshot: a difference is a bug, by which two
// brokers will decide differently. It encodes the whole state: for tests, and for people in doubt.
func (r *Replica) Digest() (Position, [sha256.Size]byte) {
	r.mu.Lock()
	state := r.state
	frozen := state.clone()
	r.mu.Unlock()
	at, sum := frozen.at, sha256.Sum256(frozen.encodeAs(true))
	r.thaw(state)
	return at, sum
}
