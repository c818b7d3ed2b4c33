package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/runnel-io/runnel/objstore"
)

// deleteBatch is how many objects S3 deletes in one request at most.
const deleteBatch = 1000

// maxDeleteErrors is after how many failures of single objects the rest of a batch is left alone, and how many causes an error names.
const maxDeleteErrors = 5

// Delete implements objstore.Store with DeleteObjects. What the server could not delete that way, one object or, where
// it does not know the request, all of them, is deleted one by one.
func (s *Store) Delete(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if err := objstore.ValidKey(key); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	var refused []string // full keys
	var why []error
	for batch := range slices.Chunk(keys, deleteBatch) {
		err := s.deleteBatch(ctx, batch)
		var no *objstore.RefusedError
		if errors.As(err, &no) {
			refused, why = append(refused, no.Keys...), append(why, no.Err)
		} else if err != nil {
			return fmt.Errorf("delete %d objects: %w", len(keys), err)
		}
	}
	if len(refused) == 0 {
		return nil
	}
	for i, key := range refused {
		refused[i] = strings.TrimPrefix(key, s.opts.Prefix)
	}
	return &objstore.RefusedError{Keys: refused, Err: errors.Join(why...)}
}

// deleteBatch deletes what one request takes. A RefusedError of it has full keys.
func (s *Store) deleteBatch(ctx context.Context, keys []string) error {
	objects := make([]types.ObjectIdentifier, len(keys))
	for i, key := range keys {
		objects[i].Key = aws.String(s.opts.Prefix + key)
	}
	out, err := s.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
		Bucket: &s.opts.Bucket,
		Delete: &types.Delete{Objects: objects, Quiet: aws.Bool(true)},
	})
	if err == nil {
		left, refused := leftOver(out)
		return s.deleteEach(ctx, left, refused)
	}
	if !isUnsupported(err) {
		return err
	}
	left := make([]string, len(objects))
	for i, object := range objects {
		left[i] = *object.Key
	}
	return s.deleteEach(ctx, left, refusals{})
}

// isUnsupported tells the answers of servers that have no DeleteObjects.
func isUnsupported(err error) bool {
	return status(err) == http.StatusNotImplemented || status(err) == http.StatusMethodNotAllowed
}

// refusals are objects that the server does not let go.
type refusals struct {
	keys []string
	why  []error // of the first few
}

func (r *refusals) add(key string, err error) {
	r.keys = append(r.keys, key)
	if len(r.why) < maxDeleteErrors {
		r.why = append(r.why, fmt.Errorf("%s: %w", key, err))
	}
}

// leftOver returns the full keys that DeleteObjects reports as failed, and those as refused.
func leftOver(out *s3.DeleteObjectsOutput) (left []string, refused refusals) {
	for _, failed := range out.Errors {
		switch key := aws.ToString(failed.Key); {
		case aws.ToString(failed.Code) == "NoSuchKey":
		case locked(aws.ToString(failed.Code)):
			refused.add(key, fmt.Errorf("%s: %s", aws.ToString(failed.Code), aws.ToString(failed.Message)))
		default:
			left = append(left, key)
		}
	}
	return left, refused
}

// locked tells the codes by which servers refuse to delete one object: a policy says so, or object lock, a hold, or a rule of
// retention.
func locked(code string) bool {
	switch code {
	case "AccessDenied", "ObjectLocked", "ObjectLockedByBucketPolicy", "RetentionPolicyNotMet", "ObjectUnderActiveHold":
		return true
	}
	return false
}

// deleteEach deletes objects by their full keys. It goes on after errors, within bounds: the fewer are left, the better.
func (s *Store) deleteEach(ctx context.Context, fullKeys []string, refused refusals) error {
	var errs []error
	for _, key := range fullKeys {
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.opts.Bucket, Key: &key})
		switch {
		case err == nil || status(err) == http.StatusNotFound && code(err) != "NoSuchBucket":
		case locked(code(err)):
			refused.add(key, err)
		default:
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
		if len(errs) == maxDeleteErrors || ctx.Err() != nil {
			break
		}
	}
	switch {
	case len(errs) > 0:
		return errors.Join(errs...)
	case ctx.Err() != nil:
		return ctx.Err()
	case len(refused.keys) > 0:
		return &objstore.RefusedError{Keys: refused.keys, Err: errors.Join(refused.why...)}
	}
	return nil
}
