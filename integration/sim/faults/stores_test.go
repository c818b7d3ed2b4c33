package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	meta "github.com/runnel-io/runnel/metastore/fault"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore"
	object "github.com/runnel-io/runnel/objstore/fault"
	objectmemory "github.com/runnel-io/runnel/objstore/memory"
)

// bench is two stores, on which each test does what it wants.
type bench struct {
	meta    *metamemory.Store
	objects *objectmemory.Store
	clock   Clock
	nemesis *Nemesis
	begun   time.Time
}

func newBench(t *testing.T, opts Options) *bench {
	b := &bench{objects: objectmemory.New(), begun: time.Now()}
	b.meta = metamemory.New(metamemory.Options{Now: b.clock.Now})
	t.Cleanup(func() { _ = b.meta.Close() })
	opts.Stores, opts.Clock = Shared{b.meta, b.objects}, &b.clock
	b.nemesis = New(opts)
	return b
}

// step is a call with an effect that others see.
type step struct {
	do   func(ctx context.Context, m *meta.Store, o *object.Store, n int) error // the n-th, from 1
	done func(t *testing.T, b *bench) int                                       // how many took effect
	// before, if set, is what has to be there.
	before func(t *testing.T, b *bench)
}

func key(n int) string { return fmt.Sprintf("k/%d", n) }

// doomed is how many objects are there to be deleted.
const doomed = 5

func doomedKey(n int) string { return fmt.Sprintf("d/%d", n) }

// count is how many objects have a prefix.
func (b *bench) count(t *testing.T, prefix string) (n int) {
	t.Helper()
	for _, err := range b.objects.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func data(n int) [][]byte { return [][]byte{fmt.Appendf(nil, "object %d", n)} }

// entry is the n-th of a log.
func entry(n int) (before metastore.Position, next metastore.Entry) {
	for i := 1; ; i++ {
		next = before.Next(fmt.Appendf(nil, "entry %d", i))
		if i == n {
			return before, next
		}
		before = next.Position
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var (
	putting = step{
		do: func(ctx context.Context, _ *meta.Store, o *object.Store, n int) error {
			return o.Put(ctx, key(n), data(n))
		},
		done: func(t *testing.T, b *bench) int { return b.count(t, "k/") },
	}
	deleting = step{
		do: func(ctx context.Context, _ *meta.Store, o *object.Store, n int) error {
			return o.Delete(ctx, []string{doomedKey(n)})
		},
		done: func(t *testing.T, b *bench) int { return doomed - b.count(t, "d/") },
		before: func(t *testing.T, b *bench) {
			for n := 1; n <= doomed; n++ {
				if err := b.objects.Put(t.Context(), doomedKey(n), data(n)); err != nil {
					t.Fatal(err)
				}
			}
		},
	}
	appending = step{
		do: func(ctx context.Context, m *meta.Store, _ *object.Store, n int) error {
			before, next := entry(n)
			return m.Append(ctx, before, next)
		},
		done: func(t *testing.T, b *bench) int { return int(must[metastore.Seq](t)(b.meta.End(context.Background()))) },
	}
	appendingWith = step{
		do: func(ctx context.Context, m *meta.Store, _ *object.Store, n int) error {
			before, next := entry(n)
			return m.AppendWith(ctx, before, next, metastore.GroupChanges{})
		},
		done: appending.done,
	}
	claiming = step{
		do: func(ctx context.Context, m *meta.Store, _ *object.Store, n int) error {
			_, err := m.ClaimGroup(ctx, key(n), 0)
			return err
		},
		done: func(t *testing.T, b *bench) int {
			return len(must[[]metastore.GroupRecord](t)(b.meta.ListGroups(context.Background())))
		},
	}
	registering = step{
		do: func(ctx context.Context, m *meta.Store, _ *object.Store, n int) error {
			_, err := m.RegisterBroker(ctx, metastore.Broker{NodeID: metastore.NodeID(n)}, time.Hour)
			return err
		},
		done: func(t *testing.T, b *bench) int {
			return len(must[[]metastore.Broker](t)(b.meta.LiveBrokers(context.Background())))
		},
	}
	snapping = step{
		do: func(ctx context.Context, m *meta.Store, _ *object.Store, _ int) error {
			return m.SaveSnapshot(ctx, metastore.Snapshot{State: []byte("empty")})
		},
		done: func(_ *testing.T, b *bench) int {
			if _, err := b.meta.LatestSnapshot(context.Background()); err != nil {
				return 0
			}
			return 1
		},
	}
	reading = step{do: func(ctx context.Context, m *meta.Store, _ *object.Store, _ int) error {
		_, err := m.End(ctx)
		return err
	}}
	getting = step{do: func(ctx context.Context, _ *meta.Store, o *object.Store, _ int) error {
		for _, err := range o.List(ctx, "", "") {
			return err
		}
		return nil
	}}
)

// TestFaultsOfCallsDoWhatTheySay tries every kind, on a broker that it befalls and on one that it does not.
func TestFaultsOfCallsDoWhatTheySay(t *testing.T) {
	checking := step{do: func(ctx context.Context, _ *meta.Store, o *object.Store, _ int) error { return o.Check(ctx) }}
	tried := map[Kind]bool{}
	for _, c := range []struct {
		kind  Kind
		want  effect
		steps []step
	}{
		{MetastoreUnreachable, unreachable, []step{appending, reading, claiming, registering, snapping}},
		{BucketUnreachable, unreachable, []step{putting, getting, checking}},
		{PutLost, lost, []step{putting}},
		{PutUnanswered, unanswered, []step{putting}},
		{PutLate, late, []step{putting}},
		{PutSlow, slow, []step{putting}},
		{GetFails, lost, []step{getting}},
		{GetBroken, unanswered, []step{getting}},
		{GetSlow, slow, []step{getting}},
		{SlowDown, lost, []step{putting, getting, checking, deleting}},
		{DeleteLost, lost, []step{deleting}},
		{DeleteUnanswered, unanswered, []step{deleting}},
		{DeleteLate, late, []step{deleting}},
		{CommitLost, lost, []step{appending, appendingWith}},
		{CommitUnanswered, unanswered, []step{appending, appendingWith}},
		{CommitLate, late, []step{appending, appendingWith}},
		{CommitSlow, slow, []step{appending, appendingWith}},
		{GroupWriteLost, lost, []step{claiming}},
		{GroupWriteUnanswered, unanswered, []step{claiming}},
		{GroupWriteLate, late, []step{claiming}},
		{GroupWriteSlow, slow, []step{claiming}},
		{LeaseLost, lost, []step{registering}},
		{LeaseUnanswered, unanswered, []step{registering}},
		{UpkeepLost, lost, []step{snapping}},
		{UpkeepUnanswered, unanswered, []step{snapping}},
		{UpkeepLate, late, []step{snapping}},
		{LookFails, lost, []step{reading}},
		{LookSlow, slow, []step{reading}},
	} {
		tried[c.kind] = true
		for i, s := range c.steps {
			for _, hang := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/hang=%v", c.kind, i, hang), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { try(t, Fault{Number: 1, Kind: c.kind, Hang: hang}, c.want, s) })
				})
			}
		}
	}
	for kind := range fates {
		if !tried[kind] {
			t.Errorf("%s is not tried", kind)
		}
	}
}

