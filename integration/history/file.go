package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// formatName and formatVersion stand in the first line of a saved history.
const (
	formatName    = "runnel-history"
	formatVersion = 1
)

// header is the first line of a saved history. Each further line is an operation.
type header struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	// Operations is how many follow, so that a file that was cut off is not taken for a shorter run.
	Operations int `json:"operations"`
	*History
}

// Save writes the history as JSON Lines: one about the whole, then one per operation.
func (h *History) Save(w io.Writer) error {
	buffered := bufio.NewWriter(w)
	encoder := json.NewEncoder(buffered)
	if err := encoder.Encode(header{formatName, formatVersion, len(h.Operations), h}); err != nil {
		return fmt.Errorf("save history: %w", err)
	}
	for i := range h.Operations {
		if err := encoder.Encode(&h.Operations[i]); err != nil {
			return fmt.Errorf("save operation #%d: %w", h.Operations[i].Begun.Seq, err)
		}
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("save history: %w", err)
	}
	return nil
}

// Load reads what Save wrote. A field that it does not know is an error: a history that is judged without what it tells
// would be judged wrongly.
func Load(r io.Reader) (*History, error) {
	decoder := json.NewDecoder(bufio.NewReader(r))
	decoder.DisallowUnknownFields()
	h := &History{}
	first := header{History: h}
	if err := decoder.Decode(&first); err != nil {
		return nil, fmt.Errorf("load history: %w", err)
	}
	if first.Format != formatName || first.Version != formatVersion {
		return nil, fmt.Errorf("load history: it is %q version %d, not %q version %d", first.Format, first.Version, formatName, formatVersion)
	}
	for {
		var o Operation
		if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("load operation %d of %d: %w", len(h.Operations)+1, first.Operations, err)
		}
		h.Operations = append(h.Operations, o)
	}
	if len(h.Operations) != first.Operations {
		return nil, fmt.Errorf("load history: it has %d operations of %d", len(h.Operations), first.Operations)
	}
	return h, nil
}
