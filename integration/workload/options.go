// Package workload drives a cluster as many clients of all kinds do, and records what they did and were told. It runs on
// real processes and inside of bubbles of testing/synctest.
package workload

import (
	"cmp"
	"context"
	"errors"
	"net"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

// Options say what to run. All decisions come from Seed and from the time since Run began: with the same seed and the same
// answers at the same times, the same is asked. The cluster should have ClusterSettings. In a bubble of testing/synctest
// build with the tag "synctests": the client library holds mutexes during requests, which would stop virtual time, and that
// tag makes them of channels.
type Options struct {
	Seed     uint64
	Seeds    []string // addresses to begin with
	Brokers  []string // addresses of the brokers to observe, each by itself; default: Seeds
	Recorder *history.Recorder

	// Zones are those that clients say they are in, some in each; "" says none. With several, different brokers lead one
	// partition for different clients, and write to it at the same time. Default: nobody says any.
	Zones []string

	// Dial connects to a broker. Default: over the machine's network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Heal, if set, is called after the load: it ends all faults.
	Heal func()

	// Settle, if set, is called once nobody asks for anything more but the members of the pipeline. When it returns, nothing
	// that was asked before and has no answer may take effect any more: else it would come between the final reads.
	Settle func()

	Workers  int           // default: 4
	Movers   int           // members of the exactly-once pipeline; default: 2, negative: no pipeline
	Duration time.Duration // of the load; default: 60 s
	Final    time.Duration // that the final phase may last; default: 60 s

	MinThink, MaxThink time.Duration // between two operations of a worker; default: 50 ms to 300 ms
	Feed               time.Duration // between two sends into the pipeline; default: 250 ms
	Observe            time.Duration // between two observations of a broker; default: 500 ms
	Keys               int           // that are active at once; default: 4
	Rotate             time.Duration // until the next key replaces the oldest; default: 5 s
	Operation          time.Duration // after which a worker gives a client up that does not answer; default: 8 s

	// Of topics that lose records: how long tombstones stay, how long records do, and how many stay of a partition. Whoever
	// reads a partition of a compacted topic as a whole does so in less time than Tombstones.
	Tombstones time.Duration // default: 10 s
	Retention  time.Duration // default: 6 s
	Kept       int64         // default: 30

	// Trailing is how long brokers may go by settings of a topic that are others already: see history.History. Default: 2 s.
	Trailing time.Duration
}

func (o Options) withDefaults() (Options, error) {
	if len(o.Seeds) == 0 || o.Recorder == nil {
		return o, errors.New("a workload needs addresses and a recorder")
	}
	if len(o.Brokers) == 0 {
		o.Brokers = o.Seeds
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Heal == nil {
		o.Heal = func() {}
	}
	if o.Settle == nil {
		o.Settle = func() {}
	}
	o.Workers = cmp.Or(o.Workers, 4)
	o.Movers = max(0, cmp.Or(o.Movers, 2))
	o.Duration = cmp.Or(o.Duration, time.Minute)
	o.Final = cmp.Or(o.Final, time.Minute)
	o.MinThink = cmp.Or(o.MinThink, 50*time.Millisecond)
	o.MaxThink = max(cmp.Or(o.MaxThink, 300*time.Millisecond), o.MinThink+1)
	o.Feed = cmp.Or(o.Feed, 250*time.Millisecond)
	o.Observe = cmp.Or(o.Observe, 500*time.Millisecond)
	o.Keys = cmp.Or(o.Keys, 4)
	o.Rotate = cmp.Or(o.Rotate, 5*time.Second)
	o.Operation = cmp.Or(o.Operation, 8*time.Second)
	o.Tombstones = cmp.Or(o.Tombstones, 10*time.Second)
	o.Retention = cmp.Or(o.Retention, 6*time.Second)
	o.Kept = cmp.Or(o.Kept, 30)
	o.Trailing = cmp.Or(o.Trailing, 2*time.Second)
	return o, nil
}
