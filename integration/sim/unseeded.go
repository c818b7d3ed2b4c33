//go:build !simoverlay

package sim

// Reproducible tells whether a seed gives the same run each time, in a process of its own.
const Reproducible = false

func seedRuntime(uint64) {}

func settleHeap() {}
