package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// busyTimes are clock ticks that all processors together had since the machine started, and those in which they had something to do.
type busyTimes struct{ busy, all int64 }

// readBusy reads the first line of /proc/stat (proc_stat(5)): user, nice, system, idle, iowait, irq, softirq, steal, in ticks.
func readBusy(stat string) (t busyTimes, ok bool) {
	line, _, _ := strings.Cut(stat, "\n")
	var user, nice, system, idle, wait, irq, soft, steal int64
	if _, err := fmt.Sscanf(line, "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &wait, &irq, &soft, &steal); err != nil {
		return t, false
	}
	t.busy = user + nice + system + irq + soft + steal
	t.all = t.busy + idle + wait
	return t, true
}

// watchBusy returns what tells how long it has been since, and which share of that the processors of the machine were busy, if it
// can be told: the rest is what tiers wait for.
func watchBusy() (told func() string) {
	began := time.Now()
	before, ok := lookBusy()
	return func() string {
		text := fmt.Sprintf("%.0fs in all", time.Since(began).Seconds())
		if after, still := lookBusy(); ok && still && after.all > before.all {
			text += fmt.Sprintf(", of which the processors of this machine were busy for %d %%", 100*(after.busy-before.busy)/(after.all-before.all))
		}
		return text
	}
}

func lookBusy() (busyTimes, bool) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return busyTimes{}, false
	}
	return readBusy(string(stat))
}
