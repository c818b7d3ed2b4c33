//go:build !planted

package planted

import "testing"

// TestNothingIsPlanted: whatever the environment says.
func TestNothingIsPlanted(t *testing.T) {
	for _, b := range All {
		t.Setenv("RUNNEL_PLANTED", string(b))
		if Is(b) {
			t.Errorf("%s is planted in an ordinary build", b)
		}
	}
}
