package broker

import (
	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/broker/wire"
)

// attachment is what a connection is to the write path and to the read path.
type attachment struct {
	source *batching.Source
	scan   reader.Scan // of its Fetches, which are Serial
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
