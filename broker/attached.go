package broker

import (
	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/broker/wire"
)

// attachment is what a connection is to the write path and to the read path, and what is known of its client.
type attachment struct {
	source *batching.Source
	scan   reader.Scan // of its Fetches, which are Serial

	login    login                          // for SaslHandshake and SaslAuthenticate, which are Serial
	software struct{ name, version string } // of the client, from ApiVersions
}

// attached is called by Handlers, not by Pendings; see wire.Conn.
func attached(c *wire.Conn) *attachment {
	a, ok := c.Attached.(*attachment)
	if !ok {
		a = &attachment{source: batching.NewSource()}
		c.Attached = a
	}
	return a
}
