//go:build planted

package planted

import (
	"fmt"
	"os"
	"slices"
)

var one = named(os.Getenv("RUNNEL_PLANTED"))

func named(name string) Bug {
	if name == "" {
		return ""
	}
	if !slices.Contains(All, Bug(name)) {
		fmt.Fprintf(os.Stderr, "RUNNEL_PLANTED=%s: there is no such bug; there are %v\n", name, All)
		os.Exit(2)
	}
	fmt.Fprintf(os.Stderr, "planted: %s. This build loses data, as it is meant to.\n", name)
	return Bug(name)
}

// Is tells whether a bug is planted.
func Is(b Bug) bool { return b == one }
