package s3

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// MakeBucket makes the bucket unless it is there and may be used, and tells whether it did. Brokers never call it: one that does
// not find its bucket must say so, and not begin an empty one.
func (s *Store) MakeBucket(ctx context.Context) (made bool, err error) {
	there := s.Check(ctx)
	if there == nil {
		return false, nil
	}
	if code(there) != "NoSuchBucket" {
		return false, there
	}
	input := &s3.CreateBucketInput{Bucket: &s.opts.Bucket}
	// us-east-1 is where buckets are that do not say where; S3 takes its name for a mistake.
	if region := s.client.Options().Region; region != "" && region != "us-east-1" {
		input.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
	}
	_, err = s.client.CreateBucket(ctx, input)
	var owned *types.BucketAlreadyOwnedByYou
	var exists *types.BucketAlreadyExists
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &owned), errors.As(err, &exists): // somebody was quicker, maybe an attempt of ours whose answer was lost
		return false, s.Check(ctx)
	}
	return false, fmt.Errorf("make bucket %s: %w", aws.ToString(input.Bucket), &checkError{err})
}
