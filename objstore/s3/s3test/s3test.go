// Package s3test opens stores on the real S3 server that tests run against.
package s3test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/uuid"

	"github.com/runnel-io/runnel/objstore/s3"
)

// Env names the variable that says where the server is: http://ACCESS:SECRET@127.0.0.1:PORT/bucket.
const Env = "RUNNEL_TEST_S3"

// Options returns the options of a store below a prefix of the test's own, in a bucket that exists. Without a server
// named by Env the test is skipped, in CI failed.
func Options(t testing.TB) s3.Options {
	t.Helper()
	where := os.Getenv(Env)
	if where == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set: CI must test against a real S3 server", Env)
		}
		t.Skipf("%s is not set; \"make test\" starts a server and sets it", Env)
	}
	u, err := url.Parse(where)
	if err != nil {
		t.Fatalf("%s: %v", Env, err)
	}
	secret, _ := u.User.Password()
	opts := s3.Options{
		Endpoint:  u.Scheme + "://" + u.Host,
		Bucket:    strings.Trim(u.Path, "/"),
		Prefix:    "test/" + uuid.NewString(),
		Region:    "us-east-1",
		PathStyle: true,
		AccessKey: u.User.Username(),
		SecretKey: secret,
	}
	makeBucket(t, opts)
	return opts
}

// Open returns an empty store. Its objects go with the test.
func Open(t testing.TB) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), Options(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { clear(t, s) })
	return s
}

func clear(t testing.TB, s *s3.Store) {
	var keys []string
	for o, err := range s.List(context.Background(), "", "") {
		if err != nil {
			t.Errorf("clear the bucket: %v", err)
			break
		}
		keys = append(keys, o.Key)
	}
	if err := errors.Join(s.Delete(context.Background(), keys), s.Close()); err != nil {
		t.Errorf("clear the bucket: %v", err)
	}
}

func makeBucket(t testing.TB, opts s3.Options) {
	t.Helper()
	client := awss3.New(awss3.Options{
		BaseEndpoint: aws.String(opts.Endpoint),
		Region:       opts.Region,
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider(opts.AccessKey, opts.SecretKey, ""),
	})
	_, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &opts.Bucket})
	var owned *types.BucketAlreadyOwnedByYou
	var exists *types.BucketAlreadyExists
	if err != nil && !errors.As(err, &owned) && !errors.As(err, &exists) {
		t.Fatalf("create bucket %s at %s: %v", opts.Bucket, opts.Endpoint, err)
	}
}
