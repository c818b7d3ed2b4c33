package ecosystem

import (
	"testing"
	"time"
)

// TestLibrdkafkaTransactions: librdkafka names each partition and group to the coordinator before it writes.
func TestLibrdkafkaTransactions(t *testing.T) {
	onTargets(t, func(t *testing.T, bootstrap string) {
		runScenarios(t, 2*time.Minute, python(t, "../compat/clients/confluent/requirements.txt", "clients/python/librdkafka.py", bootstrap))
	})
}
