package node

import (
	"context"
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

// Ready tells why clients cannot be served, "" if they can.
func (n *Node) Ready() string { return n.ready.why() }

// AwaitReady returns when clients can be served. The error says why they could not when ctx ended.
func (n *Node) AwaitReady(ctx context.Context) error { return n.ready.await(ctx) }

// Live is how many live brokers this one knows of, itself included.
func (n *Node) Live() int { return len(n.members.Live()) }

// readiness collects why a broker is not ready. The zero value is ready.
type readiness struct {
	mu      sync.Mutex
	reasons map[string]string // by component
	changed chan struct{}     // closed when they have; nil if nobody waits
}

// set notes the state of a component, nil if it is well, and tells whether that is news.
func (r *readiness) set(component string, err error) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, bad := r.reasons[component]
	if err == nil {
		delete(r.reasons, component)
		news = bad
	} else {
		if r.reasons == nil {
			r.reasons = make(map[string]string)
		}
		r.reasons[component] = oneLine(err)
		news = before != r.reasons[component]
	}
	if news && r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
	return news
}

// await returns when the broker is ready; the error says why it was not when ctx ended.
func (r *readiness) await(ctx context.Context) error {
	for {
		changed := r.next()
		if changed == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("not ready: %s: %w", strings.TrimSpace(r.why()), ctx.Err())
		}
	}
}

// next is closed when the reasons change, nil if there are none.
func (r *readiness) next() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.reasons) == 0 {
		return nil
	}
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
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
