package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
)

func TestBenchMistakes(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"record size", "bench produce --record-size x", "--record-size"},
		{"no room for the stamp", "bench e2e --record-size 4B", "--record-size must be between 8 B"},
		{"no clients", "bench produce --clients 0", "must be positive"},
		{"rate", "bench produce --rate -1", "--rate must not be negative"},
		{"acks", "bench produce --acks 2", "--acks must be all, 1 or 0"},
		{"codec", "bench catchup -z brotli", "--compression must be none, gzip"},
		{"size", "bench catchup --size much", "--size"},
		{"no metastore", "bench commit", "--metastore must name a metastore"},
		{"batches", "bench commit --metastore memory:// --runs 10 --batches 5", "5 batches do not make 10 runs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, errOut, code := run(t, nil, strings.Fields(tt.line)...)
			if code != exitUsage || !strings.Contains(errOut, tt.want) {
				t.Errorf("exit %d, want %d; %q in\n%s", code, exitUsage, tt.want, errOut)
			}
		})
	}
}

// startDev runs a broker in this process until the test ends.
func startDev(t *testing.T) (bootstrap, admin string) {
	t.Helper()
	bootstrap, admin, _ = startDevOn(t, "")
	return bootstrap, admin
}

// startDevAs changes the broker's configuration before it starts.
func startDevAs(t *testing.T, change func(*config.Config)) (bootstrap string) {
	t.Helper()
	bootstrap, _, _ = startDevWith(t, "", change)
	return bootstrap
}

// startDevOn keeps everything in a directory, or in memory; stop may be called before the test ends.
func startDevOn(t *testing.T, data string) (bootstrap, admin string, stop func()) {
	t.Helper()
	return startDevWith(t, data, func(*config.Config) {})
}

func startDevWith(t *testing.T, data string, change func(*config.Config)) (bootstrap, admin string, stop func()) {
	t.Helper()
	o := devOptions{listen: "127.0.0.1:0", admin: "127.0.0.1:0", brokers: 1, logLevel: "warn", data: data}
	configs, err := o.configs()
	if err != nil {
		t.Fatal(err)
	}
	change(configs[0])
	stores, err := node.OpenStores(t.Context(), configs[0])
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := openNodes(t.Context(), configs, stores, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- nodes[0].Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run broker: %v", err)
		}
		if err := stores.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	if !awaitReady(t.Context(), nodes) {
		t.Fatal("the broker did not become ready")
	}
	return nodes[0].Addr().String(), nodes[0].AdminAddr().String(), stop
}

func TestBenchmarksOfACluster(t *testing.T) {
	bootstrap, admin := startDev(t)
	tests := []struct {
		name, line string
		records    float64
		costs      bool
	}{
		{"produce flat out", "produce --clients 2 --topics 2 --batch-bytes 50000 --warmup 500ms --duration 1s --admin " + admin, 10, true},
		{"produce at a rate", "produce --rate 200 --warmup 0s --duration 500ms --acks 1 -z zstd", 5, false},
		{"e2e", "e2e --rate 200 --clients 2 --warmup 0s --duration 500ms --consume-via " + bootstrap, 5, false},
		{"catchup", "catchup --size 2MiB --clients 3 --partitions 2 --admin " + admin, 2048, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			line := append([]string{"bench"}, strings.Fields(tt.line)...)
			out, errOut, code := run(t, []string{"RUNNEL_BOOTSTRAP=" + bootstrap}, append(line, "--json")...)
			if code != 0 {
				t.Fatalf("exit %d: %s", code, errOut)
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			if n, _ := got["records"].(float64); n < tt.records {
				t.Errorf("%v records, want at least %v", n, tt.records)
			}
			if p50, _ := got["p50_ms"].(float64); p50 <= 0 {
				t.Errorf("p50 %v", got["p50_ms"])
			}
			if costs := got["cpu_seconds_per_gib"] != nil; costs != tt.costs {
				t.Errorf("costs %v in\n%s", got["cpu_seconds_per_gib"], out)
			}
		})
	}
	samples := filepath.Join(t.TempDir(), "samples.csv")
	begun := time.Now()
	if _, errOut, code := run(t, nil, strings.Fields("bench e2e --rate 200 --warmup 0s --duration 500ms --bootstrap "+bootstrap+" --samples "+samples)...); code != 0 {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	checkSamples(t, samples, begun)
	out, errOut, code := run(t, nil, "topic", "list", "--bootstrap", bootstrap)
	if code != 0 || strings.Contains(out, "runnel-bench") {
		t.Errorf("topics are left behind (exit %d):\n%s%s", code, out, errOut)
	}
}

// checkSamples: each record that was due is there twice, when it was written and when it was read.
func checkSamples(t *testing.T, name string, begun time.Time) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil || len(lines) < 1 || strings.Join(lines[0], ",") != "due_us,kind,took_us" {
		t.Fatalf("%v (%v)", lines, err)
	}
	due := map[string][]int64{}
	for _, l := range lines[1:] {
		at, err1 := strconv.ParseInt(l[0], 10, 64)
		took, err2 := strconv.ParseInt(l[2], 10, 64)
		if err1 != nil || err2 != nil || took <= 0 || took > 30e6 || at < begun.UnixMicro() || at > time.Now().UnixMicro() {
			t.Errorf("sample %q", l)
		}
		due[l[1]] = append(due[l[1]], at)
	}
	for _, all := range due {
		slices.Sort(all)
	}
	if len(due) != 2 || len(due["e2e"]) < 20 || !slices.Equal(due["e2e"], due["produce"]) {
		t.Errorf("%d kinds, %d samples of records read, %d of records written", len(due), len(due["e2e"]), len(due["produce"]))
	}
}

func TestBenchCommitWritesATable(t *testing.T) {
	out, errOut, code := run(t, nil, strings.Fields("bench commit --metastore memory:// --runs 20 --committers 2 --warmup 0s --seconds 0.1")...)
	if code != 0 || !strings.Contains(out, "commits     ") || !strings.Contains(out, "of slowest  ") || !strings.Contains(out, "latency     p50 ") || strings.Contains(out, "throughput") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
}

func TestBenchCommitGoesThroughASequencer(t *testing.T) {
	out, errOut, code := run(t, nil, strings.Fields("bench commit --metastore memory:// --runs 20 --committers 3 --sequencer --warmup 0s --seconds 0.2 --json")...)
	var got struct {
		CommitsPerS float64        `json:"commits_per_s"`
		Setup       map[string]any `json:"setup"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("exit %d (%v)\n%s%s", code, err, out, errOut)
	}
	if got.CommitsPerS == 0 || got.Setup["sequencer"] != true {
		t.Errorf("%+v", got)
	}
}

func TestShareDealsEveryPartitionOnce(t *testing.T) {
	shares := share([]string{"a", "b"}, 3, 4)
	seen := 0
	for _, s := range shares {
		for _, partitions := range s {
			seen += len(partitions)
		}
	}
	if len(shares) != 4 || seen != 6 {
		t.Errorf("%v", shares)
	}
	if shares := share([]string{"a"}, 2, 9); len(shares) != 2 {
		t.Errorf("nine consumers of two partitions: %v", shares)
	}
}
