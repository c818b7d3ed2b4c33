package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/runnel-io/runnel/integration/faulty"
	"github.com/runnel-io/runnel/integration/harness"
)

// part is what a fault breaks.
type part string

const (
	process  part = "the process"
	clients  part = "the way from clients"
	peers    part = "the way from other brokers"
	postgres part = "the way to PostgreSQL"
	bucket   part = "the way to the bucket"
	server   part = "the PostgreSQL server"
	wires    part = "what is said to PostgreSQL"
	storage  part = "the S3 server"
)

// fault is a kind of what can go wrong. Begin and end do not wait for what follows from them.
type fault struct {
	name              string
	breaks            part
	shortest, longest time.Duration
	victims           func(rng *rand.Rand, brokers int) int // how many brokers; nil: it befalls a server
	begin, end        func(ctx context.Context, n *nemesis, b *broker) error
}

func one(*rand.Rand, int) int { return 1 }

// several is two or more, and all in one of three cases.
func several(rng *rand.Rand, brokers int) int {
	if rng.IntN(3) == 0 {
		return brokers
	}
	return min(brokers, 2+rng.IntN(max(1, brokers-2)))
}

func faultNamed(name string) fault {
	for _, f := range faults {
		if f.name == name {
			return f
		}
	}
	panic("no fault is called " + name)
}

// leaseLength is after what silence others take a broker for gone.
const leaseLength = 6 * time.Second

var faults = joined(processFaults, wayFaults(), serverFaults, bucketFaults())

func joined(lists ...[]fault) (all []fault) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

var processFaults = []fault{
	{
		name: "kill -9", breaks: process, shortest: 200 * time.Millisecond, longest: 9 * time.Second, victims: one,
		begin: kill, end: start,
	}, {
		name: "kill -9 of several", breaks: process, shortest: 200 * time.Millisecond, longest: 4 * time.Second, victims: several,
		begin: kill, end: start,
	}, {
		name: "pause shorter than a lease", breaks: process, shortest: 500 * time.Millisecond, longest: leaseLength / 2, victims: one,
		begin: pause, end: resume,
	}, {
		name: "pause longer than a lease", breaks: process, shortest: leaseLength + time.Second, longest: 2 * leaseLength, victims: one,
		begin: pause, end: resume,
	}, {
		name: "restart by SIGTERM", breaks: process, shortest: 3 * time.Second, longest: 8 * time.Second, victims: one,
		begin: terminate, end: startEnded,
	},
}

func kill(_ context.Context, _ *nemesis, b *broker) error  { b.Kill(); return nil }
func start(_ context.Context, _ *nemesis, b *broker) error { b.Start(); return nil }
func pause(_ context.Context, _ *nemesis, b *broker) error { b.Pause(); return nil }

func resume(_ context.Context, _ *nemesis, b *broker) error { b.Resume(); return nil }

func terminate(_ context.Context, n *nemesis, b *broker) error {
	n.ending[b] = b.Terminate()
	return nil
}

// startEnded starts a broker that has drained.
func startEnded(_ context.Context, n *nemesis, b *broker) error {
	err := <-n.ending[b]
	delete(n.ending, b)
	if err != nil {
		n.note("%s did not end well on SIGTERM: %v", b.name, err)
		n.badExits++
	}
	b.Start()
	return nil
}

// wayFaults are cuts of each way of a broker: bytes are lost and nobody is told, everything ends with a reset, or it is
// held up.
func wayFaults() (all []fault) {
	ways := map[part]func(b *broker) []*harness.Link{
		clients:  func(b *broker) []*harness.Link { return []*harness.Link{b.clients} },
		peers:    func(b *broker) []*harness.Link { return []*harness.Link{b.peers} },
		postgres: func(b *broker) []*harness.Link { return b.postgres },
		bucket:   func(b *broker) []*harness.Link { return []*harness.Link{b.bucket} },
	}
	for _, breaks := range []part{clients, peers, postgres, bucket} {
		for _, how := range []struct {
			name string
			do   func(*harness.Link)
		}{
			{"black hole on ", (*harness.Link).Cut}, {"resets on ", (*harness.Link).Refuse}, {"nothing arrives for a time on ", (*harness.Link).Hold},
		} {
			on := func(do func(*harness.Link)) func(context.Context, *nemesis, *broker) error {
				return func(_ context.Context, _ *nemesis, b *broker) error {
					for _, l := range ways[breaks](b) {
						do(l)
					}
					return nil
				}
			}
			all = append(all, fault{
				name: how.name + string(breaks), breaks: breaks, shortest: 500 * time.Millisecond, longest: 9 * time.Second, victims: one,
				begin: on(how.do), end: on((*harness.Link).Mend),
			})
		}
	}
	return all
}

