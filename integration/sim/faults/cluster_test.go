package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/integration/history"
	"github.com/runnel-io/runnel/metastore"
	meta "github.com/runnel-io/runnel/metastore/fault"
	"github.com/runnel-io/runnel/objstore"
	object "github.com/runnel-io/runnel/objstore/fault"
)

// writers is a Cluster of brokers that write to their stores, as fast as these answer, and know what they were told.
type writers struct {
	t *testing.T
	b *bench

	mu     sync.Mutex
	lives  []*writer
	starts []int
	told   map[string]bool
}

type writer struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
}

func startWriters(t *testing.T, b *bench, brokers int) *writers {
	w := &writers{t: t, b: b, lives: make([]*writer, brokers), starts: make([]int, brokers), told: map[string]bool{}}
	for broker := range brokers {
		if err := w.Start(t.Context(), broker); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *writers) Start(_ context.Context, broker int) error {
	m, o := w.b.nemesis.Stores(broker)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lives[broker] != nil {
		return errors.New("it runs")
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.starts[broker]++
	life := &writer{fmt.Sprintf("%d.%d", broker, w.starts[broker]), cancel, make(chan struct{})}
	w.lives[broker] = life
	go func() {
		defer close(life.done)
		w.write(ctx, life.name, m, o)
	}()
	return nil
}

func (w *writers) Stop(ctx context.Context, broker int) error {
	w.mu.Lock()
	life := w.lives[broker]
	w.lives[broker] = nil
	w.mu.Unlock()
	if life == nil {
		return errors.New("it does not run")
	}
	life.cancel()
	select {
	case <-life.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *writers) Crash(broker int) error { return w.Stop(context.Background(), broker) }
func (w *writers) Pause(int)              {}
func (w *writers) Resume(int)             {}

// acknowledged is how many entries writers were told of.
func (w *writers) acknowledged() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.told)
}

// write appends entries that name objects, each put before, until ctx ends.
func (w *writers) write(ctx context.Context, name string, m *meta.Store, o *object.Store) {
	var at metastore.Position
	for i := 0; ctx.Err() == nil; i++ {
		call, cancel := context.WithTimeout(ctx, 5*time.Second)
		what := fmt.Sprintf("%s/%d", name, i)
		err := o.Put(call, what, data(i))
		for ; (err == nil || errors.Is(err, objstore.ErrExists)) && call.Err() == nil; time.Sleep(20 * time.Millisecond) {
			if entries, err := m.Read(call, at, 1<<20); err == nil && len(entries) > 0 {
				at = entries[len(entries)-1].Position
			}
			if err := m.Append(call, at, at.Next([]byte(what))); err == nil {
				w.mu.Lock()
				w.told[what] = true
				w.mu.Unlock()
				break
			} else if !errors.Is(err, metastore.ErrConflict) {
				break // it may be in the log: nobody knows
			}
		}
		cancel()
		_, _ = m.ClaimGroup(ctx, name, 0)
		_, _ = m.HoldLease(ctx, "role", 0, 1, time.Second)
		_, _ = o.Get(ctx, what, 0, 1)
		_ = o.Delete(ctx, []string{"gone/" + what})
		_ = m.SaveSnapshot(ctx, metastore.Snapshot{Position: at})
		_ = o.Check(ctx)
		time.Sleep(20 * time.Millisecond)
	}
}

// wires is a Network that knows what is cut.
type wires struct {
	mu     sync.Mutex
	cut    map[[2]string]bool
	resets int
	wrong  []string
}

func (w *wires) set(from, to string, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut[[2]string{from, to}] == cut {
		w.wrong = append(w.wrong, fmt.Sprintf("%s to %s is already cut=%v", from, to, cut))
	}
	w.cut[[2]string{from, to}] = cut
}

func (w *wires) Cut(from, to string)  { w.set(from, to, true) }
func (w *wires) Heal(from, to string) { w.set(from, to, false) }
func (w *wires) Reset(string, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resets++
}

func (w *wires) now() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var cut []string
	for route, is := range w.cut {
		if is {
			cut = append(cut, route[0]+">"+route[1])
		}
	}
	slices.Sort(cut)
	return cut
}

