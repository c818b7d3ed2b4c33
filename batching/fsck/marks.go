package fsck

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/index"
	"github.com/runnel-io/runnel/metastore/mark"
	"github.com/runnel-io/runnel/objstore"
)

// maxMarks is how many marks are compared with the log, the newest. Brokers leave a few.
const maxMarks = 1000

// maxIndexes is how many index objects are looked at, the newest. Brokers leave a few.
const maxIndexes = 10

// notASegment takes an object that LIST tells of and that is no segment: marks and index objects of this cluster are kept for
// checkMarks and checkIndexes, anything else is foreign.
func (c *check) notASegment(o objstore.Object) {
	detail := "not a key of ours"
	if name, err := index.ParseKey(o.Key); err == nil {
		if name.Cluster == c.cluster {
			if c.report.Indexes++; len(c.indexes) < maxIndexes {
				c.indexes = append(c.indexes, index.Found{Name: name, Size: o.Size})
			}
			return
		}
		detail = "an index of another cluster, " + name.Cluster
	}
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
		case errors.As(err, &regressed) && m.IsRebuilt():
			c.report.add(Finding{Kind: Regressed, Key: m.Key(), Detail: "the cluster was given up, and made anew on another metastore"})
		case errors.As(err, &regressed):
			c.report.add(Finding{Kind: Regressed, Key: m.Key(), Entry: m.Seq,
				Detail: fmt.Sprintf("node %d had seen entry %d with checksum %016x, and the log does not hold it", m.Node, m.Seq, m.Checksum)})
		case err != nil:
			return err
		}
	}
	return nil
}

// checkIndexes compares the log with the index objects, which say how far it was as marks do, and with Deep reads them.
func (c *check) checkIndexes(ctx context.Context) error {
	for _, f := range c.indexes {
		regressed := (*mark.RegressedError)(nil)
		if err := (mark.Mark{Cluster: f.Cluster, Position: f.Position}).Compare(ctx, c.meta); errors.As(err, &regressed) {
			c.report.add(Finding{Kind: Regressed, Key: f.Key(), Entry: f.Seq, Size: f.Size,
				Detail: fmt.Sprintf("it is of entry %d with checksum %016x, and the log does not hold it", f.Seq, f.Checksum)})
		} else if err != nil {
			return err
		}
		if !c.opts.Deep {
			continue
		}
		wrong, err := c.readIndexObject(ctx, f)
		if err != nil {
			return err
		}
		if wrong != nil {
			c.report.add(Finding{Kind: CorruptIndex, Key: f.Key(), Size: f.Size, Detail: wrong.Error()})
		}
	}
	return nil
}

// readIndexObject reads all that an index object says. wrong is what is wrong with it. One that is not there any more was
// deleted because there are newer ones.
func (c *check) readIndexObject(ctx context.Context, f index.Found) (wrong, err error) {
	if f.Size > index.MostBytes {
		return fmt.Errorf("%d bytes are more than an index object has", f.Size), nil
	}
	var object []byte
	for int64(len(object)) < f.Size {
		part, err := c.objects.Get(ctx, f.Key(), int64(len(object)), min(chunkBytes, f.Size-int64(len(object))))
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			return nil, nil
		case errors.Is(err, objstore.ErrRange) || err == nil && len(part) == 0:
			return fmt.Errorf("it has %d bytes, and is listed with %d", len(object), f.Size), nil
		case err != nil:
			return nil, err
		}
		object = append(object, part...)
		c.report.BytesRead += int64(len(part))
	}
	o, err := index.Decode(object)
	if err != nil {
		return err, nil
	}
	state, err := o.State()
	if err != nil {
		return err, nil
	}
	if _, err := metastore.OpenRestoration(state, c.began); err != nil {
		return err, nil
	}
	for _, err := range o.EachGroup() {
		if err != nil {
			return err, nil
		}
	}
	return nil, nil
}
