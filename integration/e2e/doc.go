// Package e2e tests the promises of ARCHITECTURE.md on the real binary with its real stores: what survives crashes, restarts
// and outages, how two brokers agree, and what hostile bytes do.
package e2e
