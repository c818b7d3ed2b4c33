package metastore

import "fmt"

// restoreState is the first entry of a log that continues another one, which was lost: all that is known of it.
type restoreState struct{ state []byte } // as a snapshot

func (c restoreState) kind() kind { return kindRestore }

func (c restoreState) append(b []byte) []byte { return appendString(b, string(c.state)) }

func (c restoreState) sizeHint() int { return 64 + len(c.state) }

// decodeRestore makes sure that the state can be read: applying a change cannot fail.
func decodeRestore(d *decoder) (restoreState, error) {
	c := restoreState{state: d.bytes()}
	if d.err != nil {
		return c, nil // the decoder tells
	}
	_, err := decodeState(Snapshot{State: c.state})
	return c, err
}

// errRestoreLater: a state that is put in place of what was folded would undo it.
var errRestoreLater = fmt.Errorf("%w: a restored state is not the first entry", ErrCorrupt)

// decodeEntry decodes the payload of an entry, and refuses what cannot be in its place.
func decodeEntry(e Entry) (record, error) {
	rec, err := decodeRecord(e.Payload)
	if _, restores := rec.change.(restoreState); err == nil && restores && e.Seq != 1 {
		err = errRestoreLater
	}
	return rec, err
}

func (c restoreState) apply(s *State, _ int64, touched func(TopicPartition)) {
	restored, err := decodeState(Snapshot{State: c.state})
	if err != nil {
		return // decodeRestore has read it
	}
	s.adopt(restored)
	for id, t := range s.topics {
		for i := range t.Partitions {
			touched(TopicPartition{id, i})
		}
	}
}

// adopt makes s what another state is, but for its position, and keeps its views good: what was in them is not changed.
func (s *State) adopt(from *State) {
	is := *from
	is.at, is.time = s.at, max(s.time, from.time)
	is.sharing, is.decisions = s.sharing, s.decisions
	is.table.sharing, is.producers.sharing, is.txns.sharing, is.markers.sharing = s.sharing, s.sharing, s.sharing, s.sharing
	*s = is
}
