package runner

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestASeedIsTheSameRun plays seeds with all faults until two plays agree in all that crossed the network and went to the
// stores, with the times, and in all that clients did and were told. Two in a row do on a machine that has nothing else to do;
// on one that is overloaded one play in about ten lists the topics of a request in another order, which is logged.
func TestASeedIsTheSameRun(t *testing.T) {
	const plays = 4
	binary := program(t, ordinary)
	for _, seed := range []uint64{2, 3, 4} {
		dirs := make(map[string]string) // of the first play with a sum
		for n := 1; ; n++ {
			dir := t.TempDir()
			played, err := Play(t.Context(), binary, seed, dir, Options{Keep: true})
			if err != nil {
				t.Fatal(err)
			}
			if played.Events < 1000 {
				t.Fatalf("seed %d: %d events", seed, played.Events)
			}
			if first, ok := dirs[played.Sum]; ok {
				compare(t, seed, first, dir)
				break
			}
			if n == plays {
				t.Fatalf("seed %d: no two of %d plays are the same", seed, plays)
			}
			for _, other := range dirs {
				a, b := read(t, other, "trace.txt"), read(t, dir, "trace.txt")
				line := difference(a, b)
				t.Logf("seed %d: a play differs from line %d of its trace on:\n%s\n%s", seed, line, lineOf(a, line), lineOf(b, line))
			}
			dirs[played.Sum] = dir
		}
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
