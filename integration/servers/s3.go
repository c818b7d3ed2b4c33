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
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/runnel-io/runnel/integration/toolchain"
)

// Bucket is the name of the bucket that every S3 server is opened with.
const Bucket = "runnel-test"

// Region is the region that the S3 server answers for.
const Region = "us-east-1"

// S3 is an S3 server over a temporary directory, on a free loopback port, with credentials of its own: versitygw or MinIO.
type S3 struct {
	AccessKey, SecretKey string

	scratch

	program s3Program
	port    int
	log     *Log
	proc    *Process
}

// s3Program is an implementation: what to run over s.dir, with which arguments and environment.
type s3Program interface {
	name() string
	// dirs are the directories below s.dir that are there before the first start.
	dirs() []string
	command(s *S3) *exec.Cmd
}

// versityGW is the server that most tests run on: quick to build, maintained, and it checks signatures and checksums.
type versityGW struct{ bin string }

func (versityGW) name() string { return "versitygw" }

func (versityGW) dirs() []string { return []string{"buckets", "sidecar"} }

func (v versityGW) command(s *S3) *exec.Cmd {
	cmd := exec.Command(v.bin, "--quiet", "--keep-alive", "--region", Region, "--port", s.address(),
		"posix", "--sidecar", filepath.Join(s.dir, "sidecar"), filepath.Join(s.dir, "buckets"))
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey)
	return cmd
}

// OpenS3 starts versitygw and makes Bucket. The program comes from the tool cache, which builds it if needed.
func OpenS3(ctx context.Context, tools toolchain.Cache) (*S3, error) {
	bin, err := tools.GoProgram(ctx, toolchain.VersityGW)
	if err != nil {
		return nil, err
	}
	return openS3(ctx, versityGW{bin})
}

func openS3(ctx context.Context, program s3Program) (_ *S3, err error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	log, _ := NewLog("")
	s := &S3{AccessKey: rand.Text(), SecretKey: rand.Text(), program: program, port: port, log: log}
	if s.scratch, err = newScratch("s3"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.remove() // the error that led here is told
		}
	}()
	for _, sub := range program.dirs() {
		if err := os.Mkdir(filepath.Join(s.dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("make the server's directory: %w", err)
		}
	}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	if _, err := s.client().CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(Bucket)}); err != nil {
		return nil, errors.Join(fmt.Errorf("make the bucket: %w", err), s.Stop())
	}
	return s, nil
}

// Start starts the server, again after a Stop or Kill on the same port and data, and returns when it answers.
func (s *S3) Start(ctx context.Context) error {
	cmd := s.program.command(s)
	cmd.Dir = s.dir
	proc, err := Start(s.program.name(), cmd, syscall.SIGKILL, s.log)
	if err != nil {
		return err
	}
	s.proc = proc
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client := s.client()
	err = proc.ready(ctx, func(ctx context.Context) error {
		_, err := client.ListBuckets(ctx, &s3.ListBucketsInput{})
		return err
	})
	if err != nil {
		proc.Stop(syscall.SIGTERM, stopGrace)
	}
	return err
}

func (s *S3) client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(s.Endpoint()), Region: Region, UsePathStyle: true,
		Credentials:      credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
		RetryMaxAttempts: 1,
	})
}

func (s *S3) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Endpoint is the server's URL.
func (s *S3) Endpoint() string { return "http://" + s.address() }

// URL is endpoint, credentials and bucket in one: http://ACCESS:SECRET@HOST:PORT/BUCKET.
func (s *S3) URL() string {
	u := url.URL{Scheme: "http", User: url.UserPassword(s.AccessKey, s.SecretKey), Host: s.address(), Path: "/" + Bucket}
	return u.String()
}

// Forget removes all objects whose keys begin with the prefix and a slash, from below the server: what a load of many GiB leaves would
// fill the disk. Nobody may use them any more.
func (s *S3) Forget(prefix string) error {
	var err error
	for _, kind := range []string{"buckets", "sidecar"} {
		err = errors.Join(err, os.RemoveAll(filepath.Join(s.dir, kind, Bucket, filepath.Clean("/"+prefix))))
	}
	return err
}

// Stop ends the server; the objects stay for another Start.
func (s *S3) Stop() error {
	err := s.proc.Stop(syscall.SIGTERM, stopGrace)
	// The server's exit code after SIGTERM is not a promise it makes.
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// Kill ends the server as a crash does; the objects stay for another Start.
func (s *S3) Kill() error {
	err := s.proc.Stop(syscall.SIGKILL, stopGrace)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// Close stops the server and removes its objects.
func (s *S3) Close() error {
	err := s.Stop()
	return errors.Join(err, s.remove())
}
