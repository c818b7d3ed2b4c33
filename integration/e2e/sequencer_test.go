package e2e

import (
	"bufio"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// number is the value of a metric, with its labels as /metrics prints them.
func number(t *testing.T, b *harness.Broker, metric string) float64 {
	t.Helper()
	for lines := bufio.NewScanner(strings.NewReader(b.Metrics())); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), metric+" "); ok {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no metric %s", metric)
	return 0
}

// split tells the broker that sequences from the others.
func split(t *testing.T, all []*member) (holder *member, others []*member) {
	t.Helper()
	eventually(t, "one broker sequences", 15*time.Second, func() bool {
		holder, others = nil, nil
		for _, b := range all {
			if number(t, b.Broker, "runnel_sequencer_held") == 1 {
				holder = b
			} else {
				others = append(others, b)
			}
		}
		return holder != nil && len(others) == len(all)-1
	})
	return holder, others
}

// throughOthers is how many commits of a broker another one made.
func throughOthers(t *testing.T, b *member) float64 {
	t.Helper()
	return number(t, b.Broker, `runnel_sequencer_commits_total{path="sequencer"}`)
}

// slowCommits is how many commits of a broker took longer than so many seconds, of which the metric has a bucket.
func slowCommits(t *testing.T, b *member, seconds string) float64 {
	t.Helper()
	return number(t, b.Broker, "runnel_batching_commit_seconds_count") -
		number(t, b.Broker, `runnel_batching_commit_seconds_bucket{le="`+seconds+`"}`)
}

// heldUp fails the test if brokers waited for the lease of one that failed, which takes three seconds and would take all of them:
// each has commits under way. What one of them does slowly on a busy machine is not that, within bounds.
func heldUp(t *testing.T, brokers []*member) {
	t.Helper()
	held := 0
	for _, b := range brokers {
		if n := slowCommits(t, b, "2.048"); n > 0 {
			held++
			t.Logf("%v commits of the broker at %s took more than 2 s", n, b.Addr)
		}
		if n := slowCommits(t, b, "8.192"); n > 0 {
			t.Errorf("%v commits of the broker at %s took more than 8 s", n, b.Addr)
		}
	}
	if held == len(brokers) {
		t.Errorf("commits of all brokers took more than 2 s")
	}
}

// TestASequencerThatFailsHoldsNobodyUp: whatever happens to the broker that sequences, the others go on, their commits do not take
// longer than two seconds, nothing acknowledged is lost, doubled or out of order, and soon they commit through another.
func TestASequencerThatFailsHoldsNobodyUp(t *testing.T) {
	for _, failure := range []struct {
		name  string
		begin func(*member)
		end   func(*member) // nil: it does not come back
		gone  bool          // it loses the role
	}{
		{"killed", func(b *member) { b.Kill() }, nil, true},
		{"paused for longer than its lease", func(b *member) { b.Pause() }, func(b *member) { b.Resume() }, true},
		{"cut off from the other brokers", func(b *member) { b.peers.Cut() }, nil, false},
		{"stopped", func(b *member) { b.Stop() }, nil, true},
	} {
		t.Run(failure.name, func(t *testing.T) {
			t.Parallel()
			all := startCluster(t, 3)
			holder, others := split(t, all)
			createTopic(t, "failing", 6, through(holder.Broker)...)
			var ledgers []*ledger
			for i, b := range others {
				eventually(t, "the broker knows the topic", 10*time.Second, func() bool {
					topics, err := admin(t, through(b.Broker)...).ListTopics(harness.Soon(t), "failing")
					return err == nil && topics["failing"].Err == nil && len(topics["failing"].Partitions) == 6
				})
				ledgers = append(ledgers, startLedger(t, "failing", "via"+strconv.Itoa(i), 6, through(b.Broker)...))
			}
			addresses := kgo.SeedBrokers(all[0].Addr, all[1].Addr, all[2].Addr)
			ledgers = append(ledgers, startLedger(t, "failing", "any", 6, addresses))
			for _, l := range ledgers {
				l.await(t, 500)
			}
			for _, b := range others {
				eventually(t, "commits go through "+holder.Addr, 15*time.Second, func() bool { return throughOthers(t, b) > 0 })
			}
			failure.begin(holder)
			for _, l := range ledgers[:2] {
				l.await(t, 2_000)
			}
			if failure.gone {
				heir, rest := split(t, others)
				if failure.end != nil {
					failure.end(holder)
				}
				before := throughOthers(t, rest[0])
				eventually(t, "commits go through "+heir.Addr, 15*time.Second, func() bool { return throughOthers(t, rest[0]) > before })
			}
			for _, l := range ledgers {
				l.await(t, 500)
				l.finish(t)
			}
			for _, l := range ledgers {
				l.check(t, through(others[0].Broker)...)
			}
			heldUp(t, others)
		})
	}
}
