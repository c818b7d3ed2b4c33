package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// benchConn is a connection to a server of the routes, in plaintext or TLS.
func benchConn(b *testing.B, secure bool, routes Routes) net.Conn {
	if !secure {
		return benchServer(b, routes)
	}
	ca := newAuthority(b)
	conn := tls.Client(benchServerAt(b, ca.secure(b, tls.NoClientCert), routes), ca.client())
	if err := conn.Handshake(); err != nil {
		b.Fatal(err)
	}
	return conn
}

var transports = []struct {
	name   string
	secure bool
}{{"plaintext", false}, {"tls", true}}

// reportCPU reports the processor's time of an operation, of client and server together: on a busy machine it tells more
// than the clock.
func reportCPU(b *testing.B) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	b.Cleanup(func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") })
}

// BenchmarkProduceTransport sends batches as producers do.
func BenchmarkProduceTransport(b *testing.B) {
	for _, size := range []int{16 << 10, 1 << 20} {
		for _, transport := range transports {
			b.Run(fmt.Sprintf("%dKiB/%s", size>>10, transport.name), func(b *testing.B) {
				conn := benchConn(b, transport.secure, Routes{0: {Name: "Produce", Min: 3, Max: 13, Order: Overlapping, Budgeted: true, Borrows: true,
					Handler: func(_ context.Context, _ *Conn, req kmsg.Request) Pending { return Ready(req.ResponseKind()) }}})
				frame := frameOf(1, produceRequest(size))
				b.SetBytes(int64(len(frame)))
				b.ReportAllocs()
				reportCPU(b)
				go func() {
					for range b.N {
						if _, err := conn.Write(frame); err != nil {
							return
						}
					}
				}()
				readAnswers(b, conn, make([]byte, 64<<10), b.N)
			})
		}
	}
}

// BenchmarkFetchTransport answers as Fetch does: a patched header of 61 bytes before each batch.
func BenchmarkFetchTransport(b *testing.B) {
	for _, batch := range []int{1 << 10, 16 << 10, 1 << 20} {
		parts := make([][]byte, 0, 2<<10)
		for total := 0; total < 1<<20; total += batch {
			parts = append(parts, make([]byte, 61), make([]byte, batch-61))
		}
		for _, transport := range transports {
			b.Run(fmt.Sprintf("%dKiB/%s", batch>>10, transport.name), func(b *testing.B) {
				conn := benchConn(b, transport.secure, Routes{12: {Name: "Heartbeat", Max: 4, Handler: Blocking(func(_ context.Context, _ *Conn, req kmsg.Request) kmsg.Response {
					return segmented{req.ResponseKind(), parts}
				})}})
				frame := frameOf(1, heartbeatRequest())
				buf := make([]byte, 2<<20)
				b.SetBytes(1 << 20)
				b.ReportAllocs()
				reportCPU(b)
				for range b.N {
					if _, err := conn.Write(frame); err != nil {
						b.Fatal(err)
					}
					readAnswers(b, conn, buf, 1)
				}
			})
		}
	}
}

// BenchmarkIdleConnections measures what connections cost that have asked something and are idle now, with the sockets of
// their clients, of which nothing else is kept.
func BenchmarkIdleConnections(b *testing.B) {
	for _, transport := range transports {
		b.Run(transport.name, func(b *testing.B) {
			for range b.N {
				idleConnections(b, transport.secure, 5000)
			}
		})
	}
}

func idleConnections(b *testing.B, secure bool, n int) {
	endpoint := &Endpoint{Name: "PLAINTEXT"}
	ca := newAuthority(b)
	if secure {
		endpoint = ca.secure(b, tls.NoClientCert)
	}
	srv, err := NewServer(answerAtOnce(), Options{MaxUnauthenticated: func() int { return n }})
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), ln, endpoint) }()
	before := memoryInUse()
	conns := make([]net.Conn, 0, n)
	buf := make([]byte, 1<<10)
	for range n {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		conns = append(conns, conn)
		if secure {
			conn = tls.Client(conn, ca.client())
		}
		if _, err := conn.Write(frameOf(1, heartbeatRequest())); err != nil {
			b.Fatal(err)
		}
		readAnswers(b, conn, buf, 1)
	}
	after := memoryInUse()
	b.ReportMetric(float64(after-before)/float64(n), "B/conn")
	b.ReportMetric(float64(after)/(1<<20), "MiB-in-use")
	b.ReportMetric(float64(runtime.NumGoroutine())/float64(n), "goroutines/conn")
	for _, conn := range conns {
		_ = conn.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = srv.Shutdown(ctx)
	<-served
}

// memoryInUse is what is in use after a collection, heap and stacks.
func memoryInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
