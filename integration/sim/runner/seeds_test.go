package runner

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/sim/faults"
)

// The seeds that the tests play, of which docs/correctness.md speaks.
const (
	firstSeed = 1
	seedCount = 200
)

// TestNothingIsLostWhateverBefallsTheCluster plays seeds with all kinds of faults, of which every one has to befall somebody.
func TestNothingIsLostWhateverBefallsTheCluster(t *testing.T) {
	binary := program(t, ordinary)
	// What happened stays where somebody finds it, if it was wrong.
	dir, err := os.MkdirTemp("", "runnel-sim-seeds-")
	if err != nil {
		t.Fatal(err)
	}
	var played, operations, rewritten, deleted int
	var took time.Duration
	hits := make(map[faults.Kind]int)
	err = Many(t.Context(), binary, firstSeed, seedCount, runtime.NumCPU(), dir, Options{}, func(o Outcome) {
		played, operations, took = played+1, operations+o.Operations, took+o.Took
		rewritten, deleted = rewritten+o.Rewritten, deleted+o.Deleted
		for kind, n := range o.Hits {
			hits[kind] += n
		}
		if len(o.Anomalies) > 0 {
			names := slices.Compact(slices.Sorted(slices.Values(o.Anomalies)))
			t.Errorf("seed %d: %s\n%s\nagain: make sim SEED=%d; what happened: %s",
				o.Seed, strings.Join(names, ", "), anomaliesOf(t, Dir(dir, o.Seed)), o.Seed, Dir(dir, o.Seed))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !t.Failed() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d seeds from %d on, %v of virtual time, %d operations of clients, %d objects deleted", played, firstSeed, took.Round(time.Second), operations, deleted)
	if played != seedCount || took < seedCount*time.Minute || operations < 1000*seedCount {
		t.Errorf("that is less than %d seeds of a minute", seedCount)
	}
	if rewritten < seedCount || deleted < 100*seedCount {
		t.Errorf("%d segments were rewritten in the end, and %d objects deleted", rewritten, deleted)
	}
	for _, kind := range faults.Kinds() {
		if hits[kind] == 0 {
			t.Errorf("no fault of the kind %s befell anybody", kind)
		}
	}
}

// anomaliesOf is the beginning of what a seed left about its anomalies.
func anomaliesOf(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "anomalies.txt"))
	if os.IsNotExist(err) {
		text, err = os.ReadFile(filepath.Join(dir, "output.txt"))
	}
	if err != nil {
		t.Errorf("look at the anomalies: %v", err)
	}
	const most = 2000
	return string(text[:min(len(text), most)])
}
