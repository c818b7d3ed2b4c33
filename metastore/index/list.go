package index

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/runnel-io/runnel/objstore"
)

// most is how many objects of one folder are looked at: one page of a LIST. There are more only where nobody may delete.
const most = 1000

// Found is an index object that is listed.
type Found struct {
	Name
	Size int64
}

// Lister is what lists a bucket; an objstore.Store is one.
type Lister interface {
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error]
}

// List returns the index objects below a prefix, those of a cluster by their position, the newest first. It looks at a
// thousand keys of each cluster.
func List(ctx context.Context, objects Lister, prefix string) ([]Found, error) {
	var found []Found
	for after, looked := "", 0; ; {
		last, more := "", false
		for o, err := range objects.List(ctx, prefix, after) {
			if err != nil {
				return nil, fmt.Errorf("list index objects: %w", err)
			}
			n, err := ParseKey(o.Key)
			if err != nil {
				continue // what somebody else put there says nothing
			}
			if len(found) > 0 && found[len(found)-1].Cluster != n.Cluster {
				looked = 0
			}
			found = append(found, Found{n, o.Size})
			if looked++; looked == most {
				// The rest of this cluster is older: go on behind it.
				last, more, looked = Prefix(n.Cluster)+"z", true, 0
				break
			}
		}
		if !more {
			return found, nil
		}
		after = last
	}
}

// Other returns the newest index object of another cluster, nil if there is none.
func Other(ctx context.Context, objects Lister, own string) (*Found, error) {
	found, err := List(ctx, objects, folder)
	if err != nil {
		return nil, err
	}
	var newest *Found
	for i := range found {
		if f := &found[i]; f.Cluster != own && (newest == nil || f.Written.After(newest.Written)) {
			newest = f
		}
	}
	return newest, nil
}

// insert puts one among others of its cluster, in order.
func insert(there []Found, f Found) []Found {
	i, twice := slices.BinarySearchFunc(there, f, func(a, b Found) int { return cmp.Compare(a.Key(), b.Key()) })
	if twice {
		return there
	}
	return slices.Insert(there, i, f)
}
