package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/runnel-io/runnel/objstore"
)

// errAnswer marks an answer that does not fit the request: cut short, or another range than was asked for.
var errAnswer = errors.New("unusable answer")

// Get implements objstore.Store with one ranged GetObject. Without permission to list the bucket, S3 answers for objects
// that do not exist as for those one may not read: the error is then no ErrNotFound.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if err := objstore.ValidKey(key); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	data, err := s.get(ctx, key, offset, length)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	return data, nil
}

func (s *Store) get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	// HTTP has no range of no bytes and none before the start. One byte is asked for instead, so that a key that does
	// not exist and an offset past the end are told from each other as always.
	want := span{first: max(offset, 0), length: max(length, 1)}
	if offset < 0 {
		want.length = 1
	}
	data, err := s.fetch(ctx, key, want, nil)
	if err == nil && (offset < 0 || length < 0) {
		err = objstore.ErrRange
	}
	if err != nil {
		return nil, err
	}
	return data[:min(int64(len(data)), length)], nil
}

// GetInto implements objstore.IntoGetter as Get does objstore.Store.
func (s *Store) GetInto(ctx context.Context, key string, offset int64, buf []byte) (int, error) {
	if len(buf) == 0 || offset < 0 { // HTTP has no such ranges
		_, err := s.Get(ctx, key, offset, int64(len(buf)))
		return 0, err
	}
	if err := objstore.ValidKey(key); err != nil {
		return 0, fmt.Errorf("get: %w", err)
	}
	data, err := s.fetch(ctx, key, span{first: offset, length: int64(len(buf))}, buf)
	if err != nil {
		return 0, fmt.Errorf("get %s: %w", key, err)
	}
	return len(data), nil
}

// GetSuffix implements objstore.Store with one GetObject of a suffix range.
func (s *Store) GetSuffix(ctx context.Context, key string, length int64) ([]byte, error) {
	if err := objstore.ValidKey(key); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	data, err := s.fetch(ctx, key, span{suffix: true, length: max(length, 1)}, nil)
	if errors.Is(err, objstore.ErrRange) { // no suffix of an empty object satisfies HTTP
		data, err = []byte{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	if length <= 0 {
		data = data[:0]
	}
	return data, nil
}

// span is a range as the Range header says it.
type span struct {
	suffix bool  // the last length bytes, else length bytes from first
	first  int64 // from the start of the object
	length int64 // at least 1
}

func (w span) header() string {
	if w.suffix {
		return "bytes=-" + strconv.FormatInt(w.length, 10)
	}
	last := int64(math.MaxInt64)
	if w.length-1 <= math.MaxInt64-w.first {
		last = w.first + w.length - 1
	}
	return fmt.Sprintf("bytes=%d-%d", w.first, last)
}

// of returns the bytes [begin, end) that the range means in an object of the given size; none means ErrRange.
func (w span) of(size int64) (begin, end int64) {
	if w.suffix {
		return size - min(w.length, size), size
	}
	begin = min(w.first, size)
	return begin, begin + min(w.length, size-begin)
}

// fetch asks for a range until it arrives whole, and returns it in room if it fits. The SDK repeats requests up to the
// head of the answer; what breaks in the body is repeated here.
func (s *Store) fetch(ctx context.Context, key string, want span, room []byte) ([]byte, error) {
	for attempt := 1; ; attempt++ {
		out, err := s.client.GetObject(ctx, &s3.GetObjectInput{
			Bucket: &s.opts.Bucket,
			Key:    aws.String(s.opts.Prefix + key),
			Range:  aws.String(want.header()),
		})
		if err != nil {
			return nil, getError(err)
		}
		data, err := readAnswer(out, want, room)
		if err == nil || errors.Is(err, objstore.ErrRange) {
			return data, err
		}
		if cause := ctx.Err(); cause != nil {
			return nil, cause
		}
		if attempt >= s.opts.Attempts {
			return nil, err
		}
		if err := s.pause(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

// getError makes the answers that the contract names into its sentinels. A missing bucket is not a missing object: who
// believes that objects are gone may act on it.
func getError(err error) error {
	switch {
	case status(err) == http.StatusNotFound && code(err) != "NoSuchBucket":
		return objstore.ErrNotFound
	case status(err) == http.StatusRequestedRangeNotSatisfiable:
		return objstore.ErrRange
	}
	return err
}

// readAnswer returns the body of an answer, in room if it fits, after making sure that it is the range wanted, all of it.
func readAnswer(out *s3.GetObjectOutput, want span, room []byte) ([]byte, error) {
	defer discard(out.Body)
	begin, end, size, err := answered(out)
	if err != nil {
		return nil, err
	}
	wantBegin, wantEnd := want.of(size)
	if wantBegin == wantEnd {
		return nil, objstore.ErrRange
	}
	if begin != wantBegin || end != wantEnd {
		return nil, fmt.Errorf("%w: bytes %d to %d of %d, asked for %d to %d", errAnswer, begin, end, size, wantBegin, wantEnd)
	}
	if out.ContentLength != nil && *out.ContentLength != end-begin {
		return nil, fmt.Errorf("%w: %d bytes announced for a range of %d", errAnswer, *out.ContentLength, end-begin)
	}
	data := room
	if int64(len(data)) < end-begin {
		data = make([]byte, end-begin)
	}
	data = data[:end-begin]
	if n, err := io.ReadFull(out.Body, data); err != nil {
		return nil, fmt.Errorf("%w: %d bytes of %d: %w", errAnswer, n, len(data), err)
	}
	// Read on to the end, where the SDK compares checksums.
	switch n, err := out.Body.Read(make([]byte, 1)); {
	case n != 0:
		return nil, fmt.Errorf("%w: more than %d bytes", errAnswer, len(data))
	case err != nil && err != io.EOF:
		return nil, fmt.Errorf("%w: after %d bytes: %w", errAnswer, len(data), err)
	}
	return data, nil
}

// nothing is the Content-Range, which HTTP has none for, with which MinIO answers for the last bytes of an empty object. Others
// say that no range satisfies.
const nothing = "bytes 0--1/0"

// answered tells which bytes of an object of which size an answer holds. One without Content-Range is the whole object.
func answered(out *s3.GetObjectOutput) (begin, end, size int64, err error) {
	if out.ContentRange == nil {
		if out.ContentLength == nil {
			return 0, 0, 0, fmt.Errorf("%w: neither a range nor a length", errAnswer)
		}
		return 0, *out.ContentLength, *out.ContentLength, nil
	}
	if *out.ContentRange == nothing {
		return 0, 0, 0, nil
	}
	begin, last, size, ok := parseContentRange(*out.ContentRange)
	if !ok {
		return 0, 0, 0, fmt.Errorf("%w: Content-Range %q", errAnswer, *out.ContentRange)
	}
	return begin, last + 1, size, nil
}

// parseContentRange takes "bytes first-last/size" apart (RFC 9110, section 14.4).
func parseContentRange(header string) (first, last, size int64, ok bool) {
	header, isBytes := strings.CutPrefix(header, "bytes ")
	bounds, total, hasTotal := strings.Cut(header, "/")
	from, to, hasBounds := strings.Cut(bounds, "-")
	if !isBytes || !hasTotal || !hasBounds {
		return 0, 0, 0, false
	}
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	size, err3 := strconv.ParseInt(total, 10, 64)
	ok = errors.Join(err1, err2, err3) == nil && first >= 0 && first <= last && last < size
	return first, last, size, ok
}
