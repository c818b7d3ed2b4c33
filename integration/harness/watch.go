package harness

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// soon is how long one operation of a test may take on a machine that is busy.
	soon = 2 * time.Minute
	// lastWords is how long a broker may take to say what its goroutines do.
	lastWords = 10 * time.Second
)

// Soon is the context of one operation of a test: it ends when that takes longer than any should, and when the test hangs. Unlike
// t.Context() it is there while the test cleans up.
func Soon(t testing.TB) context.Context {
	test := Watched(t)
	ctx, end := context.WithTimeout(test, soon)
	context.AfterFunc(test, end)
	return ctx
}

// Client makes a Kafka client. The test closes it; one that hangs has it closed, which ends what waits for it: records that have been
// sent once are waited for whatever becomes of the context.
func Client(t testing.TB, opts ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(opts...)
	if err == nil {
		watching(t).add(nil, client)
	}
	return client, err
}

// Watched ends with the test, after it has cleaned up, or when it hangs.
func Watched(t testing.TB) context.Context { return watching(t).ctx }

// watch sees to it that a test that waits for ever fails, and says for what: when two thirds of the time are over that its package had
// left when it began, it tells what the test's goroutines do and those of its brokers, which end with that, and ends everything
// that the test may wait for.
type watch struct {
	t     testing.TB
	limit time.Duration
	ctx   context.Context // Watched

	mu      sync.Mutex
	over    bool
	brokers []*Broker
	clients []*kgo.Client
}

var watches = struct {
	mu  sync.Mutex
	all map[testing.TB]*watch
}{all: make(map[testing.TB]*watch)}

// watching is the watch of a test, which begins with the first call.
func watching(t testing.TB) *watch {
	watches.mu.Lock()
	defer watches.mu.Unlock()
	if w, ok := watches.all[t]; ok {
		return w
	}
	ctx, end := context.WithCancel(context.Background())
	w := &watch{t: t, ctx: ctx}
	watches.all[t] = w
	timer := time.AfterFunc(time.Hour, func() { w.hangs(end) })
	if w.limit = patience(t); w.limit > 0 {
		timer.Reset(w.limit)
	} else {
		timer.Stop()
	}
	t.Cleanup(func() { // the first of the test's, so the last that runs
		timer.Stop()
		watches.mu.Lock()
		delete(watches.all, t)
		watches.mu.Unlock()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.over = true
		end()
	})
	return w
}

// patience is how long a test may take; 0: for ever, as there is no bound for its package either.
func patience(t testing.TB) time.Duration {
	bounded, ok := t.(interface{ Deadline() (time.Time, bool) })
	if !ok {
		return 0
	}
	deadline, ok := bounded.Deadline()
	if !ok {
		return 0
	}
	return max(time.Until(deadline)*2/3, time.Millisecond)
}

func (w *watch) add(b *Broker, c *kgo.Client) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b != nil {
		w.brokers = append(w.brokers, b)
	}
	if c != nil {
		w.clients = append(w.clients, c)
	}
}

// hangs is called when the time is over.
func (w *watch) hangs(end context.CancelFunc) {
	doing := Goroutines()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	w.t.Errorf("the test hangs: it has not ended after %v. Its brokers and clients are ended now, so what it says after this comes of that. "+
		"Goroutines of all tests that run:\n%s", w.limit.Round(time.Second), doing)
	for _, b := range w.brokers {
		if b.Running() {
			w.t.Logf("the broker at %s:\n%s", b.Addr, b.lastWords())
		}
	}
	end()
	for _, c := range w.clients {
		go c.Close()
	}
}

// Goroutines is what those of this process do that have to do with brokers or tests, of all tests that run.
func Goroutines() string {
	all := make([]byte, 64<<20)
	return stacks(string(all[:runtime.Stack(all, true)]))
}

// lastWords ends a broker and returns the end of its log and what its goroutines were doing.
func (b *Broker) lastWords() string {
	log := lastLines(b.log.Tail(), 60)
	b.log.Grow(16 << 20)
	_ = b.proc.Signal(syscall.SIGQUIT) // upon which the runtime of Go prints all goroutines
	_ = b.proc.Signal(syscall.SIGCONT) // if it is paused
	select {
	case <-b.proc.Exited():
	case <-time.After(lastWords):
		return fmt.Sprintf("%s\nit does not say what it does within %v", log, lastWords)
	}
	return log + "\n" + stacks(b.log.Tail())
}
