package e2e

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// crashes is how many times each kind of broker is killed.
func crashes() int {
	if testing.Short() {
		return 3
	}
	return 20
}

// durable runs a test against every way to run the product that keeps what it acknowledged.
func durable(t *testing.T, test func(t *testing.T, b *harness.Broker)) {
	for _, mode := range harness.Modes {
		if mode.Durable {
			t.Run(mode.Name, func(t *testing.T) {
				t.Parallel()
				test(t, mode.Start(t))
			})
		}
	}
}

// TestKillLosesNothingAcknowledged kills the broker again and again while an idempotent producer with acks=all writes
// through it. What was acknowledged is there after each restart, at its offset; nothing is there twice.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	durable(t, func(t *testing.T, b *harness.Broker) {
		seed := kgo.SeedBrokers(b.Addr)
		createTopic(t, "crash", 4, seed)
		producer := startLedger(t, "crash", "p", 4, seed)
		for round := range crashes() {
			// Each round a little later in the life of the process: the first right after its first answers.
			producer.await(t, 1+round*97)
			b.Kill()
			b.Restart()
			producer.check(t, seed)
		}
		producer.finish(t)
		producer.check(t, seed)
		stored := readAll(t, "crash", seed)
		if len(stored) != producer.count() {
			t.Errorf("%d records are stored, %d were acknowledged", len(stored), producer.count())
		}
		t.Logf("%d records over %d crashes", len(stored), crashes())
	})
}
