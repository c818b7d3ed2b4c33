package readahead

import (
	"testing"
	"testing/synctest"
	"time"
)

// limited is a pool that slows loads down, to a rate at which the test's take no time.
func limited() *Pool {
	p := New(&bodies{}, Options{})
	p.Hurry()
	p.manners.rate, p.manners.looking = 1<<50, true
	return p
}

// paceTook is how long a load is held up.
func paceTook(t *testing.T, p *Pool) time.Duration {
	t.Helper()
	began := time.Now()
	if err := p.Pace(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

func TestLoadsStopForAReaderAtTheTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limited()
		defer p.Close()
		if took := paceTook(t, p); took > 0 {
			t.Errorf("nobody is there: %v", took)
		}
		p.Serve()
		p.Serve() // another, who has to wait longer
		time.AfterFunc(time.Millisecond, p.Served)
		time.AfterFunc(2*time.Millisecond, p.Served)
		if took := paceTook(t, p); took != 2*time.Millisecond {
			t.Errorf("two readers are served for 2 ms: %v", took)
		}
		if took := paceTook(t, p); took > 0 {
			t.Errorf("they have their answers: %v", took)
		}
		time.Sleep(time.Second)
		p.Hurry()
		p.Serve()
		if took := paceTook(t, p); took != courtesyStop {
			t.Errorf("a reader who waits for long: %v", took)
		}
		if took := paceTook(t, p); took > 0 {
			t.Errorf("and goes on waiting: %v", took)
		}
		p.Served()
	})
}

func TestNoLoadStopsWithProcessorsToSpare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limited()
		defer p.Close()
		p.manners.rate = 0
		p.Serve()
		defer p.Served()
		if took := paceTook(t, p); took > 0 {
			t.Errorf("%v", took)
		}
	})
}

// TestLoadsGetOnBesideBusyReaders: readers who follow each other with hardly a gap stop loads for half of the time at most.
func TestLoadsGetOnBesideBusyReaders(t *testing.T) {
	for _, served := range []time.Duration{time.Millisecond, courtesyStop - time.Microsecond, 10 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			p := limited()
			defer p.Close()
			end := time.Now().Add(time.Second)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for time.Now().Before(end) {
					p.Serve()
					time.Sleep(served)
					p.Served()
					time.Sleep(time.Microsecond)
				}
			}()
			var stopped time.Duration
			for time.Now().Before(end) {
				stopped += paceTook(t, p)
				time.Sleep(50 * time.Microsecond)
			}
			<-ended
			if stopped > 520*time.Millisecond || stopped < 50*time.Millisecond {
				t.Errorf("readers of %v stop loads for %v in a second", served, stopped)
			}
		})
	}
}
