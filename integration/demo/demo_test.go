package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/harness"
)

func TestDataIsWhole(t *testing.T) {
	flights, err := readFlights()
	if err != nil {
		t.Fatal(err)
	}
	if len(flights) != 20_000 {
		t.Errorf("%d flights", len(flights))
	}
	first := flight{Departure: time.Date(2001, 1, 1, 0, 47, 0, 0, time.UTC), Origin: "DTW", Destination: "LAS", Miles: 1750, Delay: 66}
	if flights[0] != first {
		t.Errorf("first flight %+v", flights[0])
	}
}

func TestComputations(t *testing.T) {
	sum, raised := make(totals), newNotices()
	for _, f := range []flight{{Origin: "A", Delay: -5, Miles: 10}, {Origin: "A", Delay: 70, Miles: 20}, {Origin: "B", Delay: 59},
		{Origin: "A", Delay: 70}, {Origin: "A", Delay: 90}, {Origin: "A", Delay: 80}} {
		sum.take(f)
		raised.take(f)
	}
	if a := *sum["A"]; a != (total{Origin: "A", Flights: 5, Delay: 305, Late: 4, Longest: 90, Distance: 30}) {
		t.Errorf("%+v", a)
	}
	if n := raised.raised["A"]; len(n) != 2 || n[1].Flight.Delay != 90 || n[1].Previous != 70 || len(raised.raised["B"]) != 0 {
		t.Errorf("%+v", raised.raised)
	}
}

// The check must notice a record that is lost, doubled, changed or out of order.
func TestCheckNoticesWhatDiffers(t *testing.T) {
	flights := []flight{{Origin: "A", Delay: 70}, {Origin: "A", Delay: 90}, {Origin: "B", Delay: 5}}
	changed := []flight{{Origin: "A", Delay: 70}, {Origin: "A", Delay: 91}, {Origin: "B", Delay: 5}}
	for name, read := range map[string][]flight{
		"lost":         flights[1:],
		"doubled":      append(flights[:3:3], flights[2]),
		"changed":      changed,
		"out of order": {flights[1], flights[0], flights[2]},
	} {
		out := &outcome{totals: make(totals), notices: newNotices(), committed: map[string]int64{totalsGroup: 3, noticesGroup: 3}}
		for _, f := range read {
			out.totals.take(f)
			out.notices.take(f)
		}
		if len(check(flights, out)) == 0 {
			t.Errorf("%s: nothing differs", name)
		}
	}
}

func TestDemo(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var printed bytes.Buffer
	err := demo(ctx, &printed, harness.Binary(t), "")
	t.Logf("\n%s", &printed)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(printed.String(), "Checked: both agree") {
		t.Error("it does not say that it checked")
	}
}
