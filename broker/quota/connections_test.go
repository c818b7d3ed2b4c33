package quota

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// door is a Connections at a time that the test sets.
type door struct {
	*Connections
	now    time.Time
	limits ConnectionLimits
}

func newDoor(t *testing.T, quotas map[Entity]map[string]float64) *door {
	t.Helper()
	of := func() *metastore.ConfigSet { return nil }
	if quotas != nil {
		of = quotasOf(t, quotas)
	}
	d := &door{now: time.Unix(1000, 0), limits: ConnectionLimits{PerIP: 1<<31 - 1}}
	d.Connections = NewConnections(NewLimiter(of, Options{}), func(string) ConnectionLimits { return d.limits }, func() time.Time { return d.now })
	return d
}

func TestConnectionsOfAnAddressAreLimited(t *testing.T) {
	d := newDoor(t, nil)
	d.limits.PerIP = 2
	d.limits.Overrides = map[netip.Addr]int{netip.MustParseAddr("10.0.0.9"): 3, netip.MustParseAddr("10.0.0.8"): 0}
	for address, most := range map[string]int{"10.0.0.1": 2, "::ffff:10.0.0.9": 3, "10.0.0.8": 0} {
		var releases []func()
		for {
			release, _, ok := d.Admit("PLAINTEXT", address)
			if !ok {
				break
			}
			releases = append(releases, release)
		}
		if len(releases) != most {
			t.Errorf("%s has %d connections, want %d", address, len(releases), most)
		}
		for range min(most, 1) {
			releases[0]()
			if _, _, ok := d.Admit("PLAINTEXT", address); !ok {
				t.Errorf("%s is refused after one has ended", address)
			}
		}
	}
}

// TestTheQuotaOfAnAddress: its own wins over the default, and who is above it is closed late.
func TestTheQuotaOfAnAddress(t *testing.T) {
	d := newDoor(t, map[Entity]map[string]float64{
		{IP: Named("10.0.0.1")}: {"connection_creation_rate": 2},
		{IP: Default}:           {"connection_creation_rate": 1},
	})
	for address, most := range map[string]int{"10.0.0.1": 20, "10.0.0.2": 10} {
		accepted := 0
		for range 50 {
			_, wait, ok := d.Admit("PLAINTEXT", address)
			if ok {
				accepted++
			} else if wait <= 0 || wait > time.Second {
				t.Errorf("%s is closed after %v", address, wait)
			}
		}
		if accepted != most {
			t.Errorf("%s: %d at once, want %d, of a window", address, accepted, most)
		}
		d.now = d.now.Add(12 * time.Second)
		if _, _, ok := d.Admit("PLAINTEXT", address); !ok {
			t.Errorf("%s is refused after the window", address)
		}
	}
}

// TestConnectionsAboveARateWaitForTheirTurn: none is refused before a window is full of those that wait.
func TestConnectionsAboveARateWaitForTheirTurn(t *testing.T) {
	for _, limits := range []ConnectionLimits{{PerIP: 1e9, Rate: 10}, {PerIP: 1e9, Listener: 10}, {PerIP: 1e9, Rate: 10, Listener: 1000}} {
		d := newDoor(t, nil)
		d.limits = limits
		served := make(map[time.Duration]int)
		refused := 0
		for range 400 {
			_, wait, ok := d.Admit("PLAINTEXT", "10.0.0.1")
			if !ok {
				refused++
				continue
			}
			served[wait.Truncate(time.Second)]++
		}
		if served[0] < 100 || served[0] > 110 || refused < 180 || refused > 200 {
			t.Errorf("%+v: %v, %d refused", limits, served, refused)
		}
		for s := time.Second; s < 10*time.Second; s += time.Second {
			if n := served[s]; n < 9 || n > 11 {
				t.Errorf("%+v: %d in second %v, want 10", limits, n, s)
			}
		}
	}
}

func TestAddressesThatAreGoneAreForgotten(t *testing.T) {
	d := newDoor(t, nil)
	for round := range 100 {
		for i := range 100 {
			release, _, _ := d.Admit("PLAINTEXT", fmt.Sprintf("10.%d.0.%d", round, i))
			release()
		}
		d.now = d.now.Add(20 * time.Second)
	}
	if n := len(d.hosts); n > 400 {
		t.Errorf("%d addresses are kept", n)
	}
}
