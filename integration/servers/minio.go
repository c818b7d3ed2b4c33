package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// MinIO is a MinIO server over a temporary directory, on a free loopback port, with credentials of its own.
type MinIO struct {
	access, secret string
	dir, address   string
	proc           *Process
}

// OpenMinIO starts the server program bin and makes Bucket.
func OpenMinIO(ctx context.Context, bin string) (_ *MinIO, err error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	m := &MinIO{access: rand.Text(), secret: rand.Text(), address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	if m.dir, err = os.MkdirTemp("", "runnel-minio-"); err != nil {
		return nil, fmt.Errorf("make the server's directory: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(m.dir)
		}
	}()
	log, err := NewLog("")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(bin, "server", "--quiet", "--address", m.address, m.dir)
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+m.access, "MINIO_ROOT_PASSWORD="+m.secret,
		"MINIO_REGION="+Region, "MINIO_BROWSER=off", "MINIO_UPDATE=off", "HOME="+m.dir)
	if m.proc, err = Start("minio", cmd, syscall.SIGKILL, log); err != nil {
		return nil, err
	}
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + m.address), Region: Region, UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(m.access, m.secret, ""),
	})
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = m.proc.ready(ctx, func(ctx context.Context) error {
		_, err := client.ListBuckets(ctx, &s3.ListBucketsInput{})
		return err
	})
	if err == nil {
		_, err = client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(Bucket)})
	}
	if err != nil {
		return nil, errors.Join(err, m.stop())
	}
	return m, nil
}

// URL is endpoint, credentials and bucket in one, as of S3.
func (m *MinIO) URL() string {
	u := url.URL{Scheme: "http", User: url.UserPassword(m.access, m.secret), Host: m.address, Path: "/" + Bucket}
	return u.String()
}

func (m *MinIO) stop() error {
	err := m.proc.Stop(syscall.SIGTERM, stopGrace)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// Close stops the server and removes its objects.
func (m *MinIO) Close() error { return errors.Join(m.stop(), os.RemoveAll(m.dir)) }
