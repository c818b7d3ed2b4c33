// Package objstore is the contract for the bucket that holds Runnel's segments.
//
// Objects are immutable: they are created once, read in ranges, listed and deleted. Implementations live in the
// sub-packages s3, file and memory; all of them pass the suite in objstoretest.
package objstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

var (
	// ErrExists: Put found an object under the key. It was not changed.
	ErrExists = errors.New("object exists")
	// ErrNotFound: no object has the key.
	ErrNotFound = errors.New("object not found")
	// ErrRange: the range does not begin inside the object.
	ErrRange = errors.New("range outside the object")
	// ErrInvalidKey: the key is empty, longer than MaxKeyLength, or holds bytes outside [A-Za-z0-9._/-], an empty
	// or a dot-only path element, one longer than MaxElementLength, or a leading or trailing slash. See ValidKey.
	ErrInvalidKey = errors.New("invalid object key")
)

// RefusedError is Delete's for objects that the store does not let go, and will not if it is asked again at once: they are locked or
// on hold, or a policy forbids it.
type RefusedError struct {
	Keys []string // the objects; all others of the call are removed
	Err  error    // why, for some of them
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the store refuses to delete %d objects: %s", len(e.Keys), e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

const (
	// MaxKeyLength is the longest key, in bytes, that every store takes.
	MaxKeyLength = 512
	// MaxElementLength is the longest part of a key between slashes, in bytes: what file systems, and the S3 servers
	// that keep objects as files, allow.
	MaxElementLength = 255
)

// Object is what List tells of an object.
type Object struct {
	Key      string
	Size     int64     // bytes
	Modified time.Time // the store's clock
}

// Store keeps immutable objects. All methods may run concurrently, on one key too. Errors other than the sentinels
// named below are transient or unknown; a caller may repeat the call.
//
// Keys must form a tree: no object's key is another's followed by a slash and more. Stores that keep objects as files
// refuse the second of two such keys with an error that is no sentinel.
type Store interface {
	// Put creates an object from the concatenation of parts. On a nil return the object is durable and every later
	// Get, by anybody, sees it whole. ErrExists: there was one already, and it stands as it was; the caller decides
	// whether that is its own earlier attempt. After any other error the object may or may not exist, never in part.
	// Put reads parts until it returns, never writes to them and keeps no reference after.
	Put(ctx context.Context, key string, parts [][]byte) error

	// Get returns length bytes from offset, fewer if the object ends before. The caller owns the result.
	// ErrNotFound; ErrRange if offset is negative or at or past the end of the object (for an empty object too).
	Get(ctx context.Context, key string, offset, length int64) ([]byte, error)

	// GetSuffix returns the last length bytes, or the whole object if it is shorter. The caller owns the result.
	// ErrNotFound.
	GetSuffix(ctx context.Context, key string, length int64) ([]byte, error)

	// List yields the objects whose key begins with prefix and sorts after startAfter, in byte order of the keys.
	// An error ends the sequence and is its last element. Objects created or deleted meanwhile may or may not appear.
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[Object, error]

	// Delete removes the objects; those that do not exist count as removed. After a *RefusedError all are removed but those that
	// it names. After any other error some may be left.
	Delete(ctx context.Context, keys []string) error
}
