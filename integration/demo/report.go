package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

const shown = 6 // rows of each table

// report writes what the two groups computed.
func report(w io.Writer, out *outcome) error {
	p := out.produced
	fmt.Fprintf(w, "Produced %d flights (%.1f MiB of JSON, zstd) to %d partitions: ", p.records, float64(p.bytes)/(1<<20), len(p.offsets))
	for i := range int32(partitions) {
		if i > 0 {
			fmt.Fprint(w, " + ")
		}
		fmt.Fprint(w, p.offsets[i])
	}
	fmt.Fprintf(w, " records.\nBoth groups had read all of them after %s.\n\n", out.took.Round(10*time.Millisecond))

	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	airports := out.totals.busiest()
	fmt.Fprintf(w, "Group %s: running totals of %d airports, the busiest:\n\n", totalsGroup, len(airports))
	fmt.Fprintln(t, "  airport\tflights\tmean delay\tlate\tlongest\t")
	for _, a := range airports[:min(shown, len(airports))] {
		fmt.Fprintf(t, "  %s\t%d\t%.1f min\t%.0f %%\t%d min\t\n", a.Origin, a.Flights, float64(a.Delay)/float64(a.Flights),
			100*float64(a.Late)/float64(a.Flights), a.Longest)
	}
	if err := t.Flush(); err != nil {
		return err
	}

	raised := out.notices.all()
	fmt.Fprintf(w, "\nGroup %s: %d notices that a flight was later than any before it from its airport, the worst:\n\n", noticesGroup, len(raised))
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, n := range raised[:min(shown, len(raised))] {
		before := "the first of an hour or more"
		if n.Previous > 0 {
			before = fmt.Sprintf("until then %d min", n.Previous)
		}
		fmt.Fprintf(t, "  %s\t%s to %s\t%d min late\t%s\n", n.Flight.Departure.Format("2 Jan 2006 15:04"), n.Flight.Origin,
			n.Flight.Destination, n.Flight.Delay, before)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}
