// Package runneltest runs real brokers inside a Go test: in milliseconds, with nothing installed, and gone when the test is
// over.
//
//	func TestOrders(t *testing.T) {
//		c := runneltest.Start(t, runneltest.WithTopic("orders", 3))
//		client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...))
//		...
//	}
//
// What runs is what `runnel broker` runs, with its own port on 127.0.0.1, and with metastore and object store in memory: no
// simulation of Kafka's protocol that would differ from a cluster where it matters. Any client works. Brokers share nothing with
// those of other tests, so tests that use them can be parallel, a hundred at once: no flags, signals, environment variables,
// registries of metrics or default loggers are touched.
//
// Beyond that, brokers can be stopped, killed and started again (Broker), what they store can be slow or fail (Faults), and there can
// be several of one cluster (WithBrokers).
//
// # What it pulls in
//
//	go get github.com/runnel-io/runnel/runneltest
//
// It is part of Runnel's module, so go.mod gets that one line, and below it, as indirect, what a broker is linked with: Prometheus'
// client, pgx and goose for PostgreSQL, AWS' SDK for S3, go-oidc, compressors, and kmsg and kerr of franz-go: some 50 modules, and a test
// program of 41 MB. None of it is a client: bring your own. What only tests import is not part of the program that you ship. All of it
// is pure Go, under Apache-2.0, BSD, MIT and ISC.
package runneltest