// TestPlansAreCarriedOutAndHealed runs whole plans against brokers that write, and holds what the stores promise whatever
// befalls their calls: what was answered is there, in one order, and each entry has its object.
func TestPlansAreCarriedOutAndHealed(t *testing.T) {
	hits, landed := map[Kind]int{}, map[Kind]int{}
	for seed := range uint64(25) {
		synctest.Test(t, func(t *testing.T) {
			net, recorder := &wires{cut: map[[2]string]bool{}}, history.NewRecorder(func() time.Duration { return 0 })
			b := newBench(t, Options{Seed: seed, Brokers: shape.Brokers, Network: net, Observer: Recorded(recorder)})
			w := startWriters(t, b, shape.Brokers)
			b.nemesis.opts.Cluster = w
			plan := draw(seed, shape)
			ctx, cancel := context.WithTimeout(t.Context(), shape.Duration)
			defer cancel()
			if err := b.nemesis.Run(ctx, plan); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			if took := time.Since(b.begun); took > shape.Duration {
				t.Errorf("seed %d: healed after %v", seed, took)
			}
			if cut := net.now(); len(cut) > 0 || len(net.wrong) > 0 || b.clock.Ahead() != 0 {
				t.Errorf("seed %d: cut %q, %q, clock ahead by %v", seed, cut, net.wrong, b.clock.Ahead())
			}
			if noted := recorder.History(0).Operations; len(noted) != len(plan) {
				t.Errorf("seed %d: %d faults noted of %d", seed, len(noted), len(plan))
			}
			told := w.acknowledged()
			time.Sleep(time.Second)
			for broker := range shape.Brokers {
				if err := w.Stop(t.Context(), broker); err != nil {
					t.Errorf("seed %d: stop broker %d: %v", seed, broker, err)
				}
			}
			if w.acknowledged() == told {
				t.Errorf("seed %d: nobody writes after it", seed)
			}
			w.verify(seed)
			for kind, n := range b.nemesis.Hits() {
				hits[kind] += n
			}
			for kind, n := range b.nemesis.Landed() {
				landed[kind] += n
			}
		})
	}
	for _, kind := range Kinds() {
		if hits[kind] == 0 {
			t.Errorf("%s befell nobody", kind)
		}
	}
	for _, kind := range []Kind{PutLate, DeleteLate, CommitLate, GroupWriteLate, UpkeepLate} {
		if landed[kind] == 0 {
			t.Errorf("no call that was %s landed", kind)
		}
	}
	t.Logf("hits %v, landed %v", hits, landed)
}

// verify reads log and bucket.
func (w *writers) verify(seed uint64) {
	ctx := context.Background()
	entries := must[[]metastore.Entry](w.t)(w.b.meta.Read(ctx, metastore.Position{}, 1<<30))
	seen, at := map[string]bool{}, metastore.Position{}
	for _, e := range entries {
		if next := at.Next(e.Payload); next.Position != e.Position {
			w.t.Fatalf("seed %d: the log is broken at %d", seed, e.Seq)
		}
		at = e.Position
		what := string(e.Payload)
		if seen[what] {
			w.t.Errorf("seed %d: %s is in the log twice", seed, what)
		}
		seen[what] = true
		if _, err := w.b.objects.Get(ctx, what, 0, 1); err != nil {
			w.t.Errorf("seed %d: %s: %v", seed, what, err)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(w.told)) {
		if !seen[what] {
			w.t.Errorf("seed %d: %s was acknowledged and is not in the log", seed, what)
		}
	}
}

func TestPausedBrokerDoesNothingUntilItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Brokers: 2, Cluster: &writers{}})
		m, _ := b.nemesis.Stores(0)
		others, _ := b.nemesis.Stores(1)
		ended := make(chan error, 1)
		go func() {
			ended <- b.nemesis.Run(t.Context(), []Fault{{Number: 1, Kind: LongPause, Begin: time.Second / 2, Length: 10 * time.Second, Brokers: []int{0}}})
		}()
		underWay := make(chan time.Duration, 1)
		go func() {
			if err := m.Wait(t.Context(), 0); err != nil { // for 1 s, if nothing happens
				t.Error(err)
			}
			underWay <- time.Since(b.begun)
		}()
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		before, next := entry(1)
		outcome := make(chan error, 1)
		go func() { outcome <- m.Append(ctx, before, next) }()
		synctest.Wait()
		if end, err := others.End(t.Context()); end != 0 || err != nil {
			t.Errorf("while it is paused: the log ends at %d, %v", end, err)
		}
		if err := <-outcome; !errors.Is(err, context.DeadlineExceeded) || time.Since(b.begun) != 10*time.Second+time.Second/2 {
			t.Errorf("a call with a deadline inside the pause: %v, after %v", err, time.Since(b.begun))
		}
		if at := <-underWay; at != 10*time.Second+time.Second/2 {
			t.Errorf("a call that was under way was answered after %v", at)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestCrashedBrokerIsNotHeardAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Brokers: 1})
		m, o := b.nemesis.Stores(0)
		w := &writers{b: b, lives: make([]*writer, 1), starts: make([]int, 1), told: map[string]bool{}}
		gone, leave := context.WithCancel(t.Context())
		w.lives[0] = &writer{"0.1", leave, make(chan struct{})}
		close(w.lives[0].done)
		b.nemesis.opts.Cluster = w
		ended := make(chan error, 1)
		go func() {
			ended <- b.nemesis.Run(t.Context(), []Fault{
				{Number: 1, Kind: CommitLate, Length: time.Second, Brokers: []int{0}, Delay: MostLate},
				{Number: 2, Kind: Crash, Begin: 2 * time.Second, Length: time.Second, Brokers: []int{0}},
			})
		}()
		synctest.Wait()
		before, next := entry(1)
		if err := m.Append(t.Context(), before, next); !errors.Is(err, ErrFault) {
			t.Error(err)
		}
		time.Sleep(1500 * time.Millisecond)
		waiting := make(chan error, 1)
		go func() { waiting <- m.Wait(t.Context(), 7) }()
		<-gone.Done()
		if err := o.Put(t.Context(), "a", nil); !errors.Is(err, ErrEnded) || b.objects.Len() != 0 {
			t.Errorf("a crashed broker puts %d objects: %v", b.objects.Len(), err)
		}
		if err := <-waiting; !errors.Is(err, ErrEnded) {
			t.Errorf("a crashed broker is told %v", err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if b.nemesis.Landed()[CommitLate] != 1 {
			t.Error("what it had sent before its crash did not land")
		}
		time.Sleep(time.Second)
		if err := w.Stop(t.Context(), 0); err != nil {
			t.Error(err)
		}
		if w.acknowledged() == 0 {
			t.Error("the broker does not write after its restart")
		}
	})
}

