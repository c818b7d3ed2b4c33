// Package secure proves with real clients that brokers let in whom they should, and nobody else: Kafka's own Java client
// and tools, librdkafka and franz-go, over TLS and SASL, with access rules, quotas and attacks on the doors.
package secure
