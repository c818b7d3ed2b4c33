package workload

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/history"
)

// TestWorkloadOnOneBroker runs everything that the workload does on brokers without faults, once with each of the group
// protocols: each kind of operation occurs, what was acknowledged is in the final reads, what was aborted is not, and the
// pipeline has moved each record once.
func TestWorkloadOnOneBroker(t *testing.T) {
	histories := make([]*history.History, 3)
	before := processorTime(t)
	t.Run("seeds", func(t *testing.T) {
		for seed := range histories {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				broker := harness.Dev(t, harness.DevOptions{Set: ClusterSettings()})
				start := time.Now()
				h, err := Run(t.Context(), Options{
					Seed: uint64(seed), Seeds: []string{broker.Addr}, Duration: loadTime, Rotate: 2 * time.Second,
					Recorder: history.NewRecorder(func() time.Duration { return time.Since(start) }),
				})
				if err != nil {
					t.Fatal(err)
				}
				logCounts(t, h)
				requireEnded(t, h)
				requireAcknowledged(t, h)
				requireMoved(t, h)
				histories[seed] = h
			})
		}
	})
	t.Logf("%v of processor time for %d runs of %v", processorTime(t)-before, len(histories), loadTime)
	if !t.Failed() {
		requireKinds(t, histories)
	}
}

// loadTime is how long the load of a run lasts here.
const loadTime = 12 * time.Second

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func logCounts(t *testing.T, h *history.History) {
	t.Helper()
	counts := map[string]int{}
	errorsOf := map[string]int{}
	for _, o := range h.Operations {
		counts[fmt.Sprintf("%s %s", o.Kind, o.Outcome)]++
		if o.Error != "" {
			errorsOf[fmt.Sprintf("%s %s: %.150s", o.Kind, o.Outcome, o.Error)]++
		}
	}
	for _, m := range []map[string]int{counts, errorsOf} {
		for _, what := range slices.Sorted(maps.Keys(m)) {
			t.Logf("%6d %s", m[what], what)
		}
	}
}

// requireKinds fails where an operation never did what it is for.
func requireKinds(t *testing.T, histories []*history.History) {
	t.Helper()
	var all []history.Operation
	for _, h := range histories {
		all = append(all, h.Operations...)
	}
	want := map[string]func(history.Operation) bool{
		"produce":               func(o history.Operation) bool { return o.Kind == history.Produce },
		"poll of records":       func(o history.Operation) bool { return o.Kind == history.Poll && len(o.Steps[0].Read) > 0 },
		"committed transaction": func(o history.Operation) bool { return o.Kind == history.Transaction && o.Commit },
		"aborted transaction": func(o history.Operation) bool {
			return o.Kind == history.Transaction && !o.Commit && !o.Deciding.Never()
		},
		"transaction with offsets":   func(o history.Operation) bool { return o.Kind == history.Transaction && o.Commit && len(o.Offsets) > 0 },
		"assign":                     func(o history.Operation) bool { return o.Kind == history.Assign },
		"subscribe":                  func(o history.Operation) bool { return o.Kind == history.Subscribe },
		"assigned by a group":        func(o history.Operation) bool { return o.Kind == history.Assigned && o.Member != "" },
		"revoked by a group":         func(o history.Operation) bool { return o.Kind == history.Revoked && o.Member != "" },
		"rewind":                     func(o history.Operation) bool { return o.Kind == history.Rewind },
		"commit of offsets":          func(o history.Operation) bool { return o.Kind == history.CommitOffsets },
		"fetch of offsets":           func(o history.Operation) bool { return o.Kind == history.FetchOffsets },
		"observation":                func(o history.Operation) bool { return o.Kind == history.Observe && o.Marks.High > 0 },
		"creation of a topic":        func(o history.Operation) bool { return o.Kind == history.Admin && o.Text == "create topic t0" },
		"final read, committed only": func(o history.Operation) bool { return o.Final && o.Isolation == history.ReadCommitted },
		"final read of everything":   func(o history.Operation) bool { return o.Final && o.Isolation == history.ReadUncommitted },
		"tombstone": func(o history.Operation) bool {
			return o.Kind != history.Poll && slices.ContainsFunc(o.Steps, sentTombstone)
		},
		"tombstone read": func(o history.Operation) bool {
			return o.Kind == history.Poll && slices.ContainsFunc(o.Steps, readTombstone)
		},
		"deletion of records":      func(o history.Operation) bool { return o.Kind == history.DeleteRecords },
		"log start that has moved": func(o history.Operation) bool { return o.Kind == history.Observe && o.Marks.LogStart > 0 },
		"deletion of a topic":      func(o history.Operation) bool { return o.Kind == history.DeleteTopic },
		"topic made again":         func(o history.Operation) bool { return o.Kind == history.Produce && o.Steps[0].Send.Topic == "again.2" },
		"whole reading": func(o history.Operation) bool {
			return o.Kind == history.Poll && o.Whole && !o.Final && len(o.Steps) > 1
		},
		"transaction of the pipeline":  func(o history.Operation) bool { return o.Kind == history.Transaction && o.Group == pipelineGroup },
		"read committed outside of it": func(o history.Operation) bool { return o.Kind == history.Poll && o.Isolation == history.ReadCommitted },
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !slices.ContainsFunc(all, func(o history.Operation) bool { return o.Outcome == history.OK && want[name](o) }) {
			t.Errorf("no %s was done", name)
		}
	}
}

func sentTombstone(s history.Step) bool { return s.Send != nil && s.Send.Tombstone }
func readTombstone(s history.Step) bool {
	return slices.ContainsFunc(s.Read, func(r history.Record) bool { return r.Tombstone })
}

