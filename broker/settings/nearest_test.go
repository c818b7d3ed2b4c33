package settings

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"zone", "listen", "node_id", "num.partitions"}
	for in, want := range map[string]string{"zoen": "zone", "lisen": "listen", "node-id": "node_id", "num.partition": "num.partitions",
		"zone": "zone", "x": "", "": "", "something": ""} {
		if got := Nearest(in, known); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
