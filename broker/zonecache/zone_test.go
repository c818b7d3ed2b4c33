package zonecache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore/cache"
)

// members is a list of brokers; the first is this one.
type members struct {
	mu   sync.Mutex
	live []metastore.Broker
}

func (m *members) Self() metastore.Broker {
	return metastore.Broker{NodeID: 1, Zone: "a", PeerHost: "h", PeerPort: 1}
}

func (m *members) Live() []metastore.Broker {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live
}

func (m *members) set(live ...metastore.Broker) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live = live
}

func node(id int32, zone string) metastore.Broker {
	return metastore.Broker{NodeID: metastore.NodeID(id), Zone: zone, PeerHost: "h", PeerPort: id}
}

// peers answers as the test says.
type peers struct {
	mu    sync.Mutex
	block func(ctx context.Context, working func()) (bool, error)
	ping  error
	pings int
}

func (p *peers) set(block func(ctx context.Context, working func()) (bool, error), ping error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.block, p.ping = block, ping
}

func (p *peers) Block(ctx context.Context, _, _ string, _, _ int64, _ [][]byte, working func()) (bool, error) {
	p.mu.Lock()
	block := p.block
	p.mu.Unlock()
	return block(ctx, working)
}

// pingTakes is virtual time.
const pingTakes = time.Millisecond

func (p *peers) Ping(context.Context, string) error {
	time.Sleep(pingTakes)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pings++
	return p.ping
}

func (p *peers) pinged() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pings
}

func newZone(t *testing.T, live ...metastore.Broker) (*Zone, *members, *peers) {
	t.Helper()
	m, p := &members{}, &peers{}
	m.set(live...)
	z := New(m, p, Options{})
	t.Cleanup(z.Close)
	return z, m, p
}

// owners are the addresses that own extents of objects, by how many of 300 they own.
func owners(z *Zone) map[string]int {
	count := map[string]int{}
	for i := range 300 {
		count[z.Owner(fmt.Sprint("object", i/3), int64(i%3))]++
	}
	return count
}

func wantOwners(t *testing.T, z *Zone, want ...string) {
	t.Helper()
	got := owners(z)
	for _, address := range want {
		if got[address] < 300/len(want)/2 {
			t.Errorf("owners %v, want %q", got, want)
		}
	}
	if len(got) != len(want) {
		t.Errorf("owners %v, want %q", got, want)
	}
}

func TestTheZoneIsItsBrokersWithAPeerPort(t *testing.T) {
	z, m, _ := newZone(t)
	wantOwners(t, z, "") // before this broker has joined
	m.set(node(1, "a"))
	wantOwners(t, z, "")
	portless := node(4, "a")
	portless.PeerHost = ""
	m.set(node(1, "a"), node(2, "a"), node(3, "b"), portless, node(5, ""), node(6, "a"))
	wantOwners(t, z, "", "h:2", "h:6")
	m.set(node(2, "a"), node(6, "a")) // this broker has left, and drains
	wantOwners(t, z, "h:2", "h:6")
	m.set(node(1, "a"), node(6, "a"))
	wantOwners(t, z, "", "h:6")
}

func TestOwnersAreFoundWithoutAllocating(t *testing.T) {
	z, _, _ := newZone(t, node(1, "a"), node(2, "a"), node(3, "a"))
	z.suspect("h:2", errors.New("test"))
	key := "prefix/t0/3f/01920f3a-7c1e-7bbb-8000-0123456789ab"
	if n := testing.AllocsPerRun(100, func() { z.Owner(key, 7) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// asked is what became of one Ask.
type asked struct {
	err         error
	took, later time.Duration // until it ended, and until it was late; -1 if it was not
}

func ask(ctx context.Context, z *Zone) asked {
	began := time.Now()
	a := asked{later: -1}
	var mu sync.Mutex
	err := z.Ask(ctx, "h:2", cache.Request{Key: "k", ObjectSize: 10, Length: 10}, [][]byte{make([]byte, 10)}, func() {
		mu.Lock()
		defer mu.Unlock()
		if a.later != -1 {
			panic("late twice")
		}
		a.later = time.Since(began)
	})
	mu.Lock()
	defer mu.Unlock()
	a.err, a.took = err, time.Since(began)
	return a
}

func TestOwnersAreWaitedForWithPatience(t *testing.T) {
	after := func(d time.Duration, well bool, err error) func(context.Context, func()) (bool, error) {
		return func(ctx context.Context, _ func()) (bool, error) {
			select {
			case <-time.After(d):
				return well, err
			case <-ctx.Done():
				return false, ctx.Err()
			}
		}
	}
	working := func(sign time.Duration, then func(context.Context, func()) (bool, error)) func(context.Context, func()) (bool, error) {
		return func(ctx context.Context, working func()) (bool, error) {
			time.Sleep(sign)
			working()
			return then(ctx, working)
		}
	}
	const ms = time.Millisecond
	refused := errors.New("refused")
	for name, tc := range map[string]struct {
		block       func(context.Context, func()) (bool, error)
		took, later time.Duration
		fails       bool
		suspected   bool
	}{
		"answers":                         {after(5*ms, true, nil), 5 * ms, -1, false, false},
		"is full":                         {after(5*ms, true, refused), 5 * ms, -1, true, false},
		"is broken":                       {after(5*ms, false, refused), 5 * ms, -1, true, true},
		"answers late":                    {after(300*ms, true, nil), 300 * ms, 200 * ms, false, false},
		"gives no sign of life":           {after(time.Hour, true, nil), 5 * time.Second, 200 * ms, true, true},
		"loads":                           {working(5*ms, after(900*ms, true, nil)), 905 * ms, -1, false, false},
		"loads for long":                  {working(5*ms, after(2*time.Second, true, nil)), 2005 * ms, 1005 * ms, false, false},
		"loads, and dies":                 {working(5*ms, after(20*ms, false, refused)), 25 * ms, -1, true, true},
		"loads, and cannot":               {working(5*ms, after(20*ms, true, refused)), 25 * ms, -1, true, false},
		"says late that it loads":         {working(300*ms, after(20*ms, true, nil)), 320 * ms, 200 * ms, false, false},
		"says that it loads, and no more": {working(5*ms, after(time.Hour, true, nil)), 5 * time.Second, 1005 * ms, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z, _, p := newZone(t, node(1, "a"), node(2, "a"))
				p.set(tc.block, errors.New("connection refused"))
				a := ask(t.Context(), z)
				if a.took != tc.took || a.later != tc.later || (a.err != nil) != tc.fails {
					t.Errorf("%+v", a)
				}
				if suspected := owners(z)["h:2"] == 0; suspected != tc.suspected {
					t.Errorf("suspected: %v", suspected)
				}
			})
		})
	}
}

