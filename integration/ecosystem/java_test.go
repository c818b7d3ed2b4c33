package ecosystem

import (
	"testing"
	"time"
)

// TestJavaTransactions: the transactional producer of Kafka's own client, and its readers of both isolation levels.
func TestJavaTransactions(t *testing.T) {
	onTargets(t, func(t *testing.T, bootstrap string) {
		runScenarios(t, 3*time.Minute, java(t, "Transactions", bootstrap))
	})
}
