package quota

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestPartsNeverExceedTheQuotaByMoreThanTheFloor, whatever demands are.
func TestPartsNeverExceedTheQuotaByMoreThanTheFloor(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 10_000 {
		n := 1 + rng.IntN(20)
		demands := make([]float64, n)
		total := 0.0
		for i := range demands {
			if rng.IntN(3) > 0 {
				demands[i] = rng.ExpFloat64() * 1e6
			}
			total += demands[i]
		}
		sum := 0.0
		for _, d := range demands {
			part := Granted(d, total-d, n)
			if part < Floor/float64(n)-1e-9 {
				t.Fatalf("demands %v: a part of %g", demands, part)
			}
			sum += part
		}
		if sum > 1+Floor+1e-9 || sum < 1-1e-9 {
			t.Fatalf("demands %v: parts sum up to %g", demands, sum)
		}
	}
	for _, c := range []struct {
		own, others float64
		n           int
		want        float64
	}{{0, 0, 4, 0.25}, {5, 0, 4, 1}, {0, 5, 4, 0.025}, {1, 3, 4, 0.25}, {7, 0, 1, 1}} {
		if got := Granted(c.own, c.others, c.n); got != c.want {
			t.Errorf("%+v: %g", c, got)
		}
	}
}

// cluster is brokers that tell each other once a second what a client would take of them, in virtual time.
type cluster struct {
	brokers []*Limiter
	alive   []bool
	reports [][]byte
}

func newCluster(t *testing.T, n int, limit float64) *cluster {
	t.Helper()
	quotas := quotasOf(t, map[Entity]map[string]float64{{ClientID: Default}: {"producer_byte_rate": limit}})
	c := &cluster{}
	for range n {
		c.brokers = append(c.brokers, NewLimiter(quotas, Options{Shared: true}))
		c.alive = append(c.alive, true)
	}
	c.reports = make([][]byte, n)
	return c
}

func (c *cluster) tell(t *testing.T, now time.Time) {
	t.Helper()
	for i, b := range c.brokers {
		c.reports[i] = b.Report(now)
	}
	for i, b := range c.brokers {
		var heard [][]byte
		for j, report := range c.reports {
			if i != j && c.alive[j] {
				heard = append(heard, report)
			}
		}
		if err := b.Hear(heard); err != nil {
			t.Fatal(err)
		}
	}
}

// play has a greedy client at each of the brokers named, for so long, and returns what each took.
func (c *cluster) play(t *testing.T, now *time.Time, d time.Duration, at ...int) []float64 {
	t.Helper()
	took := make([]float64, len(c.brokers))
	free := make([]time.Time, len(c.brokers))
	const step, size = 5 * time.Millisecond, 64 << 10
	for end, told := now.Add(d), *now; now.Before(end); *now = now.Add(step) {
		if !now.Before(told) {
			c.tell(t, *now)
			told = told.Add(time.Second)
		}
		for _, i := range at {
			for !free[i].After(*now) {
				wait := c.brokers[i].Meter(Produce, Client{ID: "x"}, *now).Record(size, *now)
				took[i] += size
				free[i] = now.Add(max(wait, time.Millisecond))
			}
		}
	}
	return took
}

func TestBrokersShareAQuota(t *testing.T) {
	c := newCluster(t, 3, mb)
	now := time.Unix(1000, 0)
	within := func(what string, got, low, high float64) {
		t.Helper()
		t.Logf("%s: %.2f", what, got)
		if got < low || got > high {
			t.Errorf("%s: %.2f, want %.2f to %.2f", what, got, low, high)
		}
	}
	c.play(t, &now, 30*time.Second, 0)
	took := c.play(t, &now, 66*time.Second, 0)
	within("of one broker, MiB/s", took[0]/66/mb, 0.9, 1.1)

	c.play(t, &now, 33*time.Second, 0, 1)
	took = c.play(t, &now, 66*time.Second, 0, 1)
	within("of two brokers, MiB/s", (took[0]+took[1])/66/mb, 0.85, 1.15)
	within("the second's part", took[1]/(took[0]+took[1]), 0.35, 0.65)

	// The client moves: it finds a floor at once, and all of it soon.
	took = c.play(t, &now, 5*time.Second, 2)
	if took[2] == 0 {
		t.Error("a client that moves gets nothing")
	}
	c.play(t, &now, 25*time.Second, 2)
	took = c.play(t, &now, 66*time.Second, 2)
	within("after it moved, MiB/s", took[2]/66/mb, 0.85, 1.1)

	// A broker that is gone is left out.
	c.play(t, &now, 33*time.Second, 0, 2)
	c.alive[2] = false
	c.play(t, &now, 33*time.Second, 0)
	took = c.play(t, &now, 66*time.Second, 0)
	within("of the one that is left, MiB/s", took[0]/66/mb, 0.85, 1.1)
}

func TestReportsAreBounded(t *testing.T) {
	c := newCluster(t, 2, mb)
	now := time.Unix(1000, 0)
	long := strings.Repeat("x", 1000)
	for i := range 5000 {
		c.brokers[0].Meter(Produce, Client{ID: fmt.Sprint(long, i)}, now).Record(float64(i+1)*2000, now)
	}
	report := c.brokers[0].Report(now)
	demands, err := decodeReport(report)
	if err != nil || len(report) > MaxReportBytes || len(demands) < 900 || len(demands) == 5000 {
		t.Fatalf("%d accounts in %d bytes, %v", len(demands), len(report), err)
	}
	if demands[accountID{Produce, key{client: accountName(fmt.Sprint(long, 4999)), level: anyClient}}] == 0 {
		t.Error("the greatest demand is left out")
	}
	if err := c.brokers[1].Hear([][]byte{report, {99}}); !errors.Is(err, ErrReport) || c.brokers[1].others.Load().count != 1 {
		t.Errorf("a report of another version: %v", err)
	}
}

func FuzzReport(f *testing.F) {
	f.Add([]byte{1, 0, 0, 1, 'a', 1, 'b', 0x40, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		demands, err := decodeReport(b)
		if err == nil && len(demands) > len(b) {
			t.Fatal("more accounts than bytes")
		}
		if again, _ := decodeReport(bytes.Clone(b)); len(again) != len(demands) {
			t.Fatal("read twice, two answers")
		}
	})
}
