package postgres

import (
	"encoding/json"
	"fmt"

	"github.com/runnel-io/runnel/metastore"
)

// listener is a metastore.Listener as the column brokers.listeners has it.
type listener struct {
	Name     string `json:"name"`
	Host     string `json:"host"`
	Port     int32  `json:"port"`
	Protocol string `json:"protocol"`
}

// encodeListeners is the JSON array of a broker's listeners.
func encodeListeners(listeners []metastore.Listener) (string, error) {
	rows := make([]listener, len(listeners))
	for i, l := range listeners {
		rows[i] = listener(l)
	}
	text, err := json.Marshal(rows)
	return string(text), err
}

// decodeListeners reads the listeners of a broker that registered a host and port. A binary from before there were listeners
// that registers under the node id of a later one leaves the column as it was: those are not its own.
func decodeListeners(text, host string, port int32) ([]metastore.Listener, error) {
	var rows []listener
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		return nil, fmt.Errorf("listeners of broker at %s:%d: %w", host, port, err)
	}
	if len(rows) == 0 || rows[0].Host != host || rows[0].Port != port {
		return nil, nil
	}
	listeners := make([]metastore.Listener, len(rows))
	for i, l := range rows {
		listeners[i] = metastore.Listener(l)
	}
	return listeners, nil
}
