package main

import (
	"cmp"
	"slices"
)

// consumer takes flights one after the other. The two below do what an application would do, and serve both ways: fed
// from the topic, and fed from the file to check that.
type consumer interface {
	take(f flight)
}

// total is what is known of one airport.
type total struct {
	Origin   string
	Flights  int
	Delay    int // sum, minutes
	Late     int // flights that came 15 minutes late or more, as the Bureau counts
	Longest  int // delay
	Distance int // sum, miles
}

// totals keeps running totals of every airport.
type totals map[string]*total

func (t totals) take(f flight) {
	a := t[f.Origin]
	if a == nil {
		a = &total{Origin: f.Origin, Longest: f.Delay}
		t[f.Origin] = a
	}
	a.Flights++
	a.Delay += f.Delay
	a.Distance += f.Miles
	a.Longest = max(a.Longest, f.Delay)
	if f.Delay >= 15 {
		a.Late++
	}
}

// busiest returns all totals, most flights first.
func (t totals) busiest() []total {
	var list []total
	for _, a := range t {
		list = append(list, *a)
	}
	slices.SortFunc(list, func(a, b total) int {
		return cmp.Or(cmp.Compare(b.Flights, a.Flights), cmp.Compare(a.Origin, b.Origin))
	})
	return list
}

// recordFrom is the delay, in minutes, from which a new longest delay of an airport is worth a notice.
const recordFrom = 60

// notice says that a flight was later than any before it from the same airport. Whether a flight makes one depends on
// those before it: flights of one airport that came in another order would give other notices.
type notice struct {
	Flight   flight
	Previous int // the longest delay until then, 0 if none was worth a notice
}

// notices raises notices, by airport.
type notices struct {
	longest map[string]int
	raised  map[string][]notice
}

func newNotices() *notices {
	return &notices{longest: make(map[string]int), raised: make(map[string][]notice)}
}

func (n *notices) take(f flight) {
	if previous := n.longest[f.Origin]; f.Delay >= recordFrom && f.Delay > previous {
		n.raised[f.Origin] = append(n.raised[f.Origin], notice{f, previous})
		n.longest[f.Origin] = f.Delay
	}
}

// all returns the notices, the longest delay first.
func (n *notices) all() []notice {
	var list []notice
	for _, of := range n.raised {
		list = append(list, of...)
	}
	slices.SortFunc(list, func(a, b notice) int {
		return cmp.Or(cmp.Compare(b.Flight.Delay, a.Flight.Delay), cmp.Compare(a.Flight.Origin, b.Flight.Origin),
			a.Flight.Departure.Compare(b.Flight.Departure))
	})
	return list
}
