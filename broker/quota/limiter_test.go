package quota

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// quotasOf is a set of quotas as the commit log has it: "entity key" to value.
func quotasOf(t *testing.T, quotas map[Entity]map[string]float64) func() *metastore.ConfigSet {
	t.Helper()
	store := memory.New(memory.Options{})
	t.Cleanup(func() { _ = store.Close() })
	replica := metastore.NewReplica(store, metastore.ReplicaOptions{RefreshPause: -1})
	if err := replica.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	var changes []metastore.ConfigChange
	for e, keys := range quotas {
		set := make(map[string]string)
		for key, value := range keys {
			set[key] = FormatValue(value)
		}
		changes = append(changes, metastore.ConfigChange{ConfigResource: metastore.ConfigResource{Kind: metastore.ClientQuotas, Name: e.String()}, Set: set})
	}
	if err := replica.AlterConfigs(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	return func() *metastore.ConfigSet { return replica.ConfigsOf(metastore.ClientQuotas) }
}

func limiterOf(t *testing.T, opts Options, e Entity, key string, value float64) *Limiter {
	t.Helper()
	return NewLimiter(quotasOf(t, map[Entity]map[string]float64{e: {key: value}}), opts)
}

// TestTheStrongestQuotaOfEightLevelsCounts sets all levels, and takes away the strongest one after the other.
func TestTheStrongestQuotaOfEightLevelsCounts(t *testing.T) {
	alice, app := Named("alice"), Named("app")
	strongestFirst := []Entity{
		{User: alice, ClientID: app},
		{User: alice, ClientID: Default},
		{User: alice},
		{User: Default, ClientID: app},
		{User: Default, ClientID: Default},
		{User: Default},
		{ClientID: app},
		{ClientID: Default},
	}
	c := Client{User: "alice", ID: "app"}
	for from := range strongestFirst {
		quotas := map[Entity]map[string]float64{
			// Never of this client, or of another kind.
			{User: Named("bob"), ClientID: app}: {"producer_byte_rate": 99},
			{ClientID: Named("other")}:          {"producer_byte_rate": 98},
			{User: alice, ClientID: app}:        {"consumer_byte_rate": 97},
		}
		for i, e := range strongestFirst[from:] {
			if quotas[e] == nil {
				quotas[e] = make(map[string]float64)
			}
			quotas[e]["producer_byte_rate"] = float64(from + i + 1)
		}
		l := NewLimiter(quotasOf(t, quotas), Options{})
		if m := l.Meter(Produce, c, time.Now()); m.limit != float64(from+1) {
			t.Errorf("from level %d on: limit %g", from+1, m.limit)
		}
	}
	l := limiterOf(t, Options{}, Entity{User: Named("bob")}, "producer_byte_rate", 1)
	if l.Meter(Produce, c, time.Now()).Limited() {
		t.Error("limited by the quota of another user")
	}
}

// TestWhoSharesAQuota: a user's quota is one for all its client ids, a default for client ids is one for each.
func TestWhoSharesAQuota(t *testing.T) {
	a1, a2, b1 := Client{"alice", "1"}, Client{"alice", "2"}, Client{"bob", "1"}
	for _, c := range []struct {
		e                Entity
		sameUser, sameID bool // share
	}{
		{Entity{User: Default}, true, false},
		{Entity{ClientID: Default}, false, true},
		{Entity{User: Default, ClientID: Default}, false, false},
	} {
		l := limiterOf(t, Options{}, c.e, "producer_byte_rate", 1)
		of := func(c Client) *account { return l.Meter(Produce, c, time.Now()).account }
		if got := of(a1) == of(a2); got != c.sameUser {
			t.Errorf("%s: two client ids of a user share: %v", c.e, got)
		}
		if got := of(a1) == of(b1); got != c.sameID {
			t.Errorf("%s: two users with a client id share: %v", c.e, got)
		}
	}
}

const mb = 1 << 20

// takes plays a client for so long from a moment on: it takes as much as it may, waits as it is told, and needs
// 5 ms for a round trip.
func takes(from time.Time, d time.Duration, take func(now time.Time) (took float64, wait time.Duration)) (total float64, at time.Time) {
	at = from
	for at.Before(from.Add(d)) {
		took, wait := take(at)
		total += took
		at = at.Add(wait + 5*time.Millisecond)
	}
	return total, at
}

func TestProduceKeepsToItsRate(t *testing.T) {
	for _, c := range []struct {
		size float64
		over time.Duration
		rate float64 // MiB/s
	}{
		{16 << 10, 30 * time.Second, 1},
		{1 << 20, 30 * time.Second, 1},
		{5 << 20, 300 * time.Second, 1},
		{22 << 20, 300 * time.Second, 2}, // as throttles end with the window, one request a window gets through
	} {
		l := limiterOf(t, Options{}, Entity{ClientID: Default}, "producer_byte_rate", mb)
		produce := func(now time.Time) (float64, time.Duration) {
			return c.size, l.Meter(Produce, Client{ID: "x"}, now).Record(c.size, now)
		}
		burst, at := takes(time.Unix(1000, 0), 11*time.Second, produce) // Kafka's window lets a burst through first
		total, end := takes(at, c.over, produce)
		rate := total / end.Sub(at).Seconds() / mb
		t.Logf("requests of %g MiB: %.1f MiB in the first window, then %.3f MiB/s", c.size/mb, burst/mb, rate)
		if rate < 0.9*c.rate || rate > 1.1*c.rate {
			t.Errorf("requests of %g MiB: %.3f MiB/s", c.size/mb, rate)
		}
	}
}

func TestFetchKeepsToItsRate(t *testing.T) {
	for _, batch := range []float64{16 << 10, 1 << 20, 5 << 20, 40 << 20} {
		l := limiterOf(t, Options{}, Entity{ClientID: Default}, "consumer_byte_rate", mb)
		fetch := func(now time.Time) (float64, time.Duration) {
			m := l.Meter(Fetch, Client{ID: "x"}, now)
			room, wait := m.Room(now)
			if wait > 0 {
				return 0, wait
			}
			size := max(batch, float64(int(room/batch))*batch) // whole batches, one at least
			return size, m.Record(size, now)
		}
		_, at := takes(time.Unix(1000, 0), 11*time.Second, fetch)
		total, end := takes(at, 330*time.Second, fetch)
		rate := total / end.Sub(at).Seconds() / mb
		t.Logf("batches of %g MiB: %.3f MiB/s", batch/mb, rate)
		if rate < 0.85 || rate > 1.1 {
			t.Errorf("batches of %g MiB: %.3f MiB/s", batch/mb, rate)
		}
	}
}

// TestAThrottleIsKafkas: X = (O-T)/T*W, with a window of ten seconds at first.
func TestAThrottleIsKafkas(t *testing.T) {
	l := limiterOf(t, Options{}, Entity{User: Default}, "producer_byte_rate", 100)
	now := time.Unix(1000, 0)
	m := l.Meter(Produce, Client{}, now)
	if wait := m.Record(1000, now); wait != 0 {
		t.Errorf("what a window allows: %v", wait)
	}
	if wait := m.Record(500, now); wait != 5*time.Second {
		t.Errorf("half as much again: %v, want 5s", wait)
	}
	if wait := m.Record(1e6, now); wait != 11*time.Second {
		t.Errorf("much too much: %v, want the whole window", wait)
	}
	now = now.Add(12 * time.Second)
	if wait := m.Record(1, now); wait != 11*time.Second {
		t.Errorf("with much owed: %v", wait)
	}
	r := l.Meter(Request, Client{}, now)
	if r.Limited() {
		t.Error("limited without a quota")
	}
	l = limiterOf(t, Options{}, Entity{User: Default}, "request_percentage", 1)
	if wait := l.Meter(Request, Client{}, now).Record(1000, now); wait != time.Second {
		t.Errorf("time of processors: %v, want a sample", wait)
	}
}

func TestMutations(t *testing.T) {
	l := limiterOf(t, Options{}, Entity{User: Default}, "controller_mutation_rate", 2)
	now := time.Unix(1000, 0)
	m := l.Meter(Mutation, Client{}, now)
	if wait, ok := m.Take(30, true, now); !ok || wait != 0 {
		t.Errorf("a full bucket: %v, %v", wait, ok)
	}
	if wait, ok := m.Take(1, true, now); ok || wait != 4*time.Second { // 22 - 30, at 2 a second
		t.Errorf("strict, overdrawn: %v, %v, want 4s", wait, ok)
	}
	if wait, ok := m.Take(2, false, now); !ok || wait != 5*time.Second {
		t.Errorf("permissive, overdrawn: %v, %v, want 5s", wait, ok)
	}
	if _, ok := m.Take(1, true, now.Add(5*time.Second)); !ok {
		t.Error("refused after the wait")
	}
}

// TestAccountsAreBounded: who comes when all places are taken shares one, and idle ones give theirs away.
func TestAccountsAreBounded(t *testing.T) {
	const most = 16 * 70
	reg := prometheus.NewRegistry()
	l := limiterOf(t, Options{MaxAccounts: most, Registerer: reg}, Entity{ClientID: Default}, "producer_byte_rate", 1)
	now := time.Unix(1000, 0)
	for i := range 10 * most {
		l.Meter(Produce, Client{ID: fmt.Sprint(i)}, now).Record(1, now)
	}
	if n := l.tables[Produce].len(); n > most {
		t.Fatalf("%d accounts, allowed are %d", n, most)
	}
	if wait := l.Meter(Produce, Client{ID: "another"}, now).Record(1, now); wait == 0 {
		t.Error("whoever is beyond the bound is not measured")
	}
	now = now.Add(12 * time.Second)
	for i := range 16 * 30 {
		l.Meter(Produce, Client{ID: fmt.Sprint("later", i)}, now)
	}
	if wait := l.Meter(Produce, Client{ID: "yet another"}, now).Record(1, now); wait != 0 {
		t.Errorf("idle accounts have not made way: %v", wait)
	}
	families, err := reg.Gather()
	if err != nil || len(families) == 0 {
		t.Fatalf("%d metrics, %v", len(families), err)
	}
	for _, f := range families {
		if n := len(f.GetMetric()); n > int(kinds) {
			t.Errorf("%s has %d series", f.GetName(), n)
		}
	}
}

// TestQuotasChange: what was taken stays taken.
func TestQuotasChange(t *testing.T) {
	a := quotasOf(t, map[Entity]map[string]float64{{User: Default}: {"producer_byte_rate": 100}})()
	b := quotasOf(t, map[Entity]map[string]float64{{User: Default}: {"producer_byte_rate": 10}})()
	set := a
	l := NewLimiter(func() *metastore.ConfigSet { return set }, Options{})
	now := time.Unix(1000, 0)
	if wait := l.Meter(Produce, Client{}, now).Record(200, now); wait != 0 {
		t.Fatalf("throttled for %v", wait)
	}
	set = b
	if wait := l.Meter(Produce, Client{}, now).Record(0, now); wait != 10*time.Second {
		t.Errorf("after the quota shrank: %v, want 10s", wait)
	}
	set = nil
	if l.Any() || l.Meter(Produce, Client{}, now).Limited() {
		t.Error("limited by a quota that is gone")
	}
	if testing.AllocsPerRun(100, func() { _ = l.Any() }) != 0 {
		t.Error("Any allocates")
	}
}

func BenchmarkNoQuota(b *testing.B) {
	store := memory.New(memory.Options{})
	defer store.Close()
	replica := metastore.NewReplica(store, metastore.ReplicaOptions{})
	l := NewLimiter(func() *metastore.ConfigSet { return replica.ConfigsOf(metastore.ClientQuotas) }, Options{})
	for b.Loop() {
		if l.Any() {
			b.Fatal("a quota")
		}
	}
}
