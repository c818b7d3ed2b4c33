package wire

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var plaintext = &Endpoint{Name: "PLAINTEXT", Protocol: "PLAINTEXT"}

// muteFor mutes with each Heartbeat of an even generation.
func muteFor(d time.Duration) func() Routes {
	return func() Routes { return muting(d) }
}

func muting(d time.Duration) Routes {
	return Routes{12: {Name: "Heartbeat", Max: 4, Handler: Blocking(func(_ context.Context, c *Conn, req kmsg.Request) kmsg.Response {
		if req.(*kmsg.HeartbeatRequest).Generation%2 == 0 {
			c.Mute(d)
		}
		return req.ResponseKind()
	})}}
}

func beat(generation int32) *kmsg.HeartbeatRequest {
	req := heartbeatRequest()
	req.Generation = generation
	return req
}

func TestMutedConnectionIsAnsweredAndThenNotRead(t *testing.T) {
	bothWays(t, func(t *testing.T, way func(Routes) Routes) {
		for name, tc := range map[string]struct{ mute, want time.Duration }{
			"a second":             {time.Second, time.Second},
			"longer than the most": {1000 * time.Hour, mostMuted},
			"nothing":              {0, 0},
			"less than nothing":    {-time.Second, 0},
		} {
			t.Run(name, func(t *testing.T) {
				virtually(t, plaintext, func() Routes { return way(muting(tc.mute)) }, Options{}, func(t *testing.T, _ *fixture, dial func() *client) {
					c, other := dial(), dial()
					start := time.Now()
					c.send(1, beat(0))
					c.receive()
					elapsed(t, start, 0)
					c.send(2, beat(1))
					other.send(1, beat(1)) // others are read
					other.receive()
					elapsed(t, start, 0)
					c.receive()
					elapsed(t, start, tc.want)
				})
			})
		}
	})
}

// A mute counts from the answer that is under way, and what was read before goes on.
func TestMuteLetsWhatWasReadGoOn(t *testing.T) {
	var h *held
	virtually(t, plaintext, func() Routes {
		h = newHeld()
		routes := muting(time.Second)
		routes[0] = h.produceRoute()
		return routes
	}, Options{}, func(t *testing.T, _ *fixture, dial func() *client) {
		c := dial()
		c.send(1, produceRequest(10))
		c.send(2, produceRequest(10))
		first, second := within(t, h.begun), within(t, h.begun)
		start := time.Now()
		first.conn.Mute(2 * time.Second)
		c.send(3, beat(1))
		time.Sleep(time.Minute)
		close(first.free)
		c.receive()
		close(second.free)
		c.receive()
		elapsed(t, start, time.Minute)
		c.receive()
		elapsed(t, start, time.Minute+2*time.Second)
	})
}

func TestMutedTimeIsNotIdle(t *testing.T) {
	virtually(t, plaintext, muteFor(30*time.Minute), Options{IdleTimeout: time.Minute}, func(t *testing.T, _ *fixture, dial func() *client) {
		c := dial()
		start := time.Now()
		c.send(1, beat(0))
		c.receive()
		c.expectClosed()
		elapsed(t, start, 31*time.Minute)
	})
}

func TestPeerThatLeavesWhileMutedIsNoticed(t *testing.T) {
	virtually(t, plaintext, muteFor(time.Hour), Options{IdleTimeout: time.Minute}, func(t *testing.T, f *fixture, dial func() *client) {
		c := dial()
		c.send(1, beat(0))
		c.receive()
		time.Sleep(2 * time.Minute) // the reader has looked whether the connection is idle
		must(t, c.Close())
		synctest.Wait()
		if n := f.srv.Connections(); n != 0 {
			t.Errorf("%d connections", n)
		}
	})
}

// A producer with acks=0 that is muted sends and leaves: its records are written, when its time has come.
func TestWhatWasSentToAMutedConnectionIsHandledLater(t *testing.T) {
	var h *held
	virtually(t, plaintext, func() Routes {
		h = newHeld()
		h.answer = func(kmsg.Request) kmsg.Response { return nil }
		routes := muting(time.Hour)
		routes[0] = h.produceRoute()
		return routes
	}, Options{}, func(t *testing.T, f *fixture, dial func() *client) {
		c := dial()
		start := time.Now()
		c.send(1, beat(0))
		c.receive()
		c.send(2, produceRequest(10))
		c.send(3, produceRequest(10))
		must(t, c.Close())
		for range 2 {
			close((<-h.begun).free)
		}
		elapsed(t, start, time.Hour)
		synctest.Wait()
		if n := f.srv.Connections(); n != 0 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestMutedConnectionTakesABufferOfBytesAndEndsAtShutdown(t *testing.T) {
	virtually(t, plaintext, muteFor(time.Hour), Options{}, func(t *testing.T, f *fixture, dial func() *client) {
		start := time.Now()
		for _, size := range []int{0, 100 << 10} {
			c := dial()
			c.send(1, beat(0))
			c.receive()
			written := make(chan int, 1)
			go func() {
				n, _ := c.Write(make([]byte, size))
				written <- n
			}()
			synctest.Wait()
			defer func() {
				if n := <-written; n > 8<<10 {
					t.Errorf("%d bytes were read of a muted connection", n)
				}
			}()
		}
		must(t, f.srv.Shutdown(context.Background()))
		elapsed(t, start, 0)
	})
}