var serverFaults = []fault{
	{
		name: "restart of PostgreSQL", breaks: server, shortest: time.Second, longest: time.Second,
		begin: func(ctx context.Context, n *nemesis, _ *broker) error { return n.database.restart(ctx) }, end: nothing,
	}, {
		name: "crash of PostgreSQL", breaks: server, shortest: time.Second, longest: time.Second,
		begin: func(ctx context.Context, n *nemesis, _ *broker) error { return n.database.crash(ctx) }, end: nothing,
	}, {
		name: "PostgreSQL away", breaks: server, shortest: 2 * time.Second, longest: 8 * time.Second,
		begin: func(_ context.Context, n *nemesis, _ *broker) error { return n.database.primary.Abort() },
		end:   func(ctx context.Context, n *nemesis, _ *broker) error { return n.database.primary.Start(ctx) },
	}, {
		name: "kill -9 of PostgreSQL and promotion of the standby", breaks: server, shortest: 3 * time.Second, longest: 6 * time.Second,
		begin: failOver,
		end:   rebuilt,
	}, {
		name: "sessions of PostgreSQL ended", breaks: server, shortest: time.Second, longest: time.Second,
		begin: func(ctx context.Context, n *nemesis, _ *broker) error { return n.database.endSessions(ctx) }, end: nothing,
	}, {
		name: "questions and answers of PostgreSQL lost", breaks: wires, shortest: 3 * time.Second, longest: 10 * time.Second,
		begin: loseMessages(oneOfMessages), end: loseMessages(0),
	}, {
		name: "no connections left in PostgreSQL", breaks: server, shortest: 2 * time.Second, longest: 8 * time.Second,
		begin: func(ctx context.Context, n *nemesis, _ *broker) error { return n.database.exhaust(ctx) },
		end:   func(_ context.Context, n *nemesis, _ *broker) error { n.database.relieve(); return nil },
	},
}

// failOver begins at once to make another standby.
func failOver(ctx context.Context, n *nemesis, _ *broker) error {
	if err := n.database.failOver(ctx); err != nil {
		return err
	}
	ended := make(chan error, 1)
	n.rebuilding = ended
	go func() { ended <- n.database.rebuild(ctx) }()
	return nil
}

func rebuilt(_ context.Context, n *nemesis, _ *broker) error {
	err := <-n.rebuilding
	n.rebuilding = nil
	return err
}

// messages of PostgreSQL's protocol of which one is lost, with its connection, before and one after it was done.
const oneOfMessages = 25

func loseMessages(one int) func(context.Context, *nemesis, *broker) error {
	return func(_ context.Context, n *nemesis, _ *broker) error {
		for _, way := range n.wires {
			way.Lose(one)
		}
		return nil
	}
}

func nothing(context.Context, *nemesis, *broker) error { return nil }

// bucketFaults are the ways in which requests of all brokers fail: one of three for a time.
func bucketFaults() (all []fault) {
	for _, f := range []struct {
		name string
		ways []faulty.Way
	}{
		{"503 SlowDown by S3", []faulty.Way{faulty.SlowDown}},
		{"requests to S3 cut off", []faulty.Way{faulty.CutOff}},
		{"answers of S3 lost", []faulty.Way{faulty.Unheard}},
		{"answers of S3 cut short", []faulty.Way{faulty.Short}},
		{"S3 slow", []faulty.Way{faulty.Slowly}},
		{"everything at once by S3", []faulty.Way{faulty.SlowDown, faulty.CutOff, faulty.Unheard, faulty.Short, faulty.Slowly}},
	} {
		all = append(all, fault{
			name: f.name, breaks: storage, shortest: 3 * time.Second, longest: 10 * time.Second,
			begin: func(_ context.Context, n *nemesis, _ *broker) error { n.bucket.FailIn(3, f.ways...); return nil },
			end:   func(_ context.Context, n *nemesis, _ *broker) error { n.bucket.Fail(0); return nil },
		})
	}
	return all
}

// do begins or ends a fault at all it befalls.
func (n *nemesis) do(ctx context.Context, s strike, what func(context.Context, *nemesis, *broker) error) error {
	if len(s.Brokers) == 0 {
		return wrapped(s, what(ctx, n, nil))
	}
	var errs []error
	for _, i := range s.Brokers {
		errs = append(errs, what(ctx, n, n.brokers[i]))
	}
	return wrapped(s, errors.Join(errs...))
}

func wrapped(s strike, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", s.Fault, err)
	}
	return nil
}
