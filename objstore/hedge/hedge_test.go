package hedge_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/hedge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEstimateIsOfTheSizeAndFollows(t *testing.T) {
	var e hedge.Estimator
	const small, large = 100 << 10, 4 << 20
	if d := e.Began(small); d != 2*time.Second {
		t.Errorf("late after %v with nothing known", d)
	}
	for range 64 {
		e.Took(small, 20*time.Millisecond)
		e.Took(large, 200*time.Millisecond)
	}
	if d := e.Began(small); d != 50*time.Millisecond {
		t.Errorf("a small one is late after %v, want the floor", d)
	}
	if d := e.Began(large); d != 200*time.Millisecond {
		t.Errorf("a large one is late after %v", d)
	}
	for range 64 {
		e.Took(small, time.Second)
	}
	if d := e.Began(small); d != time.Second {
		t.Errorf("a small one is late after %v where all are slow", d)
	}
}

func TestBudgetIsOneInTwentyAndSavesTen(t *testing.T) {
	var e hedge.Estimator
	if e.Allow() {
		t.Error("a second request before there was any")
	}
	for range 10_000 {
		e.Began(1)
	}
	allowed := 0
	for e.Allow() {
		allowed++
	}
	if allowed != 10 {
		t.Errorf("%d second requests were saved up", allowed)
	}
	for range 1_000 {
		e.Began(1)
		if e.Allow() {
			allowed++
		}
	}
	if allowed < 10+49 || allowed > 10+50 {
		t.Errorf("%d second requests beside 1,000", allowed-10)
	}
}

// script is a store whose n-th GET does what the test says.
type script struct {
	calls atomic.Int64
	get   func(ctx context.Context, n int) ([]byte, error)
}

func (s *script) Get(ctx context.Context, _ string, _, _ int64) ([]byte, error) {
	return s.get(ctx, int(s.calls.Add(1)))
}

func counted(t *testing.T, reg *prometheus.Registry) (second, won float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	value := func(f *dto.MetricFamily) float64 { return f.GetMetric()[0].GetCounter().GetValue() }
	for _, f := range families {
		switch f.GetName() {
		case "runnel_hedge_second_gets_total":
			second = value(f)
		case "runnel_hedge_second_gets_won_total":
			won = value(f)
		}
	}
	return second, won
}

var errBroken = errors.New("broken")

func TestLateGet(t *testing.T) {
	ok := func(after time.Duration) func(context.Context) ([]byte, error) {
		return func(ctx context.Context) ([]byte, error) {
			select {
			case <-time.After(after):
				return []byte("x"), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	failing := func(after time.Duration, err error) func(context.Context) ([]byte, error) {
		return func(context.Context) ([]byte, error) {
			time.Sleep(after)
			return nil, err
		}
	}
	const ms = time.Millisecond
	for name, tc := range map[string]struct {
		first, second func(context.Context) ([]byte, error)
		want          error
		takes         time.Duration
		sent, won     float64
	}{
		"in time":                            {ok(40 * ms), nil, nil, 40 * ms, 0, 0},
		"fails in time":                      {failing(40*ms, errBroken), nil, errBroken, 40 * ms, 0, 0},
		"stuck, overtaken":                   {ok(time.Hour), ok(10 * ms), nil, 60 * ms, 1, 1},
		"slow, and still the first":          {ok(70 * ms), ok(time.Hour), nil, 70 * ms, 1, 0},
		"fails late, the second answers":     {failing(60*ms, errBroken), ok(30 * ms), nil, 80 * ms, 1, 1},
		"the second fails, not the first":    {ok(90 * ms), failing(10*ms, errBroken), nil, 90 * ms, 1, 0},
		"both fail":                          {failing(60*ms, errBroken), failing(30*ms, errBroken), errBroken, 80 * ms, 1, 0},
		"no such object, says the second":    {ok(time.Hour), failing(10*ms, objstore.ErrNotFound), objstore.ErrNotFound, 60 * ms, 1, 1},
		"no such range, and no second asked": {failing(10*ms, objstore.ErrRange), nil, objstore.ErrRange, 10 * ms, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := prometheus.NewRegistry()
				const warm = 100
				g := hedge.NewGetter(&script{get: func(ctx context.Context, n int) ([]byte, error) {
					switch n {
					case warm + 1:
						return tc.first(ctx)
					case warm + 2:
						return tc.second(ctx)
					}
					return ok(10 * ms)(ctx)
				}}, reg)
				for range warm {
					if _, err := g.Get(t.Context(), "k", 0, 1); err != nil {
						t.Fatal(err)
					}
				}
				began := time.Now()
				data, err := g.Get(t.Context(), "k", 0, 1)
				if !errors.Is(err, tc.want) || (err == nil) != (string(data) == "x") {
					t.Errorf("%q, %v", data, err)
				}
				if d := time.Since(began); d != tc.takes {
					t.Errorf("took %v, want %v", d, tc.takes)
				}
				if sent, won := counted(t, reg); sent != tc.sent || won != tc.won {
					t.Errorf("%v second GETs, %v won", sent, won)
				}
				g.Close()
			})
		})
	}
}

func TestCancelledGetEndsBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := hedge.NewGetter(&script{get: func(ctx context.Context, _ int) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := g.Get(ctx, "k", 0, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		g.Close()
	})
}
