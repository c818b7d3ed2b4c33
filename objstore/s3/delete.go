package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/runnel-io/runnel/objstore"
)

// deleteBatch is how many objects S3 deletes in one request at most.
const deleteBatch = 1000

// maxDeleteErrors bounds how many causes the error of one batch names.
const maxDeleteErrors = 5

// Delete implements objstore.Store with DeleteObjects. What the server could not delete that way, one object or, where
// it does not know the request, all of them, is deleted one by one.
func (s *Store) Delete(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if err := objstore.ValidKey(key); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	for batch := range slices.Chunk(keys, deleteBatch) {
		if err := s.deleteBatch(ctx, batch); err != nil {
			return fmt.Errorf("delete %d objects: %w", len(keys), err)
		}
	}
	return nil
}

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
		return s.deleteEach(ctx, leftOver(out))
	}
	if !isUnsupported(err) {
		return err
	}
	left := make([]string, len(objects))
	for i, object := range objects {
		left[i] = *object.Key
	}
	return s.deleteEach(ctx, left)
}

// isUnsupported tells the answers of servers that have no DeleteObjects.
func isUnsupported(err error) bool {
	return status(err) == http.StatusNotImplemented || status(err) == http.StatusMethodNotAllowed
}

// leftOver returns the full keys that DeleteObjects reports as failed.
func leftOver(out *s3.DeleteObjectsOutput) []string {
	var keys []string
	for _, failed := range out.Errors {
		if aws.ToString(failed.Code) != "NoSuchKey" {
			keys = append(keys, aws.ToString(failed.Key))
		}
	}
	return keys
}

// deleteEach deletes objects by their full keys. It goes on after an error: the fewer are left, the better.
func (s *Store) deleteEach(ctx context.Context, fullKeys []string) error {
	var errs []error
	for _, key := range fullKeys {
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.opts.Bucket, Key: &key})
		if err == nil || status(err) == http.StatusNotFound && code(err) != "NoSuchBucket" {
			continue
		}
		if errs = append(errs, fmt.Errorf("%s: %w", key, err)); len(errs) == maxDeleteErrors || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}
