package wire

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Order says how requests of one API key relate to the others of their connection.
//
// Kafka handles the requests of a connection one at a time, and clients rely on what follows from it: an OffsetFetch
// sees the OffsetCommit pipelined before it. But one at a time makes a pipelining producer wait out every upload. The
// rule here keeps the effects and overlaps only what may overlap:
//
//   - Frames are read and decoded while earlier requests wait, up to the limits of the connection.
//   - A Serial request begins when every request before it has been answered, and whatever follows it begins when
//     it has been answered itself.
//   - An Overlapping request begins as soon as the one before it has begun, if that was Overlapping too. Begins are one
//     at a time and in arrival order; only the waits overlap. So produce requests append in the order in which they
//     arrived and share uploads.
//   - Answers leave in the order of the requests, whatever finishes first.
type Order uint8

const (
	// Serial is the order of every request that is not Overlapping.
	Serial Order = iota
	// Overlapping is for Produce.
	Overlapping
)

// Pending waits for the answer to a request. Its ctx ends when the peer goes away or the server stops; the result is
// then not sent. A nil response means that none is sent (acks=0). The connection's accounts (bytes, the Budget) hold
// the request until Pending returns, so one that answers nothing should still wait until its bytes are let go.
type Pending func(ctx context.Context) kmsg.Response

// Handler begins a request. It is called in arrival order, one call at a time per connection, and may start work whose
// order matters; it should not wait for anything but back-pressure. Its ctx outlives the peer (a producer with acks=0
// sends and leaves) and ends when the server stops. req and the byte slices in it belong to the handler; the slices
// share the memory of the frame. (Unless the Route Borrows.) A panic in a Handler or a Pending closes the connection.
type Handler func(ctx context.Context, c *Conn, req kmsg.Request) Pending

// Ready is a Pending whose answer is there.
func Ready(resp kmsg.Response) Pending {
	return func(context.Context) kmsg.Response { return resp }
}

// Blocking makes a Handler of a function that does all its work while waiting. For Serial routes.
func Blocking(answer func(ctx context.Context, c *Conn, req kmsg.Request) kmsg.Response) Handler {
	return func(_ context.Context, c *Conn, req kmsg.Request) Pending {
		return func(ctx context.Context) kmsg.Response { return answer(ctx, c, req) }
	}
}

// Route is how the requests of one API key are served. Requests of a version outside Min..Max close the connection,
// except for ApiVersions (key 18), which is answered as KIP-511 has it.
type Route struct {
	Name     string // of the API, for logs and metrics
	Min, Max int16  // versions
	Handler  Handler
	Order    Order
	Budgeted bool // frames take from the Budget before their body is read
	// Borrows says that the Handler keeps nothing of the request once it has returned: the frame's memory is then used
	// for another. Its Pending must not look at the request either.
	Borrows bool
	// Prompt says that the answer is there at once, but for rare and short waits. If nothing else of its connection is in
	// flight, the goroutine that read the request answers it; only then does it read on, or learn that the peer is gone.
	// Its Order is Serial.
	Prompt bool
	// Unauthenticated says that peers may ask before they are known, and when their session has ended. Its Order is Serial.
	Unauthenticated bool
}

// Routes maps API keys to routes. It is not changed once a Server has it.
type Routes map[int16]Route

// Segmented is a response that encodes itself as a list of slices, so that record bytes go to the socket from where
// they lie (writev).
type Segmented interface {
	kmsg.Response
	// AppendSegments appends the body of the response, without any header, at the version set. The slices must not
	// change until the connection has written them, which is before its next Serial request begins.
	AppendSegments(dst [][]byte) [][]byte
}

// Releaser is a response that refers to memory which it gives back. The connection calls Release once, when the response
// has been sent or will not be.
type Releaser interface {
	kmsg.Response
	Release()
}
