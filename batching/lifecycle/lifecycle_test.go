package lifecycle

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a broker as far as tasks go. The brokers that it knows to live are those of its crowd.
type node struct {
	self  metastore.Broker
	crowd *crowd
	life  *Lifecycle
	stop  func()
	store *reach
}

func (n *node) Self() metastore.Broker   { return n.self }
func (n *node) Live() []metastore.Broker { return n.crowd.list() }

// crowd is the brokers that live, by node id.
type crowd struct {
	mu   sync.Mutex
	live []metastore.Broker
}

func (c *crowd) list() []metastore.Broker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.live)
}

func (c *crowd) change(add []metastore.Broker, remove ...metastore.NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = append(c.live, add...)
	c.live = slices.DeleteFunc(c.live, func(b metastore.Broker) bool { return slices.Contains(remove, b.NodeID) })
	slices.SortFunc(c.live, func(a, b metastore.Broker) int { return int(a.NodeID - b.NodeID) })
}

// reach is a metastore that one broker may be cut off from: calls hang then.
type reach struct {
	metastore.Store
	cut atomic.Bool
}

func (r *reach) HoldLease(ctx context.Context, name string, holder metastore.NodeID, epoch int64, length time.Duration) (metastore.Lease, error) {
	if r.cut.Load() {
		<-ctx.Done()
		return metastore.Lease{}, ctx.Err()
	}
	return r.Store.HoldLease(ctx, name, holder, epoch, length)
}

func (r *reach) ReleaseLease(ctx context.Context, name string, holder metastore.NodeID, epoch int64) error {
	if r.cut.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return r.Store.ReleaseLease(ctx, name, holder, epoch)
}

// join starts a broker with tasks.
func join(t *testing.T, store metastore.Store, c *crowd, tasks []Task, opts Options) *node {
	t.Helper()
	self, err := store.RegisterBroker(t.Context(), metastore.Broker{NodeID: metastore.AnyNodeID, Host: rand.Text()}, 10000*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{self: self, crowd: c, store: &reach{Store: store}}
	c.change([]metastore.Broker{self})
	n.life = New(n.store, n, tasks, opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = n.life.Run(ctx)
	}()
	n.stop = func() { cancel(); <-done }
	t.Cleanup(n.stop)
	synctest.Wait()
	return n
}

func (n *node) held() string {
	var names []string
	for _, h := range n.life.Held() {
		names = append(names, h.Name)
	}
	return strings.Join(names, " ")
}

func always(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// work counts who is at it.
type work struct {
	now, most, rounds atomic.Int64
}

// task is one whose rounds take a while, unless their context ends.
func (w *work) task(name string, takes time.Duration) Task {
	return Task{Name: name, Every: always(time.Minute), Do: func(ctx context.Context) (bool, error) {
		w.most.Store(max(w.most.Load(), w.now.Add(1)))
		defer w.now.Add(-1)
		w.rounds.Add(1)
		if !sleep(ctx, takes) {
			return false, ctx.Err()
		}
		return false, nil
	}}
}

func TestTasksSpreadOverBrokersAndEachIsDoneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		works := make([]work, 4)
		var tasks []Task
		for i := range works {
			tasks = append(tasks, works[i].task(fmt.Sprint("t", i), 5*time.Second))
		}
		c := &crowd{}
		nodes := []*node{join(t, store, c, tasks, Options{})}
		time.Sleep(time.Minute)
		if got := nodes[0].held(); got != "t0 t1 t2 t3" {
			t.Fatalf("the only broker has %q", got)
		}
		for range 2 {
			nodes = append(nodes, join(t, store, c, tasks, Options{}))
		}
		time.Sleep(5 * time.Minute)
		for i, want := range []string{"t0 t3", "t1", "t2"} {
			if got := nodes[i].held(); got != want {
				t.Errorf("broker %d of 3 has %q, want %q", i, got, want)
			}
		}
		nodes[1].stop()
		c.change(nil, nodes[1].self.NodeID)
		time.Sleep(5 * time.Minute)
		for i, want := range []string{"t0 t2", "", "t1 t3"} {
			if got := nodes[i].held(); got != want {
				t.Errorf("broker %d has %q once one of 3 stopped, want %q", i, got, want)
			}
		}
		for i := range works {
			if works[i].most.Load() != 1 || works[i].rounds.Load() < 5 {
				t.Errorf("task %d: %d at a time, %d rounds in 11 minutes", i, works[i].most.Load(), works[i].rounds.Load())
			}
		}
	})
}

// An older version of the software, or one whose calls get lost, counts as live and asks for nothing.
func TestTasksOfABrokerThatDoesNotDoThemAreDoneByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		var w work
		c := &crowd{}
		idle := join(t, store, c, []Task{{Name: "t"}}, Options{})
		n := join(t, store, c, []Task{w.task("t", time.Second)}, Options{})
		if n.mine(0) || idle.self.NodeID >= n.self.NodeID {
			t.Fatal("the task belongs to the broker that does it")
		}
		time.Sleep(time.Hour)
		if got := w.rounds.Load(); got < 30 {
			t.Errorf("%d rounds in an hour", got)
		}
	})
}

