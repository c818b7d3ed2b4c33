// Package s3 keeps objects in a bucket of Amazon S3 or of a server that speaks its protocol, conditional writes
// (If-None-Match) included.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/runnel-io/runnel/objstore"
)

// Store is an objstore.Store in a bucket.
type Store struct {
	client *s3.Client
	http   *http.Client
	opts   Options

	protection atomic.Int32 // of bodies: see protection
	learning   sync.Mutex
	probes     int // how often it was looked what the server can; guarded by learning
}

var (
	_ objstore.Store      = (*Store)(nil)
	_ objstore.Checker    = (*Store)(nil)
	_ objstore.IntoGetter = (*Store)(nil)
)

// Open returns a store. It reads the SDK's configuration files but sends nothing: Check tells whether the bucket answers.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("s3 options: %w", err)
	}
	opts = opts.withDefaults()
	client, httpClient, err := newClient(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("load s3 configuration: %w", err)
	}
	return &Store{client: client, http: httpClient, opts: opts}, nil
}

// Close closes idle connections. Requests under way go on.
func (s *Store) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// List implements objstore.Store with ListObjectsV2, 1000 objects to a request. Directory buckets (S3 Express) do not
// list in order; they end in an error.
func (s *Store) List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		for o, err := range s.list(ctx, prefix, startAfter) {
			if err != nil {
				yield(objstore.Object{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			if !yield(o, nil) {
				return
			}
		}
	}
}

func (s *Store) list(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error] {
	input := &s3.ListObjectsV2Input{Bucket: &s.opts.Bucket, Prefix: aws.String(s.opts.Prefix + prefix)}
	if startAfter != "" {
		input.StartAfter = aws.String(s.opts.Prefix + startAfter)
	}
	return func(yield func(objstore.Object, error) bool) {
		last := startAfter
		for pages := s3.NewListObjectsV2Paginator(s.client, input); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(objstore.Object{}, err)
				return
			}
			for _, found := range page.Contents {
				key, below := strings.CutPrefix(aws.ToString(found.Key), s.opts.Prefix)
				if !below || objstore.ValidKey(key) != nil {
					continue // not ours: consoles make "directories" whose keys end in a slash
				}
				if key <= last {
					// Whoever resumes a listing after the last key seen would miss objects.
					yield(objstore.Object{}, fmt.Errorf("the server lists %q after %q", key, last))
					return
				}
				last = key
				o := objstore.Object{Key: key, Size: aws.ToInt64(found.Size), Modified: aws.ToTime(found.LastModified)}
				if !yield(o, nil) {
					return
				}
			}
		}
	}
}

// Check implements objstore.Checker with one ListObjectsV2 of one object, which tells more when it fails than the empty
// answer to HeadBucket. That objects can be written shows at the first Put only.
func (s *Store) Check(ctx context.Context) error {
	_, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket:  &s.opts.Bucket,
		Prefix:  aws.String(s.opts.Prefix),
		MaxKeys: aws.Int32(1),
	}, func(o *s3.Options) { o.RetryMaxAttempts = 1 })
	if err != nil {
		return fmt.Errorf("list bucket %s: %w", s.opts.Bucket, &checkError{err})
	}
	return nil
}

// checkError says what the SDK's error says without the ids of the request: who checks again and again can tell whether
// the reason is still the same.
type checkError struct{ err error }

func (e *checkError) Unwrap() error { return e.err }

func (e *checkError) Error() string {
	var answer interface {
		ErrorCode() string
		ErrorMessage() string
	}
	if errors.As(e.err, &answer) {
		return fmt.Sprintf("%s: %s (HTTP status %d)", answer.ErrorCode(), answer.ErrorMessage(), status(e.err))
	}
	var request *url.Error
	if errors.As(e.err, &request) {
		return request.Error()
	}
	return e.err.Error()
}

// status is the HTTP status of an answer that the SDK made into an error, else 0.
func status(err error) int {
	var answer interface{ HTTPStatusCode() int }
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// code is the error code of an answer that the SDK made into an error, else "".
func code(err error) string {
	var answer interface{ ErrorCode() string }
	if errors.As(err, &answer) {
		return answer.ErrorCode()
	}
	return ""
}

// pause waits between two attempts, or until ctx is done.
func (s *Store) pause(ctx context.Context, attempt int) error {
	timer := time.NewTimer(backoff(attempt, s.opts.MaxBackoff))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// discard lets a connection be used again if little of an answer is left, and else closes it.
func discard(body io.ReadCloser) {
	io.CopyN(io.Discard, body, 4<<10) //nolint:errcheck // nothing depends on it
	body.Close()
}
