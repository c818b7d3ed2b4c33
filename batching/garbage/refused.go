package garbage

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// mostHeld bounds how much garbage in a row is tried that the store refuses to delete, before the rest is left for later.
const mostHeld = 16 * mostKeys

// errRefusesAll: that is no matter of single objects.
var errRefusesAll = errors.New("the object store refuses to delete whatever was tried: may this broker delete?")

// refused counts objects that stay because the store says so, and tells of it once.
func (c *Collector) refused(no *objstore.RefusedError, count deletions) map[string]bool {
	keys := make(map[string]bool, len(no.Keys))
	for _, key := range no.Keys {
		keys[key] = true
	}
	count.refused.Add(float64(len(keys)))
	if len(keys) > 0 && !c.told {
		c.told = true
		c.opts.Logger.Warn("the object store refuses to delete objects; they are tried again now and then, and others go on",
			"reason", count.reason, "objects", len(keys), "first", no.Keys[0], "error", no.Err)
	}
	return keys
}

// beyondHeld is the garbage, at most so much, that follows on what is held. Another broker may have seen to that meanwhile.
func (c *Collector) beyondHeld(oldest []metastore.Garbage, most int) []metastore.Garbage {
	if n := len(c.held); n > 0 {
		last := c.held[n-1]
		if len(oldest) == 0 || oldest[0].Number > last {
			c.held = nil
		}
		for len(oldest) > 0 && oldest[0].Number <= last {
			oldest = oldest[1:]
		}
	}
	return oldest[:min(len(oldest), most)]
}

// putOff has the log put the garbage off that is held: nothing behind it could be deleted either.
func (c *Collector) putOff(ctx context.Context) error {
	held := c.held
	if c.held = nil; len(held) == 0 {
		return nil
	}
	if err := c.log.PutOff(ctx, held[len(held)-1], held); err != nil {
		return fmt.Errorf("put off what cannot be deleted: %w", err)
	}
	if len(held) > mostKeys {
		return fmt.Errorf("%d objects: %w", len(held), errRefusesAll)
	}
	return nil
}
