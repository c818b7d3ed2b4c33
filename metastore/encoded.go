package metastore

// Encoded returns the folded state as it is, as a snapshot of its position. The state is locked while a clone is made, as for
// SnapshotNow, and free while it is encoded.
func (r *Replica) Encoded() Snapshot {
	r.mu.Lock()
	state := r.state
	frozen := state.clone()
	r.mu.Unlock()
	defer r.thaw(state)
	return Snapshot{Position: frozen.at, State: frozen.encode()}
}
