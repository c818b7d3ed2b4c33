package metastore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// ReplicaOptions tunes a Replica. The zero value is the default.
type ReplicaOptions struct {
	Logger *slog.Logger // default: discard
	// Now dates entries and ages segments and producers. Brokers take the metastore's clock (cluster.Membership.Now);
	// default time.Now.
	Now func() time.Time
	// SnapshotEvery is how many entries lie between snapshots. Default 4096.
	SnapshotEvery int
	// SnapshotInterval is the longest time of the log between snapshots, as long as entries come: whoever appends the first one
	// of an interval takes one. Default 1 minute; negative: none. So entries are trimmed soon after they are not needed any more.
	SnapshotInterval time.Duration
	// ReadBytes is about how much payload one read of the log asks for. Default 4 MiB.
	ReadBytes int
	// RefreshPause is the least time between two looks at the log for callers of Refresh, so that what clients can ask for
	// costs the metastore at most 20 reads a second. Default 50 ms; negative: none.
	RefreshPause time.Duration
	// ProducerExpiration is Kafka's producer.id.expiration.ms, asked for each time. Default 24 h.
	ProducerExpiration func() time.Duration
	// MaxProducers is how many producers are remembered, counting one once for each partition that it wrote to; the ones
	// silent for longest are forgotten first, but none that was active in the last two minutes. Clients that take a new
	// producer id every time would else fill the memory of all brokers within ProducerExpiration. Default 1,000,000, as
	// many as 10,000 partitions with 100 producers each: 130 MB of memory and 40 MB of a snapshot.
	MaxProducers int
}

// Replica is a broker's copy of the folded commit log and the only way to append to it. Reads answer from memory and
// never wait for I/O.
//
// An append is a proposal: decide on the folded state, encode, compare-and-set onto the log, fold. Another broker may
// have been faster (ErrConflict): read what is new, fold it, decide again. The answer of the metastore may be lost, and
// the append may even take effect later. So all attempts of a proposal carry the same nonce, and after anything but
// success the log is read before the next attempt:
//
//  1. attempt 1 is sent at position n, the connection breaks;
//  2. the log is read, entry n is not there; attempt 2 is sent at position n, decided on the same state;
//  3. attempt 1 takes effect late, so attempt 2 meets a conflict;
//  4. the log is read, entry n carries our nonce: the proposal is settled with what entry n says.
//
// Both attempts cannot take effect, since they would be entries n and m > n, and attempt 2 is decided only on a state
// that holds n. Only if the caller gives up in between is the outcome unknown to it; a commit of segments can then be
// repeated, and finds its segments by their ids.
//
// While one proposal is appended, the next commit is decided on top of it; if the first does not land as it was, the
// second is void and decided again. See propose.
type Replica struct {
	log     Log
	opts    ReplicaOptions
	turn    chan struct{} // held by the one proposal that is decided ahead
	slot    chan struct{} // held by the one proposal that is appended
	reload  chan struct{} // held by whoever reads the log to fold it
	snap    chan struct{} // asks Run for a snapshot
	watch   watchers
	tail    tail
	topics  topicList
	configs configView

	mu      sync.RWMutex
	state   *State
	awaited nonce    // of the proposal in the slot, 0 if none
	settled *record  // the awaited record, once folded
	flight  *attempt // what is being appended, nil if nothing is or its outcome is in doubt
	own     Seq      // of the newest entry that we appended: the log held all before it
	failed  error    // why nothing can be folded any more

	breather  breather
	refreshes refreshes
	ids       producerIDBlock
}

