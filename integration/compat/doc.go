// Package compat proves that unmodified Kafka clients of several languages understand each other through the broker:
// whatever one of them produced, every other reads back exactly, down to null keys and the order per key.
//
// Each client hides behind Producer and Consumer. Those of other languages are small programs in clients/, which
// exchange records with the tests as lines of JSON; kcat and the Kafka console tools are driven as they come. What a
// client cannot express (kcat sets no timestamps) is said in its Abilities, and its records do without.
package compat
