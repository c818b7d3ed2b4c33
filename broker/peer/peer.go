// Package peer is the port on which brokers of a cluster reach each other: HTTP/1.1 over TLS 1.3, both sides
// authenticated.
//
// Whoever can speak here can make the cluster's order, so there is no open mode: a broker without Credentials has no
// peer port, and does without what needs one. Paths begin with the version of the protocol; bodies have the binary forms
// of metastore/FORMAT.md, which carry versions of their own. A broker that does not know a version says so, and the
// caller does without.
//
//	POST /v1/commit   a commit request; the answer is the results
//	POST /v1/transact requests of transactional producers; the answer is the results
//	GET  /v1/entries  entries of the commit log after the sequence number `after`, as they are folded, until either side ends it
//	GET  /v1/block    length bytes from offset of the object key, which has size bytes, from the broker's memory or through it
//	GET  /v1/usage    what clients would take of their quotas here, as package quota has it
//	GET  /v1/ping     whether the broker is there and answers
package peer

import (
	"crypto/tls"
	"errors"
	"time"
)

const (
	commitPath   = "/v1/commit"
	transactPath = "/v1/transact"
	entriesPath  = "/v1/entries"
	blockPath    = "/v1/block"
	pingPath     = "/v1/ping"
	usagePath    = "/v1/usage"

	clusterHeader = "Runnel-Cluster" // id of the sender's cluster
	binaryType    = "application/octet-stream"
)

const (
	// maxCommitBytes bounds a commit request and its answer: more than a hundred thousand batches.
	maxCommitBytes = 16 << 20
	// maxEntryBytes bounds one entry on the wire.
	maxEntryBytes = 64 << 20
	// beat is how often a silent stream of entries says that it is alive.
	beat = time.Second
	// silence ends a stream of entries that says nothing.
	silence = 3 * beat
)

var (
	// ErrRefused: the peer answered, and did not do what was asked. What it says is in the error.
	ErrRefused = errors.New("peer refused")
	// ErrBehind: the peer does not keep the entries asked for any more. Read the log.
	ErrBehind = errors.New("entries not kept by the peer")

	// errNotNow: the peer works, and did not do what was asked this time.
	errNotNow = errors.New("not now")
)

// Credentials authenticate brokers to each other. Both tls.Configs demand TLS 1.3 and a certificate of the other side.
type Credentials struct {
	server *tls.Config
	client func() *tls.Config
}
