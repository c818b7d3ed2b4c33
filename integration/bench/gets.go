package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
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

// plainLoop reads objects without a broker.
type plainLoop struct {
	client *s3.Client
	pieces []piece
}

// newPlainLoop finds all objects of tier 0 under a prefix.
func (m *machine) newPlainLoop(ctx context.Context, endpoint, prefix string) (*plainLoop, error) {
	l := &plainLoop{client: s3.New(s3.Options{
		BaseEndpoint: aws.String(endpoint), Region: servers.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(m.s3.AccessKey, m.s3.SecretKey, ""),
	})}
	pages := s3.NewListObjectsV2Paginator(l.client, &s3.ListObjectsV2Input{Bucket: aws.String(servers.Bucket), Prefix: aws.String(prefix + "/t0/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list objects: %w", err)
		}
		for _, o := range page.Contents {
			l.pieces = append(l.pieces, pieces(aws.ToString(o.Key), aws.ToInt64(o.Size))...)
		}
	}
	if len(l.pieces) == 0 {
		return nil, errors.New("no objects to read")
	}
	return l, nil
}

// plainGets reads all objects under a prefix and returns MB/s.
func (m *machine) plainGets(ctx context.Context, prefix string) (float64, error) {
	l, err := m.newPlainLoop(ctx, m.s3.Endpoint(), prefix)
	if err != nil {
		return 0, err
	}
	return l.read(ctx, 0, int64(len(l.pieces)))
}

// until reads the objects again and again, so many MB/s at most unless that is 0, until ctx ends, and returns the MB/s.
func (l *plainLoop) until(ctx context.Context, most float64) (float64, error) {
	rate, err := l.read(ctx, most, math.MaxInt64)
	if ctx.Err() != nil {
		err = nil
	}
	return rate, err
}

// read makes so many GETs, of one piece after the other, and returns MB/s.
func (l *plainLoop) read(ctx context.Context, most float64, gets int64) (float64, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var read, next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range getParallel {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < gets && ctx.Err() == nil; i = next.Add(1) - 1 {
				if most > 0 && !waitUntil(ctx, start.Add(time.Duration(float64(before(l.pieces, i))/1e6/most*float64(time.Second)))) {
					return
				}
				n, err := get(ctx, l.client, l.pieces[i%int64(len(l.pieces))])
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

// before is how many bytes come before a piece, where pieces are read again and again.
func before(all []piece, i int64) (bytes int64) {
	n := int64(len(all))
	for at, p := range all {
		size := p.to - p.from + 1
		bytes += i / n * size
		if int64(at) < i%n {
			bytes += size
		}
	}
	return bytes
}

// waitUntil tells whether ctx goes on until then.
func waitUntil(ctx context.Context, then time.Time) bool {
	wait := time.NewTimer(time.Until(then))
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-ctx.Done():
		return false
	}
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
