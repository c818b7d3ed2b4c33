// Package txn ends what transactional producers leave behind: transactions past their time-out, which hold up everybody who
// reads committed records, and transactional ids that nobody uses any more.
//
// One broker does it for all, under a lease, so that they do not do the same work. The lease fences nobody and need not:
// what is asked for names the transaction that is meant, and nothing happens if that has ended.
package txn

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/lease"
)

// LeaseName is the reaper's among the metastore's leases.
const LeaseName = "transactions"

// States is what transactional ids are doing; metastore.Replica knows.
type States interface {
	// Transactions calls visit, which must not keep what it is shown, for every transactional id until it returns false.
	Transactions(visit func(*metastore.Transaction) bool)
}

// Decider decides on requests, durably; sequencer.Sequencer does.
type Decider interface {
	Transact(ctx context.Context, requests []metastore.TxnRequest) ([]metastore.TxnResult, error)
}

// Members tells who this broker is, and the time on which brokers agree; cluster.Membership does.
type Members interface {
	Self() metastore.Broker
	Now() time.Time
}

// Options tunes a Reaper. The zero value is the default, which is Kafka's where Kafka has the setting.
type Options struct {
	// AbortEvery is how often transactions past their time-out are looked for:
	// transaction.abort.timed.out.transaction.cleanup.interval.ms, 10 s.
	AbortEvery time.Duration
	// ForgetEvery is how often idle transactional ids are: transaction.remove.expired.transaction.cleanup.interval.ms, 1 h.
	ForgetEvery time.Duration
	// Expiration is how long one is kept after the last change: transactional.id.expiration.ms, 7 days.
	Expiration time.Duration
	// Lease is how long the role is held after its last renewal; it is renewed, or asked for, three times in that time.
	// Default 9 s.
	Lease time.Duration
	// Batch is how many are ended together; one entry of the log holds them. Default 100.
	Batch int

	Logger     *slog.Logger          // default: discard
	Registerer prometheus.Registerer // default: metrics are counted but not registered
}

func (o Options) withDefaults() Options {
	if o.AbortEvery == 0 {
		o.AbortEvery = 10 * time.Second
	}
	if o.ForgetEvery == 0 {
		o.ForgetEvery = time.Hour
	}
	if o.Expiration == 0 {
		o.Expiration = 7 * 24 * time.Hour
	}
	if o.Lease == 0 {
		o.Lease = 9 * time.Second
	}
	if o.Batch == 0 {
		o.Batch = 100
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Reaper aborts and forgets.
type Reaper struct {
	states  States
	decider Decider
	members Members
	lease   *lease.Holder
	opts    Options
	metrics *metrics
	seen    sightings // as of the last look; Run's goroutine has it
}

// New makes a Reaper; Run makes it work.
func New(states States, decider Decider, members Members, leases lease.Leases, opts Options) *Reaper {
	opts = opts.withDefaults()
	r := &Reaper{states: states, decider: decider, members: members, opts: opts}
	r.lease = lease.New(leases, members, LeaseName, lease.Options{Length: opts.Lease, Logger: opts.Logger})
	r.metrics = newMetrics(opts.Registerer, r)
	return r
}

// Held tells whether this broker has the role, as far as it knows, and under which epoch of the lease.
func (r *Reaper) Held() (epoch int64, held bool) { return r.lease.Held() }

// Run works while this broker has the role, until ctx ends; then it gives the role back. It is called once.
func (r *Reaper) Run(ctx context.Context) error {
	defer r.lease.Release(ctx)
	hold, abort, forget := time.NewTicker(r.opts.Lease/3), time.NewTicker(r.opts.AbortEvery), time.NewTicker(r.opts.ForgetEvery)
	defer hold.Stop()
	defer abort.Stop()
	defer forget.Stop()
	r.lease.Hold(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hold.C:
			r.lease.Hold(ctx)
		case <-abort.C:
			r.report(ctx, "abort transactions past their time-out", r.abortOnce)
		case <-forget.C:
			r.report(ctx, "forget idle transactional ids", r.forgetOnce)
		}
	}
}

func (r *Reaper) report(ctx context.Context, what string, once func(context.Context) (int, error)) {
	done, err := once(ctx)
	if err != nil && ctx.Err() == nil {
		r.opts.Logger.Warn(what+", retrying later", "done", done, "error", err)
	} else if done > 0 {
		r.opts.Logger.Info(what, "done", done)
	}
}

// abortOnce aborts what is past its time-out, which fences the producers, and tells how many. What was seen stays seen while
// another broker may have the role.
func (r *Reaper) abortOnce(ctx context.Context) (int, error) {
	if _, held := r.Held(); !held {
		return 0, nil
	}
	now, seen := r.members.Now(), make(sightings)
	aborted, err := r.each(ctx, func(t *metastore.Transaction) metastore.TxnRequest {
		if t.State != metastore.TxnOngoing || r.seen.age(t, now, seen) <= t.Timeout {
			return nil
		}
		return metastore.AbortTxn{ID: t.ID, Number: t.Number}
	})
	r.seen = seen
	r.metrics.aborted.Add(float64(aborted))
	return aborted, err
}

// forgetOnce forgets what nobody used for long, and tells how many.
func (r *Reaper) forgetOnce(ctx context.Context) (int, error) {
	now := r.members.Now()
	forgotten, err := r.each(ctx, func(t *metastore.Transaction) metastore.TxnRequest {
		if t.State == metastore.TxnOngoing || now.Sub(t.ChangedAt) < r.opts.Expiration {
			return nil
		}
		return metastore.ForgetTxn{ID: t.ID, Epoch: t.Epoch, Number: t.Number}
	})
	r.metrics.forgotten.Add(float64(forgotten))
	return forgotten, err
}

// each has the requests decided that doom makes of transactional ids, in batches, as long as this broker has the role, and
// tells how many were granted. Where it stops does not matter: what is left is found the next time.
func (r *Reaper) each(ctx context.Context, doom func(*metastore.Transaction) metastore.TxnRequest) (granted int, err error) {
	if _, held := r.Held(); !held {
		return 0, nil
	}
	var doomed []metastore.TxnRequest
	r.states.Transactions(func(t *metastore.Transaction) bool {
		if req := doom(t); req != nil {
			doomed = append(doomed, req)
		}
		return len(doomed) < mostAtOnce
	})
	for len(doomed) > 0 {
		if _, held := r.Held(); !held {
			return granted, errLost
		}
		n := min(r.opts.Batch, len(doomed))
		results, err := r.decide(ctx, doomed[:n])
		if err != nil {
			return granted, err
		}
		for i, result := range results {
			switch {
			case result.Err == nil:
				granted++
			case !errors.Is(result.Err, metastore.ErrTxnMoved):
				r.opts.Logger.Debug("transactional id stays as it is", "request", doomed[i], "error", result.Err)
			}
		}
		doomed = doomed[n:]
		r.lease.Hold(ctx) // a round may take longer than the lease
	}
	return granted, nil
}

// mostAtOnce bounds the memory of one round.
const mostAtOnce = 10_000

// decideTimeout bounds one batch.
const decideTimeout = 30 * time.Second

var errLost = errors.New("another broker may have the role")

func (r *Reaper) decide(ctx context.Context, requests []metastore.TxnRequest) ([]metastore.TxnResult, error) {
	ctx, cancel := context.WithTimeout(ctx, decideTimeout)
	defer cancel()
	return r.decider.Transact(ctx, requests)
}