func TestRouteIsCutUntilTheLastOfItsFaultsIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := &wires{cut: map[[2]string]bool{}}
		b := newBench(t, Options{Brokers: 3, Network: net})
		ended := make(chan error, 1)
		a, c := BrokerParty(0), ClientParty(0)
		go func() {
			ended <- b.nemesis.Run(t.Context(), []Fault{
				{Number: 1, Kind: OneWay, Begin: 0, Length: 2 * time.Second, A: a, B: c},
				{Number: 2, Kind: Partition, Begin: time.Second, Length: 2 * time.Second, A: c, B: a},
				{Number: 3, Kind: Reset, Begin: 3500 * time.Millisecond, A: c, B: a},
				{Number: 4, Kind: PeersUnreachable, Begin: 4 * time.Second, Length: time.Second, Brokers: []int{1}},
			})
		}()
		for i, want := range [][]string{
			{"broker-0>client-0"},
			{"broker-0>client-0", "client-0>broker-0"},
			{"broker-0>client-0", "client-0>broker-0"},
			nil,
			{"broker-0>broker-1", "broker-1>broker-0", "broker-1>broker-2", "broker-2>broker-1"},
		} {
			time.Sleep(time.Duration(i)*time.Second + time.Second/2 - time.Since(b.begun))
			if cut := net.now(); !slices.Equal(cut, want) {
				t.Errorf("after %v: cut %q, want %q", time.Since(b.begun), cut, want)
			}
		}
		if err := <-ended; err != nil || net.resets != 1 || len(net.wrong) > 0 || len(net.now()) > 0 {
			t.Errorf("%v, %d resets, %q, cut %q", err, net.resets, net.wrong, net.now())
		}
	})
}

func TestFailuresToHealAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Brokers: 1})
		w := &writers{b: b, lives: make([]*writer, 1), starts: make([]int, 1), told: map[string]bool{}}
		b.nemesis.opts.Cluster = w // which runs nothing that could be stopped
		recorder := history.NewRecorder(func() time.Duration { return 0 })
		b.nemesis.opts.Observer = Recorded(recorder)
		err := b.nemesis.Run(t.Context(), []Fault{{Number: 1, Kind: Restart, Length: time.Second, Brokers: []int{0}}})
		noted := recorder.History(0).Operations
		if err == nil || len(noted) != 1 || noted[0].Outcome != history.Unknown || noted[0].Error == "" {
			t.Errorf("%v, noted %v", err, noted)
		}
		if err := w.Stop(t.Context(), 0); err != nil {
			t.Errorf("it was not started: %v", err)
		}
	})
}
