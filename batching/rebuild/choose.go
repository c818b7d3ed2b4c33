package rebuild

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/index"
)

// choose opens the newest index object that can be read; an older one of the same cluster if that is damaged.
func (b *rebuild) choose(ctx context.Context) error {
	b.opts.Progress.enter("reading the index", 0)
	found := slices.Clone(b.bucket.indexes)
	slices.SortStableFunc(found, func(a, b index.Found) int { return b.Written.Compare(a.Written) })
	switch {
	case b.opts.Index != "":
		found = slices.DeleteFunc(found, func(f index.Found) bool { return f.Key() != b.opts.Index })
	case b.opts.Cluster != "":
		found = slices.DeleteFunc(found, func(f index.Found) bool { return f.Cluster != b.opts.Cluster })
	case len(found) > 0:
		cluster := found[0].Cluster
		found = slices.DeleteFunc(found, func(f index.Found) bool { return f.Cluster != cluster })
	}
	if len(found) == 0 && b.opts.Index != "" {
		return fmt.Errorf("%w: there is no %s in the bucket", ErrNoIndex, b.opts.Index)
	}
	for _, f := range found {
		o, err := b.open(ctx, f)
		if err == nil {
			r := b.report
			b.index, r.Index, r.LostCluster = o, f.Key(), f.Cluster
			r.Entry, r.IndexTime, r.IndexAge = f.Seq, f.Written, b.now.Sub(f.Written)
			return nil
		}
		if !isDamage(err) {
			return err
		}
		b.report.Skipped = append(b.report.Skipped, Damaged{Key: f.Key(), Size: f.Size, What: err.Error()})
	}
	if !b.opts.RecoverUnknown {
		return fmt.Errorf("%w: of %s in the bucket none can be read", ErrNoIndex, plural(len(b.bucket.indexes), "index object"))
	}
	b.report.LostCluster = cmp.Or(b.opts.Cluster, b.onlyCluster())
	empty := metastore.Snapshot{State: metastore.EmptyState()}
	var err error
	b.state, err = metastore.OpenRestoration(empty, b.now)
	return err
}

// onlyCluster is the one cluster that left marks, "" if there are several or none.
func (b *rebuild) onlyCluster() string {
	only := ""
	for cluster := range b.bucket.marks {
		if only != "" {
			return ""
		}
		only = cluster
	}
	return only
}

// open reads an index object and decodes its state. A *damage: it cannot be used.
func (b *rebuild) open(ctx context.Context, f index.Found) (*index.Object, error) {
	if f.Size > index.MostBytes {
		return nil, damaged("%d bytes are more than an index object has", f.Size)
	}
	object := make([]byte, 0, f.Size)
	for int64(len(object)) < f.Size {
		part, err := b.objects.Get(ctx, f.Key(), int64(len(object)), min(chunkBytes, f.Size-int64(len(object))))
		if err != nil && !gone(err) {
			return nil, fmt.Errorf("read index: %w", err)
		}
		if err != nil || len(part) == 0 {
			return nil, damaged("it is not as long as it is listed, or not there")
		}
		object = append(object, part...)
	}
	o, err := index.Decode(object)
	if errors.Is(err, index.ErrCorrupt) {
		return nil, damaged("%v", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Key(), err) // of a newer version: an older object would be worse than to ask
	}
	if o.Key() != f.Key() {
		return nil, damaged("it is the index object %s", o.Key())
	}
	state, err := o.State()
	if err == nil {
		b.state, err = metastore.OpenRestoration(state, b.now)
	}
	if errors.Is(err, index.ErrCorrupt) || errors.Is(err, metastore.ErrCorrupt) {
		return nil, damaged("%v", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Key(), err)
	}
	return o, nil
}

// written is when the index was: what it does not know of was made later than that. Clocks of brokers differ by less than the
// margin.
func (b *rebuild) written() time.Time {
	if b.index == nil {
		return time.Time{}
	}
	return b.index.Written.Add(-clockMargin)
}

const clockMargin = time.Minute
