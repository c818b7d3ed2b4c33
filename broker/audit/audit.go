// Package audit tells what concerns the security of a cluster: who got in and who did not, what was denied, and what
// administrators changed. Events never hold secrets.
package audit

import "time"

// Kind is what an event tells of. The texts stand in the log of events.
type Kind string

// The kinds of events.
const (
	Authentication Kind = "authentication" // succeeded or failed
	Denial         Kind = "denial"         // of an operation, by the rules
	Change         Kind = "change"         // by an administrator
	Suppressed     Kind = "suppressed"     // events that were left out; the log makes it
)

// label is the kind in metrics, which have no other values.
func (k Kind) label() string {
	switch k {
	case Authentication, Denial, Change, Suppressed:
		return string(k)
	}
	return "other"
}

// Event is one thing that happened.
type Event struct {
	Kind      Kind
	Time      time.Time // the recorder's, if zero
	Principal string    // "User:alice"
	Host      string    // of the client, without port
	ClientID  string
	Listener  string
	Action    string // "SaslAuthenticate", "Write", "CreateTopics"
	Resource  string // "Topic:orders"; "" if there is none
	Failed    bool
	Detail    string // for people: why it failed, which mechanism
	// Before and After are what a Change changed, by name; secrets are left out or hidden by who makes the event.
	Before, After map[string]string
}

// Recorder takes events. Record does not wait: what is too much is counted, and left out.
type Recorder interface {
	Record(e Event)
}

// Discard is a Recorder of nothing.
type Discard struct{}

// Record implements Recorder.
func (Discard) Record(Event) {}