// NewReplica makes a replica of log. Open must succeed before anything else is called.
func NewReplica(log Log, opts ReplicaOptions) *Replica {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.SnapshotEvery == 0 {
		opts.SnapshotEvery = 4096
	}
	if opts.SnapshotInterval == 0 {
		opts.SnapshotInterval = time.Minute
	}
	if opts.ReadBytes == 0 {
		opts.ReadBytes = 4 << 20
	}
	if opts.RefreshPause == 0 {
		opts.RefreshPause = 50 * time.Millisecond
	}
	if opts.ProducerExpiration == nil {
		opts.ProducerExpiration = func() time.Duration { return 24 * time.Hour }
	}
	if opts.MaxProducers == 0 {
		opts.MaxProducers = 1_000_000
	}
	return &Replica{
		log: log, opts: opts, state: NewState(),
		turn: make(chan struct{}, 1), slot: make(chan struct{}, 1), reload: make(chan struct{}, 1), snap: make(chan struct{}, 1),
		ids: producerIDBlock{turn: make(chan struct{}, 1)},
	}
}

// Open folds the newest snapshot and everything after it. It may be repeated after an error.
func (r *Replica) Open(ctx context.Context) error {
	if err := r.loadSnapshot(ctx); err != nil {
		return err
	}
	return r.CatchUp(ctx)
}

func (r *Replica) loadSnapshot(ctx context.Context) error {
	snapshot, err := r.log.LatestSnapshot(ctx)
	if errors.Is(err, ErrNoSnapshot) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load snapshot: %w", err)
	}
	state, err := decodeState(snapshot)
	if err != nil {
		return err
	}
	r.mu.Lock()
	forward := state.at.Seq > r.state.at.Seq
	if forward {
		if err = r.state.mayBecome(state); err == nil {
			r.state = state
			r.topics.forget()
			r.configs.follow(r.state)
		}
	}
	r.mu.Unlock()
	if forward && err == nil {
		r.tail.jumped()
		r.watch.wakeAll()
	}
	return err
}

// longestUnread is how long entries may come by another way without a look at the log. Whoever sends them may append to
// a metastore that was since replaced by an older copy of it.
const longestUnread = time.Second

// Run follows the log, and takes snapshots, until ctx ends. It returns early only when the log cannot be followed any
// further: ErrRegressed, ErrNewerFormat, ErrCorrupt. Transient errors are logged and retried.
func (r *Replica) Run(ctx context.Context) error {
	maintained := make(chan struct{})
	maintaining, stop := context.WithCancel(ctx)
	go func() {
		defer close(maintained)
		r.maintain(maintaining)
	}()
	defer func() { stop(); <-maintained }()
	failures, read := 0, time.Now()
	for ctx.Err() == nil {
		after := r.Position()
		err := r.log.Wait(ctx, after.Seq)
		// Entries that come by another way are not read twice, but it is for the log to say that they are there.
		if err == nil && (r.Position() == after || time.Since(read) >= longestUnread) {
			read = time.Now()
			err = r.CatchUp(ctx)
		}
		switch {
		case err == nil:
			failures = 0
			continue
		case ctx.Err() != nil:
			return nil
		case fatal(err):
			r.opts.Logger.Error("commit log cannot be followed", "error", err)
			return err
		}
		failures++
		if failures == 1 {
			r.opts.Logger.Warn("follow commit log, retrying", "error", err)
		}
		if pause(ctx, backoff(failures)) != nil {
			return nil
		}
	}
	return nil
}

// fatal errors do not go away by trying again.
func fatal(err error) bool {
	return errors.Is(err, ErrRegressed) || errors.Is(err, ErrNewerFormat) || errors.Is(err, ErrCorrupt)
}

// Health is nil while the log can be followed.
func (r *Replica) Health() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.failed
}

// Position is that of the last entry folded.
func (r *Replica) Position() Position {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.at
}

