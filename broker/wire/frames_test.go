package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestFrameClassesHoldWhatTheyAreFor(t *testing.T) {
	last := -1
	for n := 1; n <= mostFrame; n += 1 + n/37 {
		class, size := frameClassOf(n)
		if size < n || n > leastFrame && size > n+n/4 {
			t.Fatalf("%d bytes get %d", n, size)
		}
		if again, same := frameClassOf(size); again != class || same != size {
			t.Fatalf("a buffer of %d bytes is of class %d, and of class %d when it comes back", size, class, again)
		}
		if class < last || class >= frameClasses {
			t.Fatalf("%d bytes are of class %d after %d", n, class, last)
		}
		last = class
	}
	if class, _ := frameClassOf(mostFrame + 1); class != -1 {
		t.Error("a frame larger than all has a class")
	}
}

func TestIdleFramesAreBoundedAndTheLeastUsedGo(t *testing.T) {
	f := newFrames(10 << 10)
	var old [][]byte
	for range 8 {
		old = append(old, f.get(1<<10))
	}
	for _, buf := range old {
		f.put(buf)
	}
	f.put(f.get(4 << 10))
	if got := f.bytes(); got != 10<<10 {
		t.Fatalf("%d bytes idle", got)
	}
	f.put(f.get(20 << 10))                            // larger than the bound
	f.put(make([]byte, 1500))                         // of no class
	f.put(make([]byte, (3<<10)/2)[: 100 : (3<<10)/2]) // of one, and shortened
	if got := f.bytes(); got > 10<<10 || f.take(4<<10) == nil || f.take(1400) == nil {
		t.Fatalf("%d bytes idle, or what was used last is gone", got)
	}
	if f.take(4<<10) != nil {
		t.Fatal("a buffer was given twice")
	}
}

func TestReadOfAFrameThatDoesNotArriveTakesLittle(t *testing.T) {
	f := newFrames(1 << 30)
	for _, n := range []int{100, 2 << 20, 3 << 20, 90 << 20} {
		whole := make([]byte, n)
		for i := range whole {
			whole[i] = byte(i * 7)
		}
		got, err := f.read(bytes.NewReader(whole), n)
		if err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("frame of %d bytes: %v", n, err)
		}
	}
	f = newFrames(1 << 30)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := f.read(iotest.DataErrReader(bytes.NewReader(make([]byte, 1000))), 96<<20); err == nil {
		t.Fatal("a frame that did not arrive was read")
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > trustedFrame {
		t.Errorf("1,000 bytes of a frame of 96 MiB took %d bytes", grown)
	}
}

// Handlers of many connections see their own requests, whoever had the memory before.
func TestFramesAreUsedAgainAndNeverShared(t *testing.T) {
	var served sync.Map // correlation of connection and request to checksum
	f := serve(t, Routes{0: {Name: "Produce", Min: 3, Max: 13, Order: Overlapping, Budgeted: true, Borrows: true,
		Handler: func(_ context.Context, _ *Conn, req kmsg.Request) Pending {
			p := req.(*kmsg.ProduceRequest)
			name := p.Topics[0].Topic
			served.Store(name, crc32.ChecksumIEEE(p.Topics[0].Partitions[0].Records))
			return func(context.Context) kmsg.Response {
				if name[0] != 'c' {
					panic("a string of the request changed: " + name)
				}
				return req.ResponseKind()
			}
		}}}, Options{FrameBytes: 8 << 20})
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	var clients sync.WaitGroup
	for i := range 6 {
		conn := f.dial()
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		clients.Go(func() {
			sums := make(map[string]uint32)
			const inFlight = 5
			for n := range 60 {
				size := 1 + rng.IntN(50_000)
				if rng.IntN(15) == 0 {
					size = 3 << 20
				}
				req := produceRequest(size)
				records := req.Topics[0].Partitions[0].Records
				for j := 0; j < len(records); j += 8 {
					var random [8]byte
					binary.LittleEndian.PutUint64(random[:], rng.Uint64())
					copy(records[j:], random[:])
				}
				req.Topics[0].Topic = fmt.Sprintf("c%d-%d", i, n)
				sums[req.Topics[0].Topic] = crc32.ChecksumIEEE(records)
				conn.send(int32(n), req)
				if n >= inFlight {
					conn.receive()
				}
			}
			for range inFlight {
				conn.receive()
			}
			for name, want := range sums {
				if got, _ := served.Load(name); got != want {
					t.Errorf("request %s: the handler saw other bytes than were sent", name)
				}
			}
		})
	}
	clients.Wait()
	if idle := f.srv.frames.bytes(); idle == 0 || idle > 8<<20 {
		t.Errorf("%d bytes idle", idle)
	}
}

// What a handler keeps against its word is overwritten in tests.
func TestFramesThatComeBackArePoisoned(t *testing.T) {
	kept := make(chan []byte, 1)
	f := serve(t, Routes{0: {Name: "Produce", Min: 3, Max: 13, Order: Overlapping, Budgeted: true, Borrows: true,
		Handler: func(_ context.Context, _ *Conn, req kmsg.Request) Pending {
			records := req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records
			return func(context.Context) kmsg.Response {
				kept <- records
				return req.ResponseKind()
			}
		}}}, Options{})
	c := f.dial()
	c.send(1, produceRequest(1000))
	c.receive()
	if got := within(t, kept); got[0] != 0xDB || got[999] != 0xDB {
		t.Errorf("a frame was not given back when its handler returned: %x", got[:4])
	}
}
