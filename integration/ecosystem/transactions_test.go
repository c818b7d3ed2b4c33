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

// TestKafkajsTransactions: kafkajs does not tell which member of a group an offset is from.
func TestKafkajsTransactions(t *testing.T) {
	onTargets(t, func(t *testing.T, bootstrap string) {
		runScenarios(t, 2*time.Minute, node(t, "clients/kafkajs/transactions.js", bootstrap))
	})
}

// TestKafkaPythonTransactions: the client that is written in Python alone.
func TestKafkaPythonTransactions(t *testing.T) {
	onTargets(t, func(t *testing.T, bootstrap string) {
		runScenarios(t, 2*time.Minute, python(t, "../compat/clients/kafkapython/requirements.txt", "clients/python/kafkapython.py", bootstrap))
	})
}

// TestAiokafkaTransactions: the client for asyncio.
func TestAiokafkaTransactions(t *testing.T) {
	onTargets(t, func(t *testing.T, bootstrap string) {
		runScenarios(t, 2*time.Minute, python(t, "clients/aiokafka/requirements.txt", "clients/python/aio.py", bootstrap))
	})
}