func try(t *testing.T, f Fault, e effect, s step) {
	b := newBench(t, Options{Brokers: 2})
	if s.before != nil {
		s.before(t, b)
	}
	m, o := b.nemesis.Stores(0)
	others, otherObjects := b.nemesis.Stores(1)
	f.Begin, f.Length, f.Brokers, f.OneOf, f.Delay = time.Second, 10*time.Second, []int{0}, 1, measures[f.Kind].delay
	ended := make(chan error, 1)
	begun := time.Now()
	go func() { ended <- b.nemesis.Run(t.Context(), []Fault{f}) }()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()

	time.Sleep(2 * time.Second)
	err := s.do(ctx, m, o, 1)
	took := time.Since(begun) - 2*time.Second
	effects := 0
	if s.done != nil {
		effects = s.done(t, b)
	}
	switch e {
	case slow:
		if err == nil && took < leastDelay || err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("answered %v after %v", err, took)
		}
		if s.done != nil && (effects == 1) != (err == nil) {
			t.Errorf("answered %v, %d effects", err, effects)
		}
	default:
		want, wait := ErrFault, time.Duration(0)
		if f.Hang {
			want, wait = context.DeadlineExceeded, 3*time.Second
		}
		if !errors.Is(err, want) || took != wait {
			t.Errorf("answered %v after %v, want %v after %v", err, took, want, wait)
		}
	}
	if e == unanswered && s.done != nil && effects != 1 {
		t.Errorf("%d effects", effects)
	}
	if (e == lost || e == unreachable) && effects != 0 {
		t.Errorf("%d effects", effects)
	}
	if e != slow && e != late { // what may land meanwhile is this call
		n := 1 + effects
		if err := s.do(t.Context(), others, otherObjects, n); err != nil {
			t.Errorf("a broker that it does not befall: %v", err)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if e == late {
		if got := s.done(t, b); got != 1 || b.nemesis.Landed()[f.Kind] != 1 {
			t.Errorf("%d effects in the end, %v landed", got, b.nemesis.Landed())
		}
		if e, w := time.Since(begun), f.End()+MostLate; e > w {
			t.Errorf("landed after %v, at most %v", e, w)
		}
	}
	if hits := b.nemesis.Hits(); hits[f.Kind] != 1 || len(hits) != 1 {
		t.Errorf("hits %v", hits)
	}
	n := 1
	if s.done != nil {
		n += s.done(t, b)
	}
	if err := s.do(t.Context(), m, o, n); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// TestAnswerUnderWayIsLostWhenAStoreCannotBeReachedAnyMore: a call that took effect before the fault began is a lost answer.
func TestAnswerUnderWayIsLostWhenAStoreCannotBeReachedAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Brokers: 1})
		m, _ := b.nemesis.Stores(0)
		ended := make(chan error, 1)
		go func() {
			ended <- b.nemesis.Run(t.Context(), []Fault{{Number: 1, Kind: MetastoreUnreachable, Begin: 500 * time.Millisecond, Length: 10 * time.Second, Brokers: []int{0}}})
		}()
		if err := m.Wait(t.Context(), 0); !errors.Is(err, ErrFault) { // 1 s
			t.Errorf("answered %v", err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestOneOfSoManyCallsIsBefallen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failures := func(seed uint64) (at []int) {
			b := newBench(t, Options{Seed: seed, Brokers: 1})
			m, _ := b.nemesis.Stores(0)
			ended := make(chan error, 1)
			go func() {
				ended <- b.nemesis.Run(t.Context(), []Fault{{Number: 1, Kind: LookFails, Length: time.Second, Brokers: []int{0}, OneOf: 5}})
			}()
			synctest.Wait()
			for i := range 1000 {
				if _, err := m.End(t.Context()); err != nil {
					at = append(at, i)
				}
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			return at
		}
		first := failures(1)
		if len(first) < 150 || len(first) > 250 {
			t.Errorf("%d of 1000 calls failed", len(first))
		}
		if !slices.Equal(first, failures(1)) || slices.Equal(first, failures(2)) {
			t.Error("which calls fail does not follow from the seed")
		}
	})
}

