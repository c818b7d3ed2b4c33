package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/runnel-io/runnel/integration/servers"
)

const (
	getBytes    = 4 << 20
	getParallel = 8
)

// piece is a range of an object.
type piece struct {
	key      string
	from, to int64 // inclusive
}

// pieces cuts an object into ranges.
func pieces(key string, size int64) []piece {
	var all []piece
	for from := int64(0); from < size; from += getBytes {
		all = append(all, piece{key, from, min(from+getBytes, size) - 1})
	}
	return all
}

// plainGets reads all objects under a prefix and returns MB/s.
func (m *machine) plainGets(ctx context.Context, prefix string) (float64, error) {
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String(m.s3.Endpoint()), Region: servers.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(m.s3.AccessKey, m.s3.SecretKey, ""),
	})
	var todo []piece
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: aws.String(servers.Bucket), Prefix: aws.String(prefix + "/t0/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return 0, fmt.Errorf("list objects: %w", err)
		}
		for _, o := range page.Contents {
			todo = append(todo, pieces(aws.ToString(o.Key), aws.ToInt64(o.Size))...)
		}
	}
	if len(todo) == 0 {
		return 0, errors.New("no objects to read")
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var read, next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range getParallel {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(todo)); i = next.Add(1) - 1 {
				n, err := get(ctx, client, todo[i])
				if err != nil {
					fail(err)
					return
				}
				read.Add(n)
			}
		})
	}
	wg.Wait()
	return float64(read.Load()) / 1e6 / time.Since(start).Seconds(), context.Cause(ctx)
}

func get(ctx context.Context, client *s3.Client, p piece) (int64, error) {
	answer, err := client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: aws.String(servers.Bucket), Key: aws.String(p.key), Range: aws.String(fmt.Sprintf("bytes=%d-%d", p.from, p.to)),
	})
	if err != nil {
		return 0, fmt.Errorf("get %s: %w", p.key, err)
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err == nil && n != p.to-p.from+1 {
		err = fmt.Errorf("get %s: %d bytes of %d", p.key, n, p.to-p.from+1)
	}
	return n, err
}