func TestAnOwnerThatTheBucketOvertakesIsNotBlamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, _, p := newZone(t, node(1, "a"), node(2, "a"))
		p.set(func(ctx context.Context, working func()) (bool, error) {
			working()
			<-ctx.Done()
			return false, ctx.Err()
		}, nil)
		overtaken, overtake := context.WithCancel(t.Context())
		defer overtake()
		time.AfterFunc(1500*time.Millisecond, overtake)
		if a := ask(overtaken, z); a.err == nil || a.later != time.Second {
			t.Errorf("%+v", a)
		}
		wantOwners(t, z, "", "h:2")
	})
}

func TestAnOwnerThatTheBucketOvertakesBeforeASignOfLifeIsSuspected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, _, p := newZone(t, node(1, "a"), node(2, "a"))
		p.set(func(ctx context.Context, _ func()) (bool, error) {
			<-ctx.Done()
			return false, ctx.Err()
		}, nil)
		overtaken, overtake := context.WithCancel(t.Context())
		defer overtake()
		time.AfterFunc(250*time.Millisecond, overtake)
		if a := ask(overtaken, z); a.err == nil || a.later != 200*time.Millisecond {
			t.Errorf("%+v", a)
		}
		wantOwners(t, z, "")
	})
}

func TestASuspectIsPassedOverUntilItAnswersAPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, m, p := newZone(t, node(1, "a"), node(2, "a"), node(3, "a"))
		dead, alive := errors.New("connection refused"), error(nil)
		broken := func(context.Context, func()) (bool, error) { return false, dead }
		p.set(broken, dead)
		for range 5 { // of one time
			ask(t.Context(), z)
		}
		wantOwners(t, z, "", "h:3")
		time.Sleep(time.Second)
		for range 3 { // pinged in vain
			wantOwners(t, z, "", "h:3")
			time.Sleep(time.Second + pingTakes)
		}
		if n := p.pinged(); n != 3 {
			t.Errorf("%d pings in 3 s", n)
		}
		p.set(broken, alive)
		wantOwners(t, z, "", "h:3") // nobody waits for the ping
		time.Sleep(2 * pingTakes)
		wantOwners(t, z, "", "h:2", "h:3")

		// It answers pings alone: it is left alone for longer each time.
		var pauses []time.Duration
		for range 7 {
			ask(t.Context(), z)
			began := time.Now()
			for owners(z)["h:2"] == 0 {
				time.Sleep(100 * time.Millisecond)
			}
			pauses = append(pauses, time.Since(began).Round(time.Second))
		}
		if want := []time.Duration{2, 4, 8, 16, 30, 30, 30}; !slices.EqualFunc(pauses, want, func(got, seconds time.Duration) bool {
			return got == seconds*time.Second
		}) {
			t.Errorf("left alone for %v", pauses)
		}
		p.set(func(context.Context, func()) (bool, error) { return true, nil }, nil)
		ask(t.Context(), z)
		p.set(broken, nil)
		ask(t.Context(), z)
		time.Sleep(time.Second)
		owners(z)
		time.Sleep(2 * pingTakes)
		wantOwners(t, z, "", "h:2", "h:3") // after a block, it begins anew

		ask(t.Context(), z)
		m.set(node(1, "a"), node(3, "a"))
		wantOwners(t, z, "", "h:3")
		m.set(node(1, "a"), node(2, "a"), node(3, "a")) // who joins again is not the suspect any more
		wantOwners(t, z, "", "h:2", "h:3")
	})
}

func TestRequestsAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, _, p := newZone(t, node(1, "a"), node(2, "a"))
		release := make(chan struct{})
		p.set(func(context.Context, func()) (bool, error) { <-release; return true, nil }, nil)
		var asking sync.WaitGroup
		for range 64 {
			asking.Go(func() {
				if a := ask(t.Context(), z); a.err != nil {
					t.Error(a.err)
				}
			})
		}
		synctest.Wait()
		if a := ask(t.Context(), z); a.err == nil || a.took != 0 {
			t.Errorf("%+v", a)
		}
		close(release)
		asking.Wait()
		if a := ask(t.Context(), z); a.err != nil {
			t.Error(a.err)
		}
	})
}
