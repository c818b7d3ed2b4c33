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

// TestJavaAdministration: the administrator of Kafka's own client, on transactions, groups, records and partitions.
func TestJavaAdministration(t *testing.T) {
	onTargets(t, func(t *testing.T, bootstrap string) {
		runScenarios(t, 3*time.Minute, java(t, "Administration", bootstrap))
	})
}

// TestJavaConfiguration: the administrator of Kafka's own client, on configurations of topics, brokers and the cluster.
func TestJavaConfiguration(t *testing.T) {
	onTargets(t, func(t *testing.T, bootstrap string) {
		runScenarios(t, 2*time.Minute, java(t, "Configuration", bootstrap))
	})
}
