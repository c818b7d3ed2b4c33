package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// shelf lends bytes of an object whose n-th byte is n.
type shelf struct {
	full    bool
	err     error
	slow    bool
	short   bool
	out     atomic.Int64 // bytes lent and not given back
	answers atomic.Int64
	proceed chan struct{} // a slow one waits for it
}

func (s *shelf) Admit(length int64) (func(), bool) {
	if s.full {
		return nil, false
	}
	s.out.Add(length)
	return func() { s.out.Add(-length) }, true
}

func (s *shelf) Lend(ctx context.Context, key string, objectSize, offset, length int64, working func()) ([][]byte, error) {
	s.answers.Add(1)
	if s.slow {
		working()
		select {
		case <-s.proceed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if s.err != nil {
		return nil, s.err
	}
	if key != "a/b c&d" || objectSize != 1000 {
		return nil, fmt.Errorf("unexpected object %q of %d bytes", key, objectSize)
	}
	if s.short {
		length--
	}
	var parts [][]byte
	for i := range length {
		parts = append(parts, []byte{byte(offset + i)})
	}
	return parts, nil
}

func lendBlocks(t *testing.T, s *shelf) (ask func(dst [][]byte, working func()) (bool, error)) {
	t.Helper()
	address := serveBlocks(t, shared(t), &backend{}, s)
	client := newClient(t, shared(t), "one")
	return func(dst [][]byte, working func()) (bool, error) {
		return client.Block(t.Context(), address, "a/b c&d", 1000, 100, dst, working)
	}
}

func never() { panic("the broker said that it takes a while") }

func TestBlocksAreLent(t *testing.T) {
	s := &shelf{}
	ask := lendBlocks(t, s)
	dst := [][]byte{make([]byte, 10), make([]byte, 5)}
	for range 3 {
		if _, err := ask(dst, never); err != nil {
			t.Fatal(err)
		}
		if got, want := bytes.Join(dst, nil), []byte{100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114}; !bytes.Equal(got, want) {
			t.Fatalf("got %v", got)
		}
	}
	eventuallyZero(t, &s.out)
}

// eventuallyZero waits until the server has returned from handlers whose answers were read already.
func eventuallyZero(t *testing.T, n *atomic.Int64) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); n.Load() != 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes were not given back", n.Load())
		}
	}
}

func TestABrokerThatLoadsABlockSaysSo(t *testing.T) {
	s := &shelf{slow: true, proceed: make(chan struct{})}
	ask := lendBlocks(t, s)
	said := 0
	_, err := ask([][]byte{make([]byte, 10)}, func() {
		said++
		close(s.proceed) // the answer waits for it
	})
	if err != nil || said != 1 {
		t.Errorf("said %d times that it loads: %v", said, err)
	}
	s.proceed, s.err = make(chan struct{}), errors.New("the bucket is away")
	well, err := ask([][]byte{make([]byte, 10)}, func() { close(s.proceed) })
	if !well || !errors.Is(err, ErrRefused) {
		t.Errorf("a load that failed: %v, %v", well, err)
	}
}

func TestWhatIsNotLent(t *testing.T) {
	for name, tc := range map[string]struct {
		shelf *shelf
		well  bool
	}{
		"full":              {&shelf{full: true}, true},
		"cannot load":       {&shelf{err: errors.New("the bucket is away")}, true},
		"answers too short": {&shelf{short: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			ask := lendBlocks(t, tc.shelf)
			well, err := ask([][]byte{make([]byte, 10)}, never)
			if err == nil || well != tc.well {
				t.Errorf("%v, well %v", err, well)
			}
			eventuallyZero(t, &tc.shelf.out)
		})
	}
	client := newClient(t, shared(t), "one")
	if well, err := client.Block(t.Context(), serve(t, shared(t), &backend{}), "k", 10, 0, [][]byte{make([]byte, 10)}, never); err == nil || well {
		t.Errorf("a broker without blocks: %v, well %v", err, well)
	}
	stranger := newClient(t, shared(t), "two")
	s := &shelf{}
	if well, err := stranger.Block(t.Context(), serveBlocks(t, shared(t), &backend{}, s), "k", 10, 0, [][]byte{make([]byte, 10)}, never); err == nil || well || s.answers.Load() != 0 {
		t.Errorf("a broker of another cluster: %v, well %v", err, well)
	}
}

// TestAnAnswerOfAnotherLengthIsNotTaken has a server that gives more than it was asked for.
func TestAnAnswerOfAnotherLengthIsNotTaken(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	generous := &http.Server{TLSConfig: shared(t).server.Clone(), Protocols: http1(), ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 11)) })}
	served := make(chan error, 1)
	go func() { served <- generous.ServeTLS(ln, "", "") }()
	defer func() {
		_ = generous.Close()
		<-served
	}()
	well, err := newClient(t, shared(t), "one").Block(t.Context(), ln.Addr().String(), "k", 100, 0, [][]byte{make([]byte, 10)}, never)
	if err == nil || well {
		t.Errorf("11 bytes are taken for 10: %v, well %v", err, well)
	}
}

func TestQueriesThatNameNoBlockAreRefused(t *testing.T) {
	s := &shelf{}
	address := serveBlocks(t, shared(t), &backend{}, s)
	client := newClient(t, shared(t), "one")
	for _, query := range []string{
		"", "?key=k", "?key=k&size=x&offset=0&length=1", "?key=&size=10&offset=0&length=1", "?key=k&size=10&offset=-1&length=1",
		"?key=k&size=10&offset=0&length=0", "?key=k&size=10&offset=0&length=11", "?key=k&size=10&offset=5&length=6",
		"?key=k&size=9223372036854775807&offset=0&length=9223372036854775807", "?key=k&size=-1&offset=0&length=9223372036854775807",
		"?key=k&size=9223372036854775807&offset=0&length=16777217", "?key=k&size=-9223372036854775808&offset=0&length=1",
	} {
		res, err := client.send(t.Context(), http.MethodGet, address, blockPath+query, nil)
		if err == nil {
			res.Body.Close()
		}
		if err == nil || errors.Is(err, errNotNow) {
			t.Errorf("%q: %v", query, err)
		}
	}
	if s.answers.Load() != 0 {
		t.Error("a query without a block came through")
	}
}

func TestABlockInFlightIsLentWhenTheServerStops(t *testing.T) {
	s := &shelf{slow: true, proceed: make(chan struct{})}
	address, stop := serveUntil(t, shared(t), &backend{}, s)
	client := newClient(t, shared(t), "one")
	_, err := client.Block(t.Context(), address, "a/b c&d", 1000, 0, [][]byte{make([]byte, 10)}, func() {
		stop()
		close(s.proceed)
	})
	if err != nil {
		t.Error(err)
	}
}