func (n *node) mine(task int) bool { return n.life.tasks[task].mine() }

func TestARoundEndsBeforeAnotherBrokerMayBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		var w work
		tasks := []Task{w.task("t", 24*time.Hour)}
		c := &crowd{}
		first, second := join(t, store, c, tasks, Options{}), join(t, store, c, tasks, Options{})
		time.Sleep(5 * time.Minute)
		if first.held() != "t" || w.now.Load() != 1 || w.rounds.Load() != 1 {
			t.Fatalf("the task is held by %q, %d rounds go on of %d", first.held(), w.now.Load(), w.rounds.Load())
		}
		first.store.cut.Store(true)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if going := w.now.Load(); first.held() != "" || going > 0 && second.held() == "" {
			t.Fatalf("%d rounds go on although nobody may have the lease", going)
		}
		c.change(nil, first.self.NodeID)
		time.Sleep(time.Minute)
		if second.held() != "t" || w.now.Load() != 1 {
			t.Fatal("the other broker did not go on")
		}
		first.store.cut.Store(false)
		c.change([]metastore.Broker{first.self})
		time.Sleep(10 * time.Minute)
		if second.held() != "t" || w.now.Load() != 1 || w.most.Load() != 1 || w.rounds.Load() != 2 {
			t.Errorf("a round was cut because a broker came back: %d rounds, %d at a time", w.rounds.Load(), w.most.Load())
		}
	})
}

func TestABrokerThatStopsGivesItsTasksBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		var w work
		tasks := []Task{w.task("t", 24*time.Hour)}
		c := &crowd{}
		first, second := join(t, store, c, tasks, Options{}), join(t, store, c, tasks, Options{})
		time.Sleep(time.Minute)
		begun := time.Now()
		first.stop()
		if took := time.Since(begun); took > 0 || w.now.Load() != 0 {
			t.Fatalf("it took %v to stop, %d rounds go on", took, w.now.Load())
		}
		lease, err := store.HoldLease(t.Context(), "t", second.self.NodeID, second.self.Epoch, time.Second)
		if err != nil || !lease.HeldBy(second.self.NodeID, second.self.Epoch) {
			t.Errorf("the lease is not free: %+v, %v", lease, err)
		}
	})
}

// moments are when rounds began, since begun.
type moments struct {
	mu    sync.Mutex
	begun time.Time
	at    []time.Duration
}

func (m *moments) note() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = append(m.at, time.Since(m.begun))
	return len(m.at)
}

func (m *moments) list() []time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.at)
}

func TestRoundsFollowAtOnceWhileThereIsMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		m := moments{begun: time.Now()}
		var every atomic.Int64
		every.Store(int64(time.Hour))
		join(t, store, &crowd{}, []Task{{Name: "t", Every: func() time.Duration { return time.Duration(every.Load()) }, Do: func(context.Context) (bool, error) {
			return m.note() < 3, nil
		}}}, Options{})
		time.Sleep(time.Minute)
		every.Store(int64(time.Minute))
		time.Sleep(time.Hour + time.Minute)
		want := []time.Duration{10 * time.Second, 10*time.Second + 20*time.Millisecond, 10*time.Second + 40*time.Millisecond}
		synctest.Wait()
		at := m.list()
		if len(at) < 5 || !slices.Equal(at[:3], want) || at[3] != want[2]+time.Hour || at[4] != want[2]+time.Hour+time.Minute {
			t.Errorf("rounds at %v", at)
		}
	})
}

func gauge(t *testing.T, g prometheus.Gauge) float64 {
	t.Helper()
	var m dto.Metric
	if err := g.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetGauge().GetValue()
}

func TestFailuresAreRepeatedEverLessOftenAndToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		m := moments{begun: time.Now()}
		var mended atomic.Bool
		var log bytes.Buffer
		reg := prometheus.NewRegistry()
		n := join(t, store, &crowd{}, []Task{{Name: "t", Every: always(time.Second), Do: func(context.Context) (bool, error) {
			m.note()
			if mended.Load() {
				return false, nil
			}
			return true, errors.New("cannot")
		}}}, Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Registerer: reg})
		time.Sleep(time.Hour)
		synctest.Wait()
		at := m.list()
		for i := range at[1:] {
			pause, want := at[i+1]-at[i], min(time.Second<<i, 5*time.Minute)
			if i > 8 {
				want = 5 * time.Minute
			}
			if pause != want {
				t.Errorf("pause %v after failure %d, want %v", pause, i+1, want)
			}
		}
		if got := gauge(t, n.life.tasks[0].metrics.failing); got != float64(len(at)) || got < 15 {
			t.Errorf("%v failures in a row of %d rounds", got, len(at))
		}
		mended.Store(true)
		time.Sleep(6 * time.Minute)
		n.stop()
		told := log.String()
		if strings.Count(told, "level=WARN") != 1 || strings.Count(told, "works again") != 1 {
			t.Error(told)
		}
		if got := gauge(t, n.life.tasks[0].metrics.failing); got != 0 {
			t.Errorf("%v failures in a row after it worked", got)
		}
	})
}
