// Package sim runs a whole cluster in one process and in virtual time: brokers as broker/node assembles them, on one
// metastore and one object store in memory, and a network of this package's own, within a bubble of testing/synctest. A
// minute of a cluster that crashes, hangs and is cut off takes about a second.
//
// A run follows from its seed: what chance decides is drawn from it. That holds to the byte if the test binary was built
// with the overlay of package overlay, which takes chance and the clock out of Go's scheduler, and runs one seed per
// process, as cmd/sim does. In a plain `go test` a world works as well, but goroutines interleave as they please, so that a
// seed gives another run each time; and one who waits for a mutex stops virtual time for good if the holder waits for it to
// pass, as an idempotent producer of franz-go may: Play needs the overlay.
package sim
