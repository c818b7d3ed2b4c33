package group

import (
	"bytes"
	"slices"
	"time"
)

// callID names a Join or Sync that waits for its answer. 0 is none.
type callID uint64

// member is one member of a group.
type member struct {
	id, instance         string
	clientID, clientHost string
	session, rebalance   time.Duration
	protocols            []Protocol
	assignment           []byte

	fresh    bool      // has not been in a generation yet: expires even while it waits
	joinCall callID    // the Join that waits
	syncCall callID    // the Sync that waits
	owesSync bool      // joined the generation and has not synced since
	deadline time.Time // of the session; zero if it does not run
}

// supports tells whether the member can use the protocol.
func (mb *member) supports(protocol string) bool {
	return slices.ContainsFunc(mb.protocols, func(p Protocol) bool { return p.Name == protocol })
}

// metadata returns what the member said about itself for the protocol.
func (mb *member) metadata(protocol string) []byte {
	for _, p := range mb.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

// sameProtocols tells whether both lists hold the same names and metadata in the same order.
func sameProtocols(a, b []Protocol) bool {
	return slices.EqualFunc(a, b, func(x, y Protocol) bool { return x.Name == y.Name && bytes.Equal(x.Metadata, y.Metadata) })
}

// distinctProtocols keeps the first of each name: a member has one vote and counts once as a supporter.
func distinctProtocols(all []Protocol) []Protocol {
	seen := make(map[string]bool, len(all))
	return slices.DeleteFunc(slices.Clone(all), func(p Protocol) bool {
		again := seen[p.Name]
		seen[p.Name] = true
		return again
	})
}
