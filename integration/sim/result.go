package sim

import (
	"time"

	"github.com/runnel-io/runnel/integration/sim/faults"
)

// Result is what the process that played a seed tells package runner.
type Result struct {
	Seed       uint64              `json:"seed"`
	Took       time.Duration       `json:"took"` // virtual
	Operations int                 `json:"operations"`
	Events     int                 `json:"events"`
	Sum        string              `json:"sum"` // of the events
	Anomalies  []string            `json:"anomalies"`
	Hits       map[faults.Kind]int `json:"hits"`
	Rewritten  int                 `json:"rewritten"` // segments of tier 1 in the end
	Deleted    int                 `json:"deleted"`   // objects of segments
}
