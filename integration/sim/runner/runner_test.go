package runner

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestASeedIsTheSameRunEachTime plays seeds twice, with all faults, and compares all that crossed the network and went to
// the stores, with the times, and all that clients did and were told.
func TestASeedIsTheSameRunEachTime(t *testing.T) {
	binary := program(t, ordinary)
	for _, seed := range []uint64{2, 3, 4} {
		var runs [2]Outcome
		var dirs [2]string
		for i := range runs {
			dirs[i] = t.TempDir()
			var err error
			if runs[i], err = Play(t.Context(), binary, seed, dirs[i], Options{Keep: true}); err != nil {
				t.Fatal(err)
			}
		}
		if runs[0].Events < 1000 || runs[0].Sum != runs[1].Sum {
			t.Errorf("seed %d: %d events with sum %s, and %d with %s", seed, runs[0].Events, runs[0].Sum, runs[1].Events, runs[1].Sum)
		}
		for _, name := range []string{"trace.txt", "history.jsonl", "brokers.log"} {
			a, b := read(t, dirs[0], name), read(t, dirs[1], name)
			if line := difference(a, b); line > 0 {
				t.Errorf("seed %d: %s differ from line %d on:\n%s\n%s", seed, name, line, lineOf(a, line), lineOf(b, line))
			}
		}
	}
}

func TestAnotherSeedIsAnotherRun(t *testing.T) {
	binary := program(t, ordinary)
	sums := make(map[string]uint64)
	for seed := uint64(1); seed <= 3; seed++ {
		o, err := Play(t.Context(), binary, seed, t.TempDir(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := sums[o.Sum]; ok {
			t.Errorf("seeds %d and %d are the same run", other, seed)
		}
		sums[o.Sum] = seed
	}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// difference is the first line, from 1, in which two texts differ; 0: none.
func difference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return 0
	}
	x, y := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(x), len(y)) {
		if !bytes.Equal(x[i], y[i]) {
			return i + 1
		}
	}
	return min(len(x), len(y)) + 1
}

func lineOf(text []byte, line int) []byte {
	lines := bytes.Split(text, []byte("\n"))
	if line > len(lines) {
		return []byte("(the end)")
	}
	return lines[line-1]
}
