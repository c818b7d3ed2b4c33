package runner

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/sim"
	"github.com/runnel-io/runnel/integration/sim/audit"
	"github.com/runnel-io/runnel/integration/sim/faults"
	"github.com/runnel-io/runnel/planted"
)

// TestDocumentSaysWhatIsPlayed: docs/correctness.md counts the kinds of faults, explains what a simulation finds beside the
// checker's anomalies, and has a row for each planted bug with what it is found by.
func TestDocumentSaysWhatIsPlayed(t *testing.T) {
	b, err := os.ReadFile("../../../docs/correctness.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if kinds := fmt.Sprintf("%d kinds in all", len(faults.Kinds())); !strings.Contains(text, kinds) {
		t.Errorf("it does not say %q", kinds)
	}
	for _, name := range []string{sim.Stuck, sim.Panic, audit.BrokenLog, audit.StateMismatch, audit.SizeMismatch, audit.EarlyDeletion} {
		if !strings.Contains(text, "\n| "+name+" | ") {
			t.Errorf("no table has a row of %s", name)
		}
	}
	for _, s := range showing {
		row := ""
		for line := range strings.Lines(text) {
			if strings.Contains(line, " | "+string(s.bug)+" | ") {
				row = line
			}
		}
		for _, name := range s.names {
			if !strings.Contains(row, name) {
				t.Errorf("the row of %s lacks %s: %q", s.bug, name, row)
			}
		}
	}
	if len(showing) != len(planted.All) {
		t.Errorf("%d of %d bugs are planted", len(showing), len(planted.All))
	}
}
