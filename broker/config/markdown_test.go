package config

import (
	"os"
	"testing"
)

func TestDocumentationIsCurrent(t *testing.T) {
	const path = "../../docs/config.md"
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Markdown() {
		t.Errorf("%s is stale: run `go run ./cmd/runnel docs config -o docs/config.md`", path)
	}
}
