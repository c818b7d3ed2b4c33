package chaos

import (
	"errors"
	"testing"
)

// TestFaultsWaitForWhatIsNotWhole: a broker that drains, and a standby that is being made, keep the faults that break these from
// beginning and ending, and no others, and no longer than that.
func TestFaultsWaitForWhatIsNotWhole(t *testing.T) {
	a, b := &broker{}, &broker{}
	n := newNemesis(&cluster{brokers: []*broker{a, b}}, nil, nil, nil)
	atA, atB, atServer := strike{Fault: "kill -9", Brokers: []int{0}}, strike{Fault: "kill -9", Brokers: []int{1}}, strike{Fault: "restart of PostgreSQL"}
	check := func(when string, wantA, wantB, wantServer bool) {
		t.Helper()
		if n.stillEnding(atA) != wantA || n.stillEnding(atB) != wantB || n.stillEnding(atServer) != wantServer {
			t.Errorf("%s: %v %v %v", when, n.stillEnding(atA), n.stillEnding(atB), n.stillEnding(atServer))
		}
	}
	check("at first", false, false, false)

	drained := make(chan error, 1)
	n.ending[a] = drained
	check("while a broker drains", true, false, false)
	drained <- nil
	check("when it has", false, false, false)
	if !n.stillBroken(atA) || n.stillBroken(atB) {
		t.Error("a fault may begin at a broker that has drained and was not started again")
	}
	delete(n.ending, a)
	if n.stillBroken(atA) {
		t.Error("no fault may begin at a broker that was started again")
	}

	n.rebuilding = make(chan error, 1)
	check("while a standby is made", false, false, true)
	failed := errors.New("no space")
	n.rebuilding <- failed
	check("when it is", false, false, false)
	if err := rebuilt(t.Context(), n, nil); !errors.Is(err, failed) {
		t.Errorf("the making of the standby ended with %v", err)
	}
	check("once that is known", false, false, false)
}
