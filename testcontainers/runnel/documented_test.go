package runnel_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"

	"github.com/runnel-io/runnel/testcontainers/runnel"
)

// What README.md and docs/testing.md show stands here, line by line, so that it compiles. What it does the examples run.

var _ = func(t *testing.T) {
	ctx := context.Background()
	c, err := runnel.Run(ctx, "runnel:latest")
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatal(err)
	}
	brokers, err := c.Brokers(ctx)
	_, _ = brokers, err
}

var _ = func(t *testing.T) {
	testcontainers.SkipIfProviderIsNotHealthy(t)
}

var _ = func(ctx context.Context) {
	nw, err := network.New(ctx)
	_ = err
	c, err := runnel.Run(ctx, "runnel:latest", network.WithNetwork([]string{"broker"}, nw))
	_ = err
	inside, err := c.BrokersInNetwork(ctx) // [broker:9093]
	_, _ = inside, err
}

var _ = func(ctx context.Context, t *testing.T) {
	c, err := runnel.Run(ctx, "runnel:latest", runnel.WithClusterDefault("num.partitions", "3"))
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatal(err)
	}
	brokers, err := c.Brokers(ctx)
	_, _ = brokers, err
}

// TestTheDocumentedCodeCompiles holds the Go code of the documents against this file.
func TestTheDocumentedCodeCompiles(t *testing.T) {
	own, err := os.ReadFile("documented_test.go")
	if err != nil {
		t.Fatal(err)
	}
	code := withoutSpace(string(own))
	for path, after := range map[string]string{"README.md": "", "../../docs/testing.md": "\n## In a container"} {
		document, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, section, _ := strings.Cut(string(document), after)
		blocks := strings.Split(section, "\n```go\n")[1:]
		if len(blocks) == 0 {
			t.Errorf("%s has no programs", path)
		}
		for _, block := range blocks {
			block, _, _ = strings.Cut(block, "\n```")
			from := 0
			for _, line := range withoutSpace(block) {
				if line == "..." || strings.HasPrefix(line, "func ") || line == "}" {
					continue
				}
				i := slices.Index(code[from:], line)
				if i < 0 {
					t.Errorf("%s has a line that is not in documented_test.go, or in another order: %s", path, line)
					break
				}
				from += i + 1
			}
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
