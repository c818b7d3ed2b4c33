package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestAClientDoesNotOutliveATestThatHangs: nothing else ends a wait for a record that was sent, so tests make clients by harness.Client.
func TestAClientDoesNotOutliveATestThatHangs(t *testing.T) {
	looked := 0
	for _, dir := range []string{".", "cli", "../ascode", "../ecosystem", "../independent"} {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			looked++
			if bytes.Contains(text, []byte("kgo."+"NewClient(")) {
				t.Errorf("%s: kgo.NewClient", file)
			}
		}
	}
	if looked < 40 {
		t.Errorf("%d files", looked)
	}
}
