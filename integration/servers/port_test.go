package servers

import (
	"errors"
	"testing"
)

// TestPortsAreGivenOnce: a broker that is down for a moment comes back to its own port.
func TestPortsAreGivenOnce(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if err := claimPort(port); !errors.Is(err, errClaimed) {
		t.Errorf("a port that was given is claimed again: %v", err)
	}
	given := map[int]bool{port: true}
	for range 300 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if given[port] {
			t.Fatalf("port %d is given twice", port)
		}
		given[port] = true
	}
}
