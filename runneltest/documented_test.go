package runneltest_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/runneltest"
)

// What docs/testing.md shows stands here, line by line, so that it compiles.

func TestOrdersAreCounted(t *testing.T) {
	c := runneltest.Start(t, runneltest.WithTopic("orders", 3))
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	// … code under test, with this client or with c.Brokers()
	if err := client.ProduceSync(t.Context(), kgo.StringRecord("one")).FirstErr(); err == nil {
		t.Error("a record without a topic was taken")
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders"}).FirstErr(); err != nil {
		t.Error(err)
	}
}

// documentedFaults is compiled, and not run: each line has a test of its own.
var _ = func(t *testing.T, c *runneltest.Cluster) {
	c.Faults().FailPuts(3)           // the next three uploads fail
	c.Faults().SlowPuts(time.Second) // each takes a second longer
	c.Faults().LoseCommitAnswers(1)  // a commit takes effect, and the broker hears that it failed
	c.Faults().StopObjectStore()     // all fails …
	c.Faults().Heal()                // … until now
	if c.Faults().Struck() == 0 {    // did the test test anything?
		t.Error("no fault was met")
	}

	c.Broker(0).CloseClientConnections() // clients connect again
	c.Broker(0).Restart()                // as in a rolling update; the address stays
	c.Broker(0).Kill()                   // as kill -9; Start brings it back
	c.Broker(0).Start()
}

// TestTheDocumentedCodeCompiles holds the Go code of docs/testing.md, but for that of testcontainers, against this file.
func TestTheDocumentedCodeCompiles(t *testing.T) {
	own, err := os.ReadFile("documented_test.go")
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	section, _, _ := strings.Cut(string(document), "\n## In a container")
	blocks := strings.Split(section, "\n```go\n")[1:]
	if len(blocks) < 2 {
		t.Fatalf("docs/testing.md has %d programs", len(blocks))
	}
	code := withoutSpace(string(own))
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "\n```")
		from := 0
		for _, line := range withoutSpace(block) {
			i := slices.Index(code[from:], line)
			if i < 0 {
				t.Errorf("docs/testing.md has a line that is not in documented_test.go, or in another order: %s", line)
				break
			}
			from += i + 1
		}
	}
}

// withoutSpace are the lines that have code or a comment, without what gofmt decides.
func withoutSpace(code string) (lines []string) {
	for line := range strings.Lines(code) {
		if fields := strings.Join(strings.Fields(line), " "); fields != "" {
			lines = append(lines, fields)
		}
	}
	return lines
}
