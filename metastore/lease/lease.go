// Package lease holds a role that one broker at a time has, by a lease in the metastore and on a clock of its own.
package lease

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// Leases decide who has a role; a metastore does.
type Leases interface {
	HoldLease(ctx context.Context, name string, holder metastore.NodeID, holderEpoch int64, length time.Duration) (metastore.Lease, error)
	ReleaseLease(ctx context.Context, name string, holder metastore.NodeID, holderEpoch int64) error
}

// Members tells who this broker is; cluster.Membership does.
type Members interface {
	Self() metastore.Broker
}

// Options tunes a Holder. The zero value is the default.
type Options struct {
	// Length is how long the role is held after the last call that got or renewed it was made. Such a call may take a third of
	// it, and should be made three times in it. Default 9 s.
	Length time.Duration
	Logger *slog.Logger // default: discard
}

// Holder is one broker's part in a role. A lease fences nobody (metastore.Leases says why), so what the role does must be
// harmless when two do it.
type Holder struct {
	leases  Leases
	members Members
	name    string
	opts    Options

	mu       sync.Mutex
	lease    metastore.Lease
	deadline time.Time // until when this broker certainly holds the lease, on its own clock; zero if it does not
}

// New makes a Holder of the lease with the name, which is not held until Hold gets it.
func New(leases Leases, members Members, name string, opts Options) *Holder {
	if opts.Length == 0 {
		opts.Length = 9 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Holder{leases: leases, members: members, name: name, opts: opts}
}

// Name is that of the lease.
func (h *Holder) Name() string { return h.name }

// Held tells whether this broker has the role, as far as it knows, and under which epoch of the lease.
func (h *Holder) Held() (epoch int64, held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease.Epoch, time.Now().Before(h.deadline)
}

// Deadline is until when this broker has the role unless it renews it; not in the future if it does not have it.
func (h *Holder) Deadline() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.deadline
}

// Hold takes the lease if it is free, or extends it, and tells whether this broker has it. What could not be asked changes
// nothing: a lease that is held runs on to its deadline. Calls are made one at a time.
func (h *Holder) Hold(ctx context.Context) (held bool) {
	asked := time.Now()
	ctx, cancel := context.WithTimeout(ctx, h.opts.Length/3)
	defer cancel()
	self := h.members.Self()
	lease, err := h.leases.HoldLease(ctx, h.name, self.NodeID, self.Epoch, h.opts.Length)
	if err != nil {
		h.opts.Logger.Debug("ask for a lease, retrying", "lease", h.name, "error", err)
		_, held = h.Held()
		return held
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if lease.Epoch != h.lease.Epoch {
		h.opts.Logger.Info("lease taken", "lease", h.name, "node_id", int32(lease.Holder), "lease_epoch", lease.Epoch)
	}
	h.lease, h.deadline = lease, time.Time{}
	if lease.HeldBy(self.NodeID, self.Epoch) {
		h.deadline = asked.Add(h.opts.Length)
	}
	return time.Now().Before(h.deadline)
}

// longestRelease bounds a call that only saves others a wait, at the cost of one that stops.
const longestRelease = time.Second

// Release ends the lease if it is held, so that the next one need not wait for it to run out. It works after ctx has ended,
// for a second at most.
func (h *Holder) Release(ctx context.Context) {
	if _, held := h.Held(); !held {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(h.opts.Length/3, longestRelease))
	defer cancel()
	self := h.members.Self()
	if err := h.leases.ReleaseLease(ctx, h.name, self.NodeID, self.Epoch); err != nil {
		h.opts.Logger.Warn("give back a lease; it will run out", "lease", h.name, "error", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deadline = time.Time{}
}
