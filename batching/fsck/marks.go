package fsck

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-io/runnel/metastore/mark"
	"github.com/runnel-io/runnel/objstore"
)

// maxMarks is how many marks are compared with the log, the newest. Brokers leave a few.
const maxMarks = 1000

// notASegment takes an object that LIST tells of and that is no segment: a mark of this cluster is kept for checkMarks,
// anything else is foreign.
func (c *check) notASegment(o objstore.Object) {
	detail := "neither the key of a segment nor that of a mark"
	if m, err := mark.Parse(o.Key); err == nil {
		if m.Cluster == c.cluster {
			if c.report.Marks++; len(c.marks) < maxMarks {
				c.marks = append(c.marks, m)
			}
			return
		}
		detail = "a mark of another cluster, " + m.Cluster
	}
	c.report.add(Finding{Kind: ForeignObject, Key: o.Key, Size: o.Size, Detail: detail})
}

// checkMarks compares the log with what brokers have marked as seen of it. The log is read after the marks were listed, so
// it holds what was appended and marked meanwhile.
func (c *check) checkMarks(ctx context.Context) error {
	for i, m := range c.marks {
		if i > 0 && m.Position == c.marks[i-1].Position {
			continue
		}
		err := m.Compare(ctx, c.meta)
		switch regressed := (*mark.RegressedError)(nil); {
		case errors.As(err, &regressed):
			c.report.add(Finding{Kind: Regressed, Key: m.Key(), Entry: m.Seq,
				Detail: fmt.Sprintf("node %d had seen entry %d with checksum %016x, and the log does not hold it", m.Node, m.Seq, m.Checksum)})
		case err != nil:
			return err
		}
	}
	return nil
}
