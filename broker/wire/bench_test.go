package wire

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func BenchmarkPipelinedProduce(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			conn := benchServer(b, Routes{0: {Name: "Produce", Min: 3, Max: 13, Order: Overlapping, Budgeted: true, Borrows: true,
				Handler: func(_ context.Context, _ *Conn, req kmsg.Request) Pending { return Ready(req.ResponseKind()) }}})
			frame := frameOf(1, produceRequest(size))
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
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

func BenchmarkRoundTrip(b *testing.B) {
	conn := benchServer(b, answerAtOnce())
	frame := frameOf(1, heartbeatRequest())
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	for range b.N {
		if _, err := conn.Write(frame); err != nil {
			b.Fatal(err)
		}
		readAnswers(b, conn, buf, 1)
	}
}

func benchServer(b *testing.B, routes Routes) net.Conn {
	return benchServerAt(b, &Endpoint{Name: "PLAINTEXT"}, routes)
}

func benchServerAt(b *testing.B, endpoint *Endpoint, routes Routes) net.Conn {
	srv, err := NewServer(routes, Options{})
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), ln, endpoint) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = conn.Close()
		_ = srv.Shutdown(context.Background())
		<-served
	})
	return conn
}

func readAnswers(b *testing.B, conn net.Conn, buf []byte, n int) {
	answers, pending := 0, 0 // whole answers, bytes of the one under way
	for answers < n {
		got, err := conn.Read(buf[pending:])
		if err != nil {
			b.Fatal(err)
		}
		pending += got
		for pending >= 4 {
			size := 4 + int(buf[0])<<24 + int(buf[1])<<16 + int(buf[2])<<8 + int(buf[3])
			if pending < size {
				break
			}
			copy(buf, buf[size:pending])
			pending -= size
			answers++
		}
	}
}

// BenchmarkLargeAnswer sends what a client gets that asks for all of 20,000 partitions.
func BenchmarkLargeAnswer(b *testing.B) {
	resp := kmsg.NewPtrMetadataResponse()
	resp.Version = 12
	for range 200 {
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic = kmsg.StringPtr("topic")
		for range 100 {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Replicas, p.ISR = []int32{0}, []int32{0}
			topic.Partitions = append(topic.Partitions, p)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	conn := benchServer(b, Routes{12: {Name: "Heartbeat", Max: 4, Handler: Blocking(func(context.Context, *Conn, kmsg.Request) kmsg.Response { return resp })}})
	frame := frameOf(1, heartbeatRequest())
	buf := make([]byte, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(frame); err != nil {
			b.Fatal(err)
		}
		readAnswers(b, conn, buf, 1)
	}
}
