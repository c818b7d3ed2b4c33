package checker

import (
	"os"
	"regexp"
	"testing"
)

// TestDocumentNamesAllAnomalies: who reads a report looks its names up in docs/correctness.md.
func TestDocumentNamesAllAnomalies(t *testing.T) {
	text, err := os.ReadFile("../../docs/correctness.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		row := regexp.MustCompile(`(?mi)^\|[^|]*\b` + regexp.QuoteMeta(name) + `\b[^|]*\| [^|]+ \|$`)
		if !row.Match(text) {
			t.Errorf("no table has a row of %s", name)
		}
	}
}
