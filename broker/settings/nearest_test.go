package settings

import (
	"strings"
	"testing"
	"time"
)

func TestNearest(t *testing.T) {
	known := []string{"zone", "listen", "node_id", "num.partitions"}
	for in, want := range map[string]string{"zoen": "zone", "lisen": "listen", "node-id": "node_id", "num.partition": "num.partitions",
		"zone": "zone", "x": "", "": "", "something": ""} {
		if got := Nearest(in, known); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// A name that is a megabyte long took 20 s to compare with all that are known.
func TestLongUnknownNamesAreRefusedQuickly(t *testing.T) {
	name := strings.Repeat("x", 1<<20)
	begun := time.Now()
	if ValidateTopic(map[string]string{name: "1"}) == nil || ValidateBroker(map[string]string{name: "1"}, func(string) bool { return false }) == nil {
		t.Error("accepted")
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}
