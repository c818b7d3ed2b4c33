package node

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// The components whose state makes a broker ready or not.
const (
	componentBroker      = "broker"
	componentMetastore   = "metastore"
	componentLog         = "commit log" // only while a broker joins
	componentObjectStore = "object store"
)

// readiness collects why a broker is not ready. The zero value is ready.
type readiness struct {
	mu      sync.Mutex
	reasons map[string]string // by component
}

// set notes the state of a component, nil if it is well, and tells whether that is news.
func (r *readiness) set(component string, err error) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, bad := r.reasons[component]
	if err == nil {
		delete(r.reasons, component)
		return bad
	}
	if r.reasons == nil {
		r.reasons = make(map[string]string)
	}
	r.reasons[component] = oneLine(err)
	return before != r.reasons[component]
}

// oneLine is an error without line breaks: the PostgreSQL driver gives each address that it tried a line, some twice.
func oneLine(err error) string {
	var parts []string
	for line := range strings.Lines(err.Error()) {
		if part := strings.TrimSpace(line); !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}

// why lists the reasons, a line each; "" if the broker is ready.
func (r *readiness) why() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, component := range slices.Sorted(maps.Keys(r.reasons)) {
		fmt.Fprintf(&b, "%s: %s\n", component, r.reasons[component])
	}
	return b.String()
}
