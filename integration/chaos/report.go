package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

// outcome is what a run came to.
type outcome struct {
	seed      uint64
	brokers   int
	load      time.Duration
	took      time.Duration // with all that comes before and after
	deeds     []deed
	history   *history.History
	stalls    []stall
	anomalies []checker.Anomaly
	wrong     []string // what else must not be
}

// failed tells whether anything is wrong.
func (o *outcome) failed() bool {
	unexplained := slices.ContainsFunc(o.stalls, func(s stall) bool { return s.Unexplained })
	return unexplained || len(o.anomalies) > 0 || len(o.wrong) > 0
}

// String is the report.
func (o *outcome) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "chaos: seed %d, %d brokers, %v of load, %v in all\n", o.seed, o.brokers, o.load, o.took.Round(time.Second))
	counts := map[string]int{}
	for _, d := range o.deeds {
		counts[d.Fault]++
	}
	fmt.Fprintf(&b, "\nfaults: %d of %d kinds\n", len(o.deeds), len(counts))
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "  %3d %s\n", counts[name], name)
	}
	fmt.Fprintf(&b, "\noperations, with those of the final phase\n%s", indented(history.Summarize(o.history).String()))
	fmt.Fprintf(&b, "\nacknowledged sends: %s\n", latencies(o.history))
	fmt.Fprintf(&b, "\nperiods of more than %v without success: %d\n", stalled, len(o.stalls))
	worst, left := worstStalls(o.stalls)
	for _, s := range worst {
		fmt.Fprintf(&b, "  %v\n", s)
	}
	if left > 0 {
		fmt.Fprintf(&b, "  and %d of single workers that ended sooner after what explains them: stalls.txt\n", left)
	}
	fmt.Fprintf(&b, "\nanomalies: %d\n", len(o.anomalies))
	for _, a := range o.anomalies {
		b.WriteString(indented(a.String()))
	}
	for _, text := range o.wrong {
		fmt.Fprintf(&b, "wrong: %s\n", text)
	}
	return b.String()
}

func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}

// latencies are percentiles of how long sends took that were acknowledged.
func latencies(h *history.History) string {
	var took []time.Duration
	for i := range h.Operations {
		for _, s := range h.Operations[i].Steps {
			if s.Send != nil && s.Outcome == history.OK {
				took = append(took, s.Ended.At-s.Begun.At)
			}
		}
	}
	if len(took) == 0 {
		return "none"
	}
	slices.Sort(took)
	at := func(part float64) time.Duration {
		return took[min(len(took)-1, int(part*float64(len(took))))].Round(time.Millisecond)
	}
	return fmt.Sprintf("%d, p50 %v, p90 %v, p99 %v, p99.9 %v, longest %v", len(took), at(0.5), at(0.9), at(0.99), at(0.999), at(1))
}

// save writes what a run can be judged by again: beside the logs, which are there already.
func (o *outcome) save(dir string) error {
	f, err := os.Create(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		return err
	}
	err = errors.Join(o.history.Save(f), f.Close())
	var all strings.Builder
	for _, s := range o.stalls {
		fmt.Fprintf(&all, "%v\n", s)
	}
	return errors.Join(err, os.WriteFile(filepath.Join(dir, "stalls.txt"), []byte(all.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "report.txt"), []byte(o.String()), 0o644))
}

// saveSchedule writes what is going to be broken.
func saveSchedule(dir string, seed uint64, schedule []strike) error {
	b, err := json.MarshalIndent(map[string]any{"seed": seed, "strikes": schedule}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "schedule.json"), b, 0o644)
}
