package independent

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/s3"
)

// onServers runs a test on each S3 server: the one that other tests run on, and MinIO.
func onServers(t *testing.T, test func(t *testing.T, bucket string)) {
	t.Run("versitygw", func(t *testing.T) { test(t, harness.TestBucket(t)) })
	t.Run("minio", func(t *testing.T) { test(t, harness.OwnMinIO(t).URL()) })
}

// place is a prefix of a bucket, and who may use it.
type place struct {
	endpoint, host, bucket, prefix string
	access, secret                 string
}

func placeIn(t *testing.T, bucketURL string) place {
	t.Helper()
	u, err := url.Parse(bucketURL)
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := u.User.Password()
	return place{
		endpoint: u.Scheme + "://" + u.Host, host: u.Host, bucket: strings.Trim(u.Path, "/"),
		prefix: "independent/" + strings.ToLower(rand.Text()), access: u.User.Username(), secret: secret,
	}
}

// sdk is the store that brokers use.
func (p place) sdk(t *testing.T) *s3.Store {
	t.Helper()
	store, err := s3.Open(t.Context(), s3.Options{
		Bucket: p.bucket, Prefix: p.prefix, Endpoint: p.endpoint, PathStyle: true, Region: servers.Region, AccessKey: p.access, SecretKey: p.secret,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func (p place) minio(t *testing.T) minioStore {
	t.Helper()
	client, err := minio.New(p.host, &minio.Options{
		Creds: credentials.NewStaticV4(p.access, p.secret, ""), Region: servers.Region, BucketLookup: minio.BucketLookupPath, MaxRetries: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	return minioStore{core: minio.Core{Client: client}, bucket: p.bucket, prefix: p.prefix + "/"}
}

// minioStore is an objstore.Store on minio-go, as short as that contract allows. It is what a second store of the product
// would begin as, and is used by these tests alone.
type minioStore struct {
	core           minio.Core
	bucket, prefix string
}

var (
	_ objstore.Store   = minioStore{}
	_ objstore.Checker = minioStore{}
)

const sha256OfNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// sentinel makes an answer the contract's error.
func sentinel(err error) error {
	switch answer := minio.ToErrorResponse(err); {
	case answer.StatusCode == http.StatusPreconditionFailed:
		return objstore.ErrExists
	case answer.StatusCode == http.StatusNotFound && answer.Code != minio.NoSuchBucket:
		return objstore.ErrNotFound
	case answer.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return objstore.ErrRange
	}
	return err
}

func (s minioStore) Put(ctx context.Context, key string, parts [][]byte) error {
	if err := objstore.ValidKey(key); err != nil {
		return err
	}
	body := objstore.NewPartsReader(parts)
	defer body.Close()
	opts := minio.PutObjectOptions{ContentType: "application/octet-stream", DisableMultipart: true}
	opts.SetMatchETagExcept("*")
	// Over plain HTTP minio-go signs bodies chunk by chunk. versitygw answers such a PUT of nothing, and takes the last chunk
	// for the connection's next request.
	sum := ""
	if body.Size() == 0 {
		sum, opts.DisableContentSha256 = sha256OfNothing, true
	}
	_, err := s.core.PutObject(ctx, s.bucket, s.prefix+key, body, body.Size(), "", sum, opts)
	return sentinel(err)
}

func (s minioStore) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if err := objstore.ValidKey(key); err != nil {
		return nil, err
	}
	// HTTP has neither a range before the start nor one of no bytes: one byte is asked for.
	first, count := max(offset, 0), max(length, 1)
	if offset < 0 {
		count = 1
	}
	last := int64(math.MaxInt64)
	if count-1 <= math.MaxInt64-first {
		last = first + count - 1
	}
	b, err := s.read(ctx, key, fmt.Sprintf("bytes=%d-%d", first, last))
	if err == nil && (offset < 0 || length < 0) {
		err = objstore.ErrRange
	}
	if err != nil {
		return nil, err
	}
	return b[:min(int64(len(b)), length)], nil
}

func (s minioStore) GetSuffix(ctx context.Context, key string, length int64) ([]byte, error) {
	if err := objstore.ValidKey(key); err != nil {
		return nil, err
	}
	b, err := s.read(ctx, key, fmt.Sprintf("bytes=-%d", max(length, 1)))
	if errors.Is(err, objstore.ErrRange) {
		return []byte{}, nil
	}
	return b[:min(int64(len(b)), max(length, 0))], err
}

func (s minioStore) read(ctx context.Context, key, span string) ([]byte, error) {
	var opts minio.GetObjectOptions
	opts.Set("Range", span)
	body, _, _, err := s.core.GetObject(ctx, s.bucket, s.prefix+key, opts)
	if err != nil {
		return nil, sentinel(err)
	}
	defer body.Close()
	return io.ReadAll(body)
}

// entries are what LIST tells of every object, ETags included.
func (s minioStore) entries(ctx context.Context, prefix, startAfter string) iter.Seq[minio.ObjectInfo] {
	opts := minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}
	if startAfter != "" {
		opts.StartAfter = s.prefix + startAfter
	}
	return s.core.ListObjectsIter(ctx, s.bucket, opts)
}

func (s minioStore) List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		if err := ctx.Err(); err != nil { // minio-go takes it for the end of the list
			yield(objstore.Object{}, err)
			return
		}
		for o := range s.entries(ctx, prefix, startAfter) {
			found := objstore.Object{Key: strings.TrimPrefix(o.Key, s.prefix), Size: o.Size, Modified: o.LastModified}
			if !yield(found, o.Err) || o.Err != nil {
				return
			}
		}
	}
}

func (s minioStore) Delete(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if err := objstore.ValidKey(key); err != nil {
			return err
		}
	}
	doomed := func(yield func(minio.ObjectInfo) bool) {
		for key := range slices.Values(keys) {
			if !yield(minio.ObjectInfo{Key: s.prefix + key}) {
				return
			}
		}
	}
	results, err := s.core.RemoveObjectsWithIter(ctx, s.bucket, doomed, minio.RemoveObjectsOptions{})
	if err != nil {
		return err
	}
	var errs []error
	for r := range results {
		errs = append(errs, r.Err)
	}
	return cmp.Or(errors.Join(errs...), ctx.Err())
}

func (s minioStore) Check(ctx context.Context) error {
	ok, err := s.core.BucketExists(ctx, s.bucket)
	if err == nil && !ok {
		err = errors.New("no such bucket")
	}
	return err
}
