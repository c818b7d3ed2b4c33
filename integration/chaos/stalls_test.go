package chaos

import (
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

// succeeded makes a history of one worker that succeeded at some seconds.
func succeeded(at ...int) *history.History {
	h := &history.History{}
	seq := int64(0)
	for _, s := range at {
		begun, ended := time.Duration(s)*time.Second-time.Millisecond, time.Duration(s)*time.Second
		seq += 2
		h.Operations = append(h.Operations, history.Operation{
			Worker: 1, Kind: history.Produce, Outcome: history.OK,
			Begun: history.Moment{Seq: seq - 1, At: begun}, Ended: history.Moment{Seq: seq, At: ended},
		})
	}
	return h
}

func did(name string, from, to int) deed {
	return deed{strike{Fault: name}, time.Duration(from) * time.Second, time.Duration(to) * time.Second}
}

func TestStallsAreExplainedByFaults(t *testing.T) {
	const load = 100 * time.Second
	everySecond := func(from, to int) (all []int) {
		for s := from; s <= to; s++ {
			all = append(all, s)
		}
		return all
	}
	for _, c := range []struct {
		name        string
		at          []int
		deeds       []deed
		stalls      int // of the worker; everyone has the same, as nobody else is there
		unexplained string
	}{
		{"none", everySecond(1, 100), nil, 0, ""},
		{"while nothing was broken", append(everySecond(1, 40), everySecond(55, 100)...), nil, 1, "worker 1, everyone"},
		{"while something was broken", append(everySecond(1, 40), everySecond(55, 100)...), []deed{did("kill -9", 39, 50)}, 1, ""},
		{"a moment after something was broken", append(everySecond(1, 40), everySecond(55, 100)...), []deed{did("kill -9", 30, 35)}, 1, ""},
		{"long after something was broken", append(everySecond(1, 40), everySecond(55, 100)...), []deed{did("kill -9", 10, 20)}, 1, "worker 1, everyone"},
		{"longer after than all may take", append(everySecond(1, 40), everySecond(75, 100)...), []deed{did("kill -9", 40, 50)}, 1, "everyone"},
		{"longer after than one may take", append(everySecond(1, 40), everySecond(97, 100)...), []deed{did("kill -9", 40, 50)}, 1, "worker 1, everyone"},
		{"longer before than one may take", append(everySecond(1, 40), everySecond(97, 100)...), []deed{did("kill -9", 38, 40), did("kill -9", 90, 96)}, 1, "worker 1, everyone"},
		{"at the end", everySecond(1, 80), nil, 1, "worker 1, everyone"},
		{"at the begin", everySecond(20, 100), nil, 1, "worker 1, everyone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := stalls(succeeded(c.at...), c.deeds, load)
			var unexplained []string
			for _, s := range found {
				if s.Unexplained {
					unexplained = append([]string{s.Who}, unexplained...)
				}
				t.Log(s)
			}
			if len(found) != 2*c.stalls || strings.Join(unexplained, ", ") != c.unexplained {
				t.Errorf("%d stalls, unexplained of %q, want %d of each and %q", len(found), unexplained, c.stalls, c.unexplained)
			}
		})
	}
}

func TestStallOfOneWorkerIsNotEveryones(t *testing.T) {
	h := succeeded(1, 2, 3, 5, 30, 31)
	for i := range 35 {
		o := succeeded(i + 1).Operations[0]
		o.Worker = 2
		h.Operations = append(h.Operations, o)
	}
	found := stalls(h, nil, 35*time.Second)
	if len(found) != 1 || found[0].Who != "worker 1" || found[0].From != 5*time.Second || found[0].To != 30*time.Second {
		t.Errorf("%v", found)
	}
}

func TestWorstStallsAreToldFirstAndNoneThatMattersIsLeftOut(t *testing.T) {
	var all []stall
	for i := range 30 {
		all = append(all, stall{Who: "worker 1", Since: time.Duration(i) * time.Second})
	}
	all = append(all, stall{Who: everyone, Since: time.Second}, stall{Who: "worker 2", Unexplained: true})
	worst, left := worstStalls(all)
	if len(worst) != 12 || left != 20 || worst[0].Since != 29*time.Second || worst[10].Who != everyone || !worst[11].Unexplained {
		t.Errorf("%v, and %d more", worst, left)
	}
}
