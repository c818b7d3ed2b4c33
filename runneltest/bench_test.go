package runneltest_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/runneltest"
)

// BenchmarkStart starts brokers, one after the other, and so many at once. Time is from the call of Start to its return.
func BenchmarkStart(b *testing.B) {
	for _, at := range []int{1, 100} {
		b.Run(fmt.Sprintf("atOnce=%d", at), func(b *testing.B) {
			var mu sync.Mutex
			var times []time.Duration
			for b.Loop() {
				var all sync.WaitGroup
				for range at {
					all.Go(func() {
						f := newFake(b)
						f.run(func() {
							began := time.Now()
							runneltest.Start(f, runneltest.WithTopic("t", 1))
							mu.Lock()
							defer mu.Unlock()
							times = append(times, time.Since(began))
						})
						if f.Failed() {
							b.Error(f.log.String())
						}
					})
				}
				all.Wait()
			}
			slices.Sort(times)
			b.ReportMetric(times[len(times)/2].Seconds()*1000, "ms-median")
			b.ReportMetric(times[len(times)*99/100].Seconds()*1000, "ms-p99")
			b.ReportMetric(times[len(times)-1].Seconds()*1000, "ms-max")
		})
	}
}

// BenchmarkIdle tells what a broker has that does nothing.
func BenchmarkIdle(b *testing.B) {
	const brokers = 50
	heap := func() (bytes uint64) {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	for b.Loop() {
		before, goroutines := heap(), runtime.NumGoroutine()
		f := newFake(b)
		f.run(func() {
			for range brokers {
				runneltest.Start(f, runneltest.WithTopic("t", 1))
			}
			b.ReportMetric(float64(heap()-before)/brokers/1024, "KiB/broker")
			b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/brokers, "goroutines/broker")
		})
	}
}

// TestAHundredAtOnce: each a broker of its own, with a client.
func TestAHundredAtOnce(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			f := newFake(t)
			log := f.run(func() {
				c := runneltest.Start(f, runneltest.WithTopic("t", 1))
				cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...))
				if err != nil {
					f.Fatalf("%v", err)
				}
				defer cl.Close()
				r, err := cl.ProduceSync(deadline(t), &kgo.Record{Topic: "t", Value: fmt.Append(nil, i)}).First()
				if err != nil || r.Offset != 0 {
					f.Fatalf("at %d: %v", r.Offset, err)
				}
			})
			if f.Failed() {
				t.Error(log)
			}
		})
	}
	all.Wait()
}

// TestStartIsQuick holds the bar of 50 ms, on machines that are busy with other tests, too: of some starts, one has to keep to it.
func TestStartIsQuick(t *testing.T) {
	const bar = 50 * time.Millisecond
	least := time.Hour
	for range 20 {
		f := newFake(t)
		if log := f.run(func() {
			began := time.Now()
			runneltest.Start(f, runneltest.WithTopic("t", 3))
			least = min(least, time.Since(began))
		}); f.Failed() {
			t.Fatal(log)
		}
	}
	if least > bar {
		t.Errorf("the quickest of 20 starts took %s", least)
	}
}
