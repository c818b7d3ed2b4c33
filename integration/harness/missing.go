package harness

import (
	"os"
	"testing"
)

// Missing ends a test that needs what cannot be had here: skipped, saying so, and in CI failed.
func Missing(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s cannot be had: %v", what, err)
	}
	t.Skipf("NOT TESTED: %s cannot be had: %v", what, err)
}
