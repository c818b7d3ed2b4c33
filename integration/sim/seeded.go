//go:build simoverlay

package sim

import _ "unsafe" // for go:linkname

// Reproducible tells whether a seed gives the same run each time, in a process of its own.
const Reproducible = true

// seedRuntime seeds what Go itself draws within bubbles. Package overlay puts it into the runtime.
//
//go:linkname seedRuntime runtime.simSeed
func seedRuntime(seed uint64)
