package fsck

import (
	"context"
	"errors"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/objstore/patient"
)

// ReadIndex reads the index of one object of the size, whatever segment it is. Its errors say what is wrong with the
// object, or are the store's.
func ReadIndex(ctx context.Context, objects Objects, key string, size int64) (segment.Index, error) {
	index, _, err := readIndex(ctx, patient.New(objects, attempts), key, size)
	if err == nil {
		err = chainsFit(&index)
	}
	return index, err
}

// ReadBatches reads all of an object, checks everything that it says of itself, and calls visit, if it is not nil, for each
// batch whose checksum is right, in their order: with the index of its run and where it begins in the object.
func ReadBatches(ctx context.Context, objects Objects, key string, index *segment.Index, visit func(run int, position int64, h recordbatch.Header)) error {
	w := walk{objects: patient.New(objects, attempts), key: key, index: index, visit: visit}
	return w.object(ctx)
}

// IsFault tells whether an error of ReadIndex or ReadBatches says that the object is not what it should be, rather than
// that it could not be read.
func IsFault(err error) bool {
	wrong := (*fault)(nil)
	return errors.As(err, &wrong)
}
