package runner

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestASeedIsTheSameRun plays seeds with all faults, three times at once, so that the processes are in each other's way: all plays
// agree in all that crossed the network and went to the stores, with the times, and in all that clients did and were told.
func TestASeedIsTheSameRun(t *testing.T) {
	binary := program(t, ordinary)
	for _, seed := range []uint64{2, 3, 4} {
		dirs := [3]string{t.TempDir(), t.TempDir(), t.TempDir()}
		var playing sync.WaitGroup
		for _, dir := range dirs {
			playing.Go(func() {
				played, err := Play(t.Context(), binary, seed, dir, Options{Keep: true})
				if err != nil || played.Events < 1000 {
					t.Errorf("seed %d: %d events, %v", seed, played.Events, err)
				}
			})
		}
		playing.Wait()
		if t.Failed() {
			return
		}
		compare(t, seed, dirs[0], dirs[1])
		compare(t, seed, dirs[0], dirs[2])
	}
}

func compare(t *testing.T, seed uint64, dirs ...string) {
	t.Helper()
	for _, name := range []string{"trace.txt", "history.jsonl", "brokers.log"} {
		a, b := read(t, dirs[0], name), read(t, dirs[1], name)
		if line := difference(a, b); line > 0 {
			t.Errorf("seed %d: %s differ from line %d on:\n%s\n%s", seed, name, line, lineOf(a, line), lineOf(b, line))
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
