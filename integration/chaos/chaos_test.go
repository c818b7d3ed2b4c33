package chaos

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// TestNothingIsLostWhateverBefallsTheCluster: for RUNNEL_CHAOS_MINUTES, by default half of one.
func TestNothingIsLostWhateverBefallsTheCluster(t *testing.T) {
	o := options{seed: uint64(time.Now().UnixNano()) % 1_000_000_000, brokers: 3, load: 30 * time.Second}
	if text := os.Getenv("RUNNEL_CHAOS_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		o.seed = seed
	}
	if text := os.Getenv("RUNNEL_CHAOS_MINUTES"); text != "" {
		minutes, err := strconv.ParseFloat(text, 64)
		if err != nil || minutes <= 0 {
			t.Fatalf("RUNNEL_CHAOS_MINUTES=%s: %v", text, err)
		}
		o.load, o.brokers = time.Duration(minutes*float64(time.Minute)), 5
	}
	run(t, o)
}