// CatchUp folds what the log holds at the time of the call. What is appended meanwhile it does not wait for: a broker that
// is farther from the log than others may find news at each read.
func (r *Replica) CatchUp(ctx context.Context) error {
	select {
	case r.reload <- struct{}{}:
		defer func() { <-r.reload }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for end := Seq(-1); ; { // -1: not known
		if err := r.Health(); err != nil {
			return err
		}
		after := r.Position()
		if end >= 0 && after.Seq >= end {
			return nil
		}
		entries, err := r.log.Read(ctx, after, r.opts.ReadBytes)
		if errors.Is(err, ErrTrimmed) {
			if err := r.jump(ctx, after); err != nil {
				if fatal(err) {
					r.fail(err)
				}
				return err
			}
			continue
		}
		if err != nil {
			if errors.Is(err, ErrRegressed) {
				if r.appendedSince(after) {
					continue // the log took an append of ours meanwhile: ask again from there
				}
				r.fail(err)
			}
			return fmt.Errorf("read commit log after %d: %w", after.Seq, err)
		}
		if len(entries) == 0 {
			return nil
		}
		for _, e := range entries {
			if err := r.foldEntry(e); err != nil {
				r.fail(err)
				return err
			}
		}
		if end < 0 {
			if end, err = r.log.End(ctx); err != nil {
				return fmt.Errorf("look for the end of the commit log: %w", err)
			}
		}
	}
}

// appendedSince tells whether the log took an entry of ours on top of one that we folded.
func (r *Replica) appendedSince(at Position) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.own > at.Seq
}

// jump loads a snapshot past a place in the log that was trimmed away.
func (r *Replica) jump(ctx context.Context, after Position) error {
	if err := r.loadSnapshot(ctx); err != nil {
		return err
	}
	if r.Position().Seq <= after.Seq {
		return fmt.Errorf("no snapshot past %d although the log was trimmed there: %w", after.Seq, ErrRegressed)
	}
	return nil
}

// Refuse makes the log one that cannot be followed, for a reason that does not go away by trying again and that the log
// itself does not show: nothing more is folded or appended, and Run ends with it.
func (r *Replica) Refuse(err error) { r.fail(err) }

func (r *Replica) fail(err error) {
	r.mu.Lock()
	r.failed = err
	r.mu.Unlock()
	r.tail.jumped()
	r.watch.wakeAll()
}

func (r *Replica) foldEntry(e Entry) error {
	if at := r.Position(); e.Seq < at.Seq || e.Position == at {
		return nil // folded before: it is not worth decoding
	}
	rec, err := decodeEntry(e)
	if err != nil {
		return fmt.Errorf("entry %d: %w", e.Seq, err)
	}
	before := r.Position()
	return r.fold(e, rec, before, before.Next(e.Payload).Position)
}

// fold applies an entry unless it was folded before: a proposal and the follower may both come with it. next is where
// the entry's payload leads from before.
func (r *Replica) fold(e Entry, rec record, before, next Position) error {
	r.mu.Lock()
	at := r.state.at
	if e.Seq < at.Seq || e.Position == at {
		r.mu.Unlock()
		return nil
	}
	if at != before {
		next = at.Next(e.Payload).Position
	}
	if e.Position != next {
		r.mu.Unlock()
		return fmt.Errorf("entry %d after %d does not continue the chain: %w", e.Seq, at.Seq, ErrRegressed)
	}
	var touched []TopicPartition
	note := func(TopicPartition) {}
	if r.watch.any() { // whoever begins to watch after this reads the state after it
		touched = make([]TopicPartition, 0, touches(rec.change))
		note = func(tp TopicPartition) { touched = append(touched, tp) }
	}
	r.state.apply(e.Position, rec, note)
	r.topics.applied(r.state, rec.change)
	r.configs.follow(r.state)
	if rec.nonce == r.awaited && r.awaited != 0 {
		r.settled = &rec
	}
	r.tail.add(e) // under mu, so that entries come in order
	r.mu.Unlock()
	r.watch.wake(touched)
	return nil
}

func newNonce() nonce {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return nonce(binary.BigEndian.Uint64(b[:]) | 1)
}

// pause waits unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// backoff grows from 5 ms to 1 s with the number of failures in a row.
func backoff(failures int) time.Duration {
	return min(5*time.Millisecond<<min(failures, 10), time.Second)
}
