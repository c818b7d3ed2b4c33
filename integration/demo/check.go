package main

import (
	"fmt"
	"reflect"
)

// check compares what came out of the topic with the same computation on the file, and returns what differs.
func check(flights []flight, out *outcome) []string {
	wantTotals, wantNotices := make(totals), newNotices()
	for _, f := range flights {
		wantTotals.take(f)
		wantNotices.take(f)
	}
	var differences []string
	for origin, want := range wantTotals {
		if got := out.totals[origin]; got == nil || *got != *want {
			differences = append(differences, fmt.Sprintf("totals of %s: %+v, should be %+v", origin, got, want))
		}
	}
	if len(out.totals) != len(wantTotals) {
		differences = append(differences, fmt.Sprintf("totals of %d airports, should be %d", len(out.totals), len(wantTotals)))
	}
	for origin, want := range wantNotices.raised {
		if got := out.notices.raised[origin]; !reflect.DeepEqual(got, want) {
			differences = append(differences, fmt.Sprintf("notices of %s: %+v, should be %+v", origin, got, want))
		}
	}
	if got, want := len(out.notices.all()), len(wantNotices.all()); got != want {
		differences = append(differences, fmt.Sprintf("%d notices, should be %d", got, want))
	}
	for _, group := range []string{totalsGroup, noticesGroup} {
		if got := out.committed[group]; got != int64(len(flights)) {
			differences = append(differences, fmt.Sprintf("%s committed offsets that sum to %d, should be %d", group, got, len(flights)))
		}
	}
	return differences
}
