package node

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore/fault"
)

// run runs a broker until stop, or the end of the test.
func run(t *testing.T, n *Node) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// brokenCheck is a store whose Check fails on demand.
type brokenCheck struct {
	*fault.Store
	mu     sync.Mutex
	err    error
	checks int
}

func (b *brokenCheck) checked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.checks
}

func (b *brokenCheck) set(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *brokenCheck) Check(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.checks++
	if b.err != nil {
		return b.err
	}
	return b.Store.Check(ctx)
}

// countedSnapshots is a metastore that counts how often the latest snapshot is read.
type countedSnapshots struct {
	metastore.Store
	reads atomic.Int64
}

func (c *countedSnapshots) LatestSnapshot(ctx context.Context) (metastore.Snapshot, error) {
	c.reads.Add(1)
	return c.Store.LatestSnapshot(ctx)
}

//go:generate env RUNNEL_UPDATE=1 go test -run TestMetricsDocIsCurrent

var description = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "(.*)", unit: "[^"]*", constLabels: \{[^}]*\}, variableLabels: \{([^}]*)\}\}$`)

// metricsDoc is docs/metrics.md: what a node registers, without what the Go runtime and the process add.
func metricsDoc(registry *prometheus.Registry) string {
	described := make(chan *prometheus.Desc)
	go func() {
		registry.Describe(described)
		close(described)
	}()
	var rows []string
	for d := range described {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			panic("unexpected form of a metric's description: " + d.String())
		}
		if !strings.HasPrefix(m[1], "runnel_") {
			continue
		}
		labels := strings.ReplaceAll(m[3], ",", ", ")
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", m[1], labels, strings.ReplaceAll(m[2], "|", `\|`)))
	}
	slices.Sort(rows)
	return "<!-- Made by \"make generate\". Do not edit. -->\n# Metrics\n\n" +
		"At `/metrics` of the admin address, in Prometheus' text format, beside those of the Go runtime and the process.\n" +
		"Names end in their unit; `_total` is a counter, `_seconds` and `_bytes` with a distribution are histograms.\n\n" +
		"| metric | labels | meaning |\n|---|---|---|\n" + strings.Join(rows, "")
}
