// Package ecosystem proves that what people run beside their clients works through the broker, unmodified: transactions
// of clients in several languages, the Java administrator, Kafka Streams with exactly-once, Kafka Connect, Flink.
//
// Programs in clients/ do the work and print what they found; the tests start them, kill them, and compare. What a
// program checks itself it prints as scenarios, one JSON object a line. Apache Kafka must pass every test too:
//
//	RUNNEL_COMPAT_TARGETS=kafka go run ./cmd/suite ecosystem
package ecosystem
