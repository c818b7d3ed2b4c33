package group

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// A run of the machine takes microseconds: rapid's default of 100 leaves most of its paths unseen.
	if err := flag.Set("rapid.checks", "2000"); err != nil {
		os.Exit(2)
	}
	flag.Parse()
	goleak.VerifyTestMain(m)
}
