package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"
)

// TestTiersRunBesideEachOther: none of both kinds waits for the other to end, what they print is not mixed, and the report has them
// in their order.
func TestTiersRunBesideEachOther(t *testing.T) {
	chosen := []tier{{name: "one"}, {name: "virtual", beside: 10}, {name: "two"}, {name: "more", beside: 5}}
	begun, over := make(chan struct{}), make(chan struct{})
	var out bytes.Buffer
	results := runAll(chosen, &out, func(tt tier, w io.Writer) []result {
		fmt.Fprintln(w, tt.name, "begins")
		switch tt.name {
		case "one":
			<-begun
		case "virtual":
			close(begun)
			<-over
		case "two":
			close(over)
		}
		fmt.Fprintln(w, tt.name, "ends")
		return []result{{tier: tt.name}}
	})
	var names []string
	for _, r := range results {
		names = append(names, r.tier)
	}
	if want := []string{"one", "virtual", "two", "more"}; !slices.Equal(names, want) {
		t.Errorf("the report has %q, want %q", names, want)
	}
	want := ""
	for _, name := range []string{"one", "two", "virtual", "more"} {
		want += name + " begins\n" + name + " ends\n"
	}
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", out.String(), want)
	}
}

// TestTiersBesideOthersGiveWay: they run at a lower priority, and no others do.
func TestTiersBesideOthersGiveWay(t *testing.T) {
	for _, tt := range tiers {
		command := tt.command(".")
		if want := []string{"nice", "-n", fmt.Sprint(tt.beside), "go"}; tt.beside > 0 && !slices.Equal(command[:4], want) || tt.beside == 0 && command[0] != "go" {
			t.Errorf("%s: %q", tt.name, command)
		}
	}
}
