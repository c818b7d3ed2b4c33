package rebuild

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/index"
	"github.com/runnel-io/runnel/metastore/mark"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/patient"
)

// Objects is the bucket. Put writes the word to brokers of the lost metastore that they must stop, nothing else.
type Objects interface {
	Put(ctx context.Context, key string, parts [][]byte) error
	Get(ctx context.Context, key string, offset, length int64) ([]byte, error)
	GetSuffix(ctx context.Context, key string, length int64) ([]byte, error)
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error]
}

// listing is what the bucket holds.
type listing struct {
	segments map[metastore.SegmentID]int64 // sizes
	indexes  []index.Found                 // in the order of their keys: by cluster, the newest first
	marks    map[string]int                // by cluster
	objects  int64
	bytes    int64
	foreign  int64     // neither segments, nor marks, nor index objects
	newest   time.Time // when an object was written last, by the store's clock; zero if there is none
}

// list looks at all keys.
func list(ctx context.Context, objects Objects) (*listing, error) {
	l := &listing{segments: make(map[metastore.SegmentID]int64), marks: make(map[string]int)}
	for o, err := range objects.List(ctx, "", "") {
		if err != nil {
			return nil, fmt.Errorf("list the bucket: %w", err)
		}
		l.objects++
		l.bytes += o.Size
		if o.Modified.After(l.newest) {
			l.newest = o.Modified
		}
		if id, err := segment.ParseKey(o.Key); err == nil {
			l.segments[id] = o.Size
		} else if name, err := index.ParseKey(o.Key); err == nil {
			l.indexes = append(l.indexes, index.Found{Name: name, Size: o.Size})
		} else if m, err := mark.Parse(o.Key); err == nil {
			l.marks[m.Cluster]++
		} else {
			l.foreign++
		}
	}
	return l, nil
}

// attempts at one request, before the rebuild gives up.
const attempts = 4

// readPatiently is a bucket of which reads that fail are repeated. What is put is put once.
type readPatiently struct {
	patient.Reader
	bucket Objects
}

func (r readPatiently) Put(ctx context.Context, key string, parts [][]byte) error {
	return r.bucket.Put(ctx, key, parts)
}

// damage says that an object is not what it should be.
type damage struct{ what string }

func (d *damage) Error() string { return d.what }

func damaged(format string, args ...any) error { return &damage{fmt.Sprintf(format, args...)} }

func isDamage(err error) bool {
	d := (*damage)(nil)
	return errors.As(err, &d)
}

// suffixBytes is how much of an object's end is read at first: it holds the footer of 64 MiB in some 700 runs.
const suffixBytes = 64 << 10

// footer reads the index at the end of an object. A *damage says what is wrong with the object.
func footer(ctx context.Context, objects Objects, id metastore.SegmentID, size int64) (segment.Index, error) {
	want := min(size, suffixBytes)
	for range 2 {
		tail, err := objects.GetSuffix(ctx, segment.Key(id), want)
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			return segment.Index{}, damaged("it is listed, and not there")
		case err != nil:
			return segment.Index{}, err
		case int64(len(tail)) != want:
			return segment.Index{}, damaged("it has %d bytes, and is listed with %d", len(tail), size)
		}
		x, err := segment.ParseFooter(tail, size)
		if more := (*segment.NeedMoreError)(nil); errors.As(err, &more) {
			want = more.Bytes
			continue
		}
		if err != nil {
			return segment.Index{}, damaged("%v", err)
		}
		if x.ID != id {
			return segment.Index{}, damaged("its index is that of segment %s", metastore.SegmentID(x.ID))
		}
		return x, nil
	}
	return segment.Index{}, damaged("the length of its footer changes from one read to the next")
}
