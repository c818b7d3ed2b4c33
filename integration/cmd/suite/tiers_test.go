package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"
)

// TestTiersThatComputeRunBesideTheOthers: none of both waits for the other kind to end, what they print is not mixed, and the report
// has them in their order.
func TestTiersThatComputeRunBesideTheOthers(t *testing.T) {
	chosen := []tier{{name: "one"}, {name: "virtual", beside: true}, {name: "two"}, {name: "more", beside: true}}
	begun, last := make(chan struct{}), make(chan struct{})
	var out bytes.Buffer
	results := runAll(chosen, &out, func(tt tier, w io.Writer) []result {
		switch tt.name {
		case "virtual":
			close(begun)
		case "more": // which ends last
			<-last
		case "one":
			<-begun
		case "two":
			close(last)
		}
		fmt.Fprintln(w, tt.name)
		return []result{{tier: tt.name}}
	})
	var names []string
	for _, r := range results {
		names = append(names, r.tier)
	}
	if want := []string{"one", "virtual", "two", "more"}; !slices.Equal(names, want) {
		t.Errorf("the report has %q, want %q", names, want)
	}
	if got, want := out.String(), "one\ntwo\nvirtual\nmore\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
