package audit

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// Bounds of what a client can put into an event: texts are cut, and what is beyond so many names is left out.
const (
	mostText  = 1 << 10 // bytes
	mostNames = 100
)

// jsonEvent is an event as it is written. Names are never changed and never leave; others may come.
type jsonEvent struct {
	Time      string            `json:"time"` // RFC 3339, UTC
	Kind      Kind              `json:"kind"`
	Outcome   string            `json:"outcome"` // "success", "failure"
	Principal string            `json:"principal,omitempty"`
	Host      string            `json:"host,omitempty"`
	ClientID  string            `json:"client_id,omitempty"`
	Listener  string            `json:"listener,omitempty"`
	Action    string            `json:"action,omitempty"`
	Resource  string            `json:"resource,omitempty"`
	Detail    string            `json:"detail,omitempty"`
	Before    map[string]string `json:"before,omitempty"`
	After     map[string]string `json:"after,omitempty"`
	LeftOut   int               `json:"left_out,omitempty"` // names of before and after
}

// line is the event as one line of JSON, without the end of the line. Whatever clients send, JSON escapes control characters.
func (e *Event) line() []byte {
	j := jsonEvent{
		Time: e.Time.UTC().Format(time.RFC3339Nano), Kind: e.Kind, Outcome: "success",
		Principal: cut(e.Principal), Host: cut(e.Host), ClientID: cut(e.ClientID), Listener: cut(e.Listener),
		Action: cut(e.Action), Resource: cut(e.Resource), Detail: cut(e.Detail),
	}
	if e.Failed {
		j.Outcome = "failure"
	}
	var left int
	j.Before, left = bounded(e.Before)
	j.LeftOut = left
	j.After, left = bounded(e.After)
	j.LeftOut += left
	b, err := json.Marshal(j)
	if err != nil { // a struct of texts always has a form
		b, _ = json.Marshal(jsonEvent{Time: j.Time, Kind: e.Kind, Outcome: j.Outcome, Detail: "the event has no JSON form: " + err.Error()})
	}
	return b
}

func bounded(m map[string]string) (kept map[string]string, left int) {
	if len(m) == 0 {
		return nil, 0
	}
	kept = make(map[string]string, min(len(m), mostNames))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if len(kept) == mostNames {
			return kept, len(m) - mostNames
		}
		kept[cut(name)] = cut(m[name])
	}
	return kept, 0
}

// cut bounds a text, and makes it valid UTF-8.
func cut(s string) string {
	if len(s) > mostText {
		s = s[:mostText] + "..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
