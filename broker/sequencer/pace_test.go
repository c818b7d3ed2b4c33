package sequencer

import (
	"testing"
	"time"
)

func TestPaceWaitsForMostOfTheCommitThatIsAppended(t *testing.T) {
	start := time.Unix(0, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	var p pace
	if wait, _ := p.ahead(at(0)); wait != 0 {
		t.Errorf("waits %v for nothing", wait)
	}
	for i := range 100 { // each takes 8 ms, and the next one begins while it is appended
		p.begin(at(8*i + 4))
		if i > 0 {
			p.end(at(8*i + 8))
		}
	}
	if p.typical < 7*time.Millisecond || p.typical > 9*time.Millisecond {
		t.Errorf("commits take %v, want about 8 ms", p.typical)
	}
	wait, landed := p.ahead(at(8*99 + 9))
	if want := p.typical/8*7 - time.Millisecond; wait != want {
		t.Errorf("waits %v, want %v", wait, want)
	}
	if wait, _ := p.ahead(at(8*99 + 16)); wait > 0 {
		t.Errorf("waits %v although most is over", wait)
	}
	p.end(at(900))
	select {
	case <-landed:
	default:
		t.Error("the end of the commit does not end the wait")
	}
	if wait, _ := p.ahead(at(901)); wait != 0 {
		t.Errorf("waits %v for nothing", wait)
	}
	p.begin(at(1000))
	p.typical = time.Hour
	if wait, _ := p.ahead(at(1000)); wait != longestGather {
		t.Errorf("waits %v for company", wait)
	}
}
