package main

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/runnel-io/runnel/integration/slows3"
	"github.com/runnel-io/runnel/integration/tcpproxy"
)

// distance is the median of a small PUT to S3 Standard.
var distance = slows3.Standard.Put.P50

// openFarAway makes a way to a server on which every answer takes the same time, and none holds up another.
func openFarAway(ctx context.Context, to func() string, delay time.Duration) (*tcpproxy.Proxy, error) {
	return tcpproxy.Open(ctx, to, func(client, server net.Conn) {
		tcpproxy.Both(client, server,
			func() { _, _ = io.Copy(server, client) },
			func() { answerLate(client, server, delay) })
	})
}

// arrival is what came at once, and when it is to arrive.
type arrival struct {
	bytes []byte
	due   time.Time
}

// answerLate passes answers on in order, each so much later than it came.
func answerLate(client, server net.Conn, delay time.Duration) {
	under := make(chan arrival, 1024)
	var sending sync.WaitGroup
	sending.Go(func() {
		for a := range under {
			time.Sleep(time.Until(a.due))
			if _, err := client.Write(a.bytes); err != nil {
				_ = server.Close() // the reader below ends, and what is left is dropped
			}
		}
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if n > 0 {
			under <- arrival{append([]byte(nil), buf[:n]...), time.Now().Add(delay)}
		}
		if err != nil {
			break
		}
	}
	close(under)
	sending.Wait()
}