// requireEnded fails where an operation was forgotten.
func requireEnded(t *testing.T, h *history.History) {
	t.Helper()
	for _, o := range h.Operations {
		if o.Ended.Never() {
			t.Errorf("%s of worker %d, begun at %v, never ended", o.Kind, o.Worker, o.Begun.At)
		}
	}
}

// visible counts how often each value is in the final reads of one broker.
func visible(h *history.History, isolation history.Isolation) map[int64]int {
	counts := map[int64]int{}
	done := map[history.Partition]bool{}
	for _, o := range h.Operations {
		if !o.Final || o.Kind != history.Poll || o.Isolation != isolation || done[o.Partitions[0]] {
			continue
		}
		done[o.Partitions[0]] = true
		for _, s := range o.Steps {
			for _, r := range s.Read {
				counts[r.Value]++
			}
		}
	}
	return counts
}

// requireAcknowledged compares what senders were told with the final reads.
func requireAcknowledged(t *testing.T, h *history.History) {
	t.Helper()
	committed, all := visible(h, history.ReadCommitted), visible(h, history.ReadUncommitted)
	acknowledged := 0
	for _, o := range h.Operations {
		for _, s := range o.Steps {
			if s.Send == nil {
				continue
			}
			seen, anywhere := committed[s.Send.Value], all[s.Send.Value]
			keeps := kindOfTopic(s.Send.Topic) == plain && !strings.HasPrefix(s.Send.Topic, againTopic)
			stays := keeps && s.Outcome == history.OK && o.Outcome == history.OK && (o.Kind == history.Produce || o.Commit)
			never := s.Outcome == history.Failed || (o.Kind == history.Transaction && (o.Outcome == history.Failed || o.Outcome == history.OK && !o.Commit))
			switch {
			case stays && (seen != 1 || anywhere != 1):
				t.Errorf("%+v is acknowledged, and there %d times, %d times in all", *s.Send, seen, anywhere)
			case never && seen != 0:
				t.Errorf("%+v must not be there, and is %d times: %s %s", *s.Send, seen, o.Kind, o.Error)
			case stays:
				acknowledged++
			}
		}
	}
	if acknowledged < 50 {
		t.Errorf("only %d records were acknowledged", acknowledged)
	}
}

// requireMoved compares both ends of the pipeline.
func requireMoved(t *testing.T, h *history.History) {
	t.Helper()
	moved, fed := map[int64]int{}, map[int64]bool{}
	done := map[history.Partition]bool{}
	for _, o := range h.Operations {
		if !o.Final || o.Kind != history.Poll || o.Isolation != history.ReadCommitted || done[o.Partitions[0]] {
			continue
		}
		done[o.Partitions[0]] = true
		for _, s := range o.Steps {
			for _, r := range s.Read {
				if r.Topic == pipelineFrom {
					fed[r.Value] = true
				}
				if r.Topic == pipelineTo {
					moved[r.Of]++
				}
			}
		}
	}
	for value := range fed {
		if moved[value] != 1 {
			t.Errorf("%d was moved %d times", value, moved[value])
		}
	}
	if len(fed) < 20 || len(moved) != len(fed) {
		t.Errorf("%d records were fed, and %d moved", len(fed), len(moved))
	}
}

// TestWorkloadWhileTheBrokerIsKilled has the one broker killed under the load. Operations fail, some with an unknown outcome,
// and yet what was acknowledged is there.
func TestWorkloadWhileTheBrokerIsKilled(t *testing.T) {
	t.Parallel()
	broker := harness.Dev(t, harness.DevOptions{Data: t.TempDir(), Set: ClusterSettings()})
	start := time.Now()
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		for range 3 {
			if !pause(t.Context(), 3*time.Second) {
				return
			}
			broker.Kill()
			broker.Restart()
		}
	}()
	h, err := Run(t.Context(), Options{
		Seed: 5, Seeds: []string{broker.Addr}, Duration: loadTime, Rotate: 2 * time.Second,
		Recorder: history.NewRecorder(func() time.Duration { return time.Since(start) }),
		Heal:     func() { <-killed },
	})
	if err != nil {
		t.Fatal(err)
	}
	logCounts(t, h)
	requireEnded(t, h)
	requireAcknowledged(t, h)
	requireMoved(t, h)
	if !slices.ContainsFunc(h.Operations, func(o history.Operation) bool { return o.Outcome != history.OK && o.Kind == history.Observe }) {
		t.Error("nobody noticed that the broker was killed")
	}
}

// TestWorkloadSaysWhatIsStuck cuts the cluster off when the load ends: nothing can be read any more.
func TestWorkloadSaysWhatIsStuck(t *testing.T) {
	t.Parallel()
	broker := harness.Dev(t, harness.DevOptions{Set: ClusterSettings()})
	start := time.Now()
	_, err := Run(t.Context(), Options{
		Seed: 4, Seeds: []string{broker.Addr}, Duration: 2 * time.Second, Final: 4 * time.Second, Operation: time.Second,
		Recorder: history.NewRecorder(func() time.Duration { return time.Since(start) }),
		Heal:     broker.Stop,
	})
	if err == nil || !strings.HasPrefix(err.Error(), "stuck: ") {
		t.Errorf("nothing answers, and the workload says: %v", err)
	}
}

func TestWorkloadNeedsARecorder(t *testing.T) {
	t.Parallel()
	if _, err := Run(t.Context(), Options{Seeds: []string{"127.0.0.1:1"}}); err == nil {
		t.Error("a workload ran without a recorder")
	}
}