// TestLateAppendLosesAgainstAnother: it names the end that it follows.
func TestLateAppendLosesAgainstAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Brokers: 2})
		m, _ := b.nemesis.Stores(0)
		others, _ := b.nemesis.Stores(1)
		ended := make(chan error, 1)
		go func() {
			ended <- b.nemesis.Run(t.Context(), []Fault{{Number: 1, Kind: CommitLate, Length: time.Second, Brokers: []int{0}, Delay: MostLate}})
		}()
		synctest.Wait()
		before, next := entry(1)
		if err := m.Append(t.Context(), before, next); !errors.Is(err, ErrFault) {
			t.Fatal(err)
		}
		if err := others.Append(t.Context(), before, before.Next([]byte("another"))); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if landed := b.nemesis.Landed(); len(landed) > 0 {
			t.Errorf("landed: %v", landed)
		}
	})
}

func TestHealingEndsFaultsAndLetsLateCallsLand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Brokers: 1})
		_, o := b.nemesis.Stores(0)
		ctx, heal := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- b.nemesis.Run(ctx, []Fault{
				{Number: 1, Kind: PutLate, Length: time.Hour, Brokers: []int{0}, Delay: time.Hour},
				{Number: 2, Kind: GetFails, Begin: time.Hour, Length: time.Hour, Brokers: []int{0}},
			})
		}()
		synctest.Wait()
		for n := range 10 {
			if err := o.Put(t.Context(), key(n), data(n)); !errors.Is(err, ErrFault) {
				t.Fatal(err)
			}
		}
		begun := time.Now()
		heal()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if b.objects.Len() != 10 || time.Since(begun) != 0 {
			t.Errorf("%d objects %v later", b.objects.Len(), time.Since(begun))
		}
		if err := o.Put(t.Context(), key(0), nil); !errors.Is(err, objstore.ErrExists) {
			t.Errorf("after healing: %v", err)
		}
	})
}

func TestClockJumpsThereAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Brokers: 1})
		m, _ := b.nemesis.Stores(0)
		ctx := t.Context()
		if _, err := m.RegisterBroker(ctx, metastore.Broker{NodeID: 1}, time.Minute); err != nil {
			t.Fatal(err)
		}
		live := func() int { return len(must[[]metastore.Broker](t)(m.LiveBrokers(ctx))) }
		ahead := func() time.Duration { return time.Until(must[time.Time](t)(m.Clock(ctx))) }
		ended := make(chan error, 1)
		go func() {
			ended <- b.nemesis.Run(ctx, []Fault{
				{Number: 1, Kind: ClockJump, Begin: time.Second, Length: time.Second, Jump: 2 * time.Minute},
				{Number: 2, Kind: ClockJump, Begin: 3 * time.Second, Length: time.Second, Jump: -time.Minute},
			})
		}()
		for i, want := range []struct {
			ahead time.Duration
			live  int
		}{{0, 1}, {2 * time.Minute, 0}, {0, 1}, {-time.Minute, 1}, {0, 1}} {
			time.Sleep(time.Duration(i)*time.Second + time.Second/2 - time.Since(b.begun))
			if ahead() != want.ahead || live() != want.live {
				t.Errorf("after %v: %v ahead, %d with a lease", time.Since(b.begun), ahead(), live())
			}
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestFaultThatCannotBeCarriedOutIsAnError(t *testing.T) {
	for _, f := range []Fault{
		{Kind: "no-such-kind"},
		{Kind: Crash, Brokers: []int{0}},
		{Kind: Partition, A: BrokerParty(0), B: ClientParty(0)},
		{Kind: PeersUnreachable, Brokers: []int{0}},
		{Kind: ClockJump, Jump: time.Second},
		{Kind: PutLost, Brokers: []int{0, 7}},
	} {
		if err := New(Options{Brokers: 1}).Run(t.Context(), []Fault{f}); err == nil {
			t.Errorf("%s: no error", &f)
		}
	}
}
