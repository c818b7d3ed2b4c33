package broker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/quota"
	"github.com/runnel-io/runnel/broker/wire"
)

// toll is what a request takes of its client's quotas. nil is that of a request whose client has none.
//
// As in Kafka since KIP-219, a client over its quota is answered at once, told how long to wait, and not read from for so
// long. Produce is paid for when it begins: others follow on the connection before its records are durable.
type toll struct {
	*Broker
	conn   *wire.Conn
	who    quota.Client
	strict bool // changes above the quota are errors

	waited time.Duration // of the time that the request took, not to be counted
	wait   time.Duration // that the client is to be told, as of the answer
	until  time.Time     // and that began with the request
}

type tollKey struct{}

// tollOf is the toll of the request that ctx is of.
func tollOf(ctx context.Context) *toll {
	t, _ := ctx.Value(tollKey{}).(*toll)
	return t
}

// requestCost is what a request counts as, beside the time of its handler: to read, decode, encode and send it.
const requestCost = 20 * time.Microsecond

// exempt are keys that do not count as requests: SASL, and what brokers send each other in Kafka.
var exempt = map[int16]bool{17: true, 27: true, 36: true}

// strictFrom are the versions from which on clients understand THROTTLING_QUOTA_EXCEEDED (KIP-599). Before, changes are made,
// and clients told to wait.
var strictFrom = map[int16]int16{19: 6, 20: 5, 37: 3}

// metered is the handler of an API under its clients' quotas.
func (b *Broker) metered(a *api) wire.Handler {
	return func(ctx context.Context, c *wire.Conn, req kmsg.Request) wire.Pending {
		if !b.Quotas.Any() {
			return a.handle(ctx, c, req)
		}
		t := &toll{Broker: b, conn: c, who: quotaClient(c)}
		if from, ok := strictFrom[a.key]; ok {
			t.strict = req.GetVersion() >= from
		}
		if a.key == 0 {
			t.produce()
		}
		begun := time.Now()
		pending := a.handle(context.WithValue(ctx, tollKey{}, t), c, req)
		busy := max(time.Since(begun)-t.waited, 0)
		return func(ctx context.Context) kmsg.Response {
			t.waited = 0
			begun := time.Now()
			resp := pending(context.WithValue(ctx, tollKey{}, t))
			if !a.waits {
				busy += max(time.Since(begun)-t.waited, 0)
			}
			if !exempt[a.key] {
				t.processing(busy)
			}
			t.tell(resp)
			return resp
		}
	}
}

// quotaClient is who sends, as quotas name clients.
func quotaClient(c *wire.Conn) quota.Client {
	_, name, _ := strings.Cut(c.Session().Principal, ":")
	return quota.Client{User: name, ID: c.ClientID()}
}

func (t *toll) produce() {
	now := t.Now()
	if wait := t.Quotas.Meter(quota.Produce, t.who, now).Record(float64(t.conn.RequestBytes()), now); wait > 0 {
		t.until = time.Now().Add(wait)
		t.conn.Mute(wait)
	}
}

// processing counts time of processors, of which a percent is ten milliseconds in a second.
func (t *toll) processing(busy time.Duration) {
	now := t.Now()
	percent := (busy + requestCost).Seconds() * 100
	t.wait = max(t.wait, t.Quotas.Meter(quota.Request, t.who, now).Record(percent, now))
}

// tell puts what the client is to wait into the answer, and mutes it.
func (t *toll) tell(resp kmsg.Response) {
	if t.wait > 0 {
		t.conn.Mute(t.wait)
	}
	wait := max(t.wait, time.Until(t.until))
	if wait <= 0 || resp == nil {
		return
	}
	if r, ok := resp.(kmsg.SetThrottleResponse); ok {
		if is, ok := resp.(kmsg.ThrottleResponse); ok {
			said, _ := is.Throttle()
			wait = max(wait, time.Duration(said)*time.Millisecond)
		}
		r.SetThrottle(int32((wait + time.Millisecond - 1) / time.Millisecond))
	}
}

// pause leaves out of the time that the request takes what passes until the function is called.
func (t *toll) pause() (resume func()) {
	if t == nil {
		return func() {}
	}
	begun := time.Now()
	return func() { t.waited += time.Since(begun) }
}

// room is how many bytes an answer to Fetch may have. False: none now, and the client is to be told to wait.
func (t *toll) room() (bytes int, ok bool) {
	const all = 1<<31 - 1
	if t == nil {
		return all, true
	}
	now := t.Now()
	m := t.Quotas.Meter(quota.Fetch, t.who, now)
	if !m.Limited() {
		return all, true
	}
	room, wait := m.Room(now)
	t.wait = max(t.wait, wait)
	return int(min(room, all)), wait == 0
}

// reserve counts bytes before they are read, so that other connections of the client do not take the same room.
func (t *toll) reserve(bytes int) {
	if t != nil {
		now := t.Now()
		t.Quotas.Meter(quota.Fetch, t.who, now).Reserve(float64(bytes), now)
	}
}

// fetch counts bytes of an answer to Fetch, beside those that were reserved.
func (t *toll) fetch(bytes int) {
	if t != nil {
		now := t.Now()
		t.wait = max(t.wait, t.Quotas.Meter(quota.Fetch, t.who, now).Record(float64(bytes), now))
	}
}

// change counts partitions that are created or deleted. It may be an error if there were too many of late.
func (t *toll) change(partitions int32) error {
	if t == nil {
		return nil
	}
	now := t.Now()
	wait, ok := t.Quotas.Meter(quota.Mutation, t.who, now).Take(float64(partitions), t.strict, now)
	t.wait = max(t.wait, wait)
	if !ok {
		return refuse(kerr.ThrottlingQuotaExceeded, fmt.Sprintf("The throttling quota has been exceeded: try again in %v", wait.Round(time.Millisecond)))
	}
	return nil
}
