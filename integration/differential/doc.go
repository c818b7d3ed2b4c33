// Package differential asks Apache Kafka and the broker the same questions and compares the answers: Kafka's behavior
// is the specification. Scripts of raw requests, good and bad, run against both at the lowest, a middle and the highest
// version of each API that both serve. What is named differently on both sides by nature (ids, ports, the time) becomes
// a placeholder; everything else must be equal, or stand in the table of known differences with a reason. An entry of
// that table that no longer happens fails the test too.
package differential
