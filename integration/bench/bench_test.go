package main

import (
	"slices"
	"strings"
	"testing"
)

func TestParseJava(t *testing.T) {
	out := "100000 records sent, 19996.0 records/sec (19.53 MB/sec), 1.1 ms avg latency, 12.0 ms max latency.\n" +
		"300000 records sent, 81234.5 records/sec (79.33 MB/sec), 312.40 ms avg latency, 512.00 ms max latency, 300 ms 50th, 400 ms 95th, 450 ms 99th, 500 ms 99.9th.\n"
	r, err := parseJava(out)
	if err != nil || r.p50 != 300 || r.p99 != 450 || number(r.mbPerS) != "83.2" {
		t.Errorf("%+v (%v)", r, err)
	}
	if _, err := parseJava("org.apache.kafka.common.errors.TimeoutException"); err == nil {
		t.Error("an exception is a result")
	}
}

func TestParseBench(t *testing.T) {
	got, ok := parseBench("BenchmarkAppend/16KiB-2   \t  123456\t      9876 ns/op\t1660.00 MB/s\t   3.0 runs/s\t     120 B/op\t       2 allocs/op")
	if want := []string{"Append/16KiB", "9876", "120", "2"}; !ok || !slices.Equal(got, want) {
		t.Errorf("%q %v", got, ok)
	}
	if _, ok := parseBench("ok  \tpkg\t1.2s"); ok {
		t.Error("the end of a package is a benchmark")
	}
}

func TestMedian(t *testing.T) {
	if m := median([]float64{9, 1, 5}); m != 5 {
		t.Errorf("of three: %v", m)
	}
	if m := median([]float64{4, 1, 2, 9}); m != 3 {
		t.Errorf("of four: %v", m)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		all  []float64
		want string
	}{{nil, "-"}, {[]float64{7}, "7.00 (7.00 to 7.00)"}, {[]float64{9, 1, 5, 3, 7, 2, 8, 4}, "4.50 (3.00 to 7.00)"}} {
		if got := spread(c.all); got != c.want {
			t.Errorf("%v: %s, want %s", c.all, got, c.want)
		}
	}
}

func TestPiecesCoverAnObjectOnce(t *testing.T) {
	got := pieces("k", 2*getBytes+5)
	want := []piece{{"k", 0, getBytes - 1}, {"k", getBytes, 2*getBytes - 1}, {"k", 2 * getBytes, 2*getBytes + 4}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// TestShortPiecesCountAsWhatTheyAre: the last of an object is short, and a loop at a rate must not wait as for a whole one.
func TestShortPiecesCountAsWhatTheyAre(t *testing.T) {
	all := append(pieces("k", getBytes+5), pieces("l", 7)...)
	for i, want := range []int64{0, getBytes, getBytes + 5, getBytes + 12, 2*getBytes + 12} {
		if got := before(all, int64(i)); got != want {
			t.Errorf("before piece %d: %d bytes, want %d", i, got, want)
		}
	}
}

func TestCommandsHoldNoSecrets(t *testing.T) {
	shown := strings.Join(withoutAddresses([]string{"commit", "--metastore", "postgres://u:secret@h/d", "--runs", "5"}), " ")
	if shown != "commit --metastore URL --runs 5" {
		t.Errorf("%s", shown)
	}
}
