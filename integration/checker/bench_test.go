package checker_test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

// large makes a sound history of n operations: of ten, four send five records each, one of these in a transaction, five poll,
// one observes or fetches offsets. Four consumers read everything, and two finally.
func large(n int) *history.History {
	const partitions, consumers = 64, 4
	b := &script{}
	ends := [partitions]int64{}
	records := [partitions][]history.Record{}
	position := [consumers][partitions]int{}
	value := int64(0)
	for i := range n {
		number := int32(i*7) % partitions
		p := history.Partition{Topic: "t", Number: number}
		switch i % 10 {
		case 0, 2, 4, 6:
			o := history.Operation{Kind: history.Produce, Worker: i % 8, Client: fmt.Sprint("p", i%8)}
			if i%10 == 0 {
				o = txn(fmt.Sprint("x", i%8), committed)
				o.Group, o.Offsets = "g", []history.At{{Partition: p, Offset: ends[number]}}
			}
			for range 5 {
				value++
				o.Steps = append(o.Steps, sent(p, ends[number], value))
				records[number] = append(records[number], rec(p, ends[number], value))
				ends[number]++
			}
			b.op(o)
		case 9:
			if i%20 == 9 {
				b.op(history.Operation{Kind: history.FetchOffsets, Group: "g", Offsets: []history.At{{Partition: p, Offset: ends[number]}}})
				continue
			}
			b.op(history.Operation{Kind: history.Observe, Broker: fmt.Sprint(i % 3), Marks: &history.Marks{Partition: p, High: ends[number], Stable: ends[number]}})
		default:
			c := i / 10 % consumers
			from := position[c][number]
			position[c][number] = len(records[number])
			b.poll(fmt.Sprint("c", c), rc, records[number][from:]...)
		}
	}
	for _, isolation := range []history.Isolation{rc, ru} {
		for number := range int32(partitions) {
			b.final(isolation, []history.Partition{{Topic: "t", Number: number}}, records[number]...)
		}
	}
	return &b.h
}

func BenchmarkCheck(b *testing.B) {
	h := large(200_000)
	if anomalies := checker.Check(h); len(anomalies) > 0 {
		b.Fatalf("%d anomalies, the first: %v", len(anomalies), anomalies[0])
	}
	b.ReportAllocs()
	begun := cpuTime(b)
	for b.Loop() {
		checker.Check(h)
	}
	b.ReportMetric((cpuTime(b)-begun).Seconds()/float64(b.N), "cpu-s/op")
	s := history.Summarize(h)
	b.ReportMetric(float64(s.Sent), "sent")
	b.ReportMetric(float64(s.Read+s.FinallyRead), "read")
}

// cpuTime is what this process has used so far, whatever else the machine does.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// What is quadratic takes 64 times as long for a history of eight times the size.
func TestTimeGrowsWithTheHistoryAlone(t *testing.T) {
	took := func(n int) time.Duration {
		h := large(n)
		best := time.Hour
		for range 3 {
			runtime.GC() // not that of what was before
			begun := cpuTime(t)
			if anomalies := checker.Check(h); len(anomalies) > 0 {
				t.Fatalf("%d anomalies, the first: %v", len(anomalies), anomalies[0])
			}
			best = min(best, cpuTime(t)-begun)
		}
		return best
	}
	if small, big := took(2_000), took(16_000); big > 30*small {
		t.Errorf("2,000 operations took %v, 16,000 took %v", small, big)
	}
}
