package harness

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5"

	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/integration/toolchain"
)

// Stores says where the brokers of one cluster keep everything: a database and a prefix of a bucket, both empty at
// first.
type Stores struct {
	Metastore   string // postgres://...
	ObjectStore string // s3://bucket/prefix
	Endpoint    string
	AccessKey   string
	SecretKey   string
}

func (s Stores) env() []string {
	return []string{
		"RUNNEL_METASTORE_URL=" + s.Metastore,
		"RUNNEL_OBJECT_STORE_URL=" + s.ObjectStore,
		"RUNNEL_OBJECT_STORE_ENDPOINT=" + s.Endpoint,
		"RUNNEL_OBJECT_STORE_REGION=" + servers.Region,
		"RUNNEL_OBJECT_STORE_ACCESS_KEY=" + s.AccessKey,
		"RUNNEL_OBJECT_STORE_SECRET_KEY=" + s.SecretKey,
	}
}

// MetastoreAddress is where the PostgreSQL server listens. at makes the URL for another way to it.
func (s Stores) MetastoreAddress(t testing.TB) (address string, at func(address string) string) {
	t.Helper()
	dsn, err := url.Parse(s.Metastore)
	if err != nil {
		t.Fatal(err)
	}
	address = dsn.Host
	if dsn.Port() == "" {
		address = net.JoinHostPort(dsn.Hostname(), "5432")
	}
	return address, func(other string) string {
		moved := *dsn
		moved.Host = other
		return moved.String()
	}
}

// Migrate prepares the database with `runnel migrate`.
func (s Stores) Migrate(t testing.TB) {
	t.Helper()
	if out, err := s.Command(t, "migrate").CombinedOutput(); err != nil {
		t.Fatalf("runnel migrate: %v\n%s", err, out)
	}
}

// Command is a command of runnel that is configured to use the stores, and ends soon.
func (s Stores) Command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(Soon(t), Binary(t), args...)
	cmd.Env = append(withoutRunnel(os.Environ()), s.env()...)
	return cmd
}

// NewStores gives a test a migrated database and a prefix of its own, on the servers that RUNNEL_TEST_POSTGRES and
// RUNNEL_TEST_S3 name (see cmd/withservers), else on servers of its own.
func NewStores(t testing.TB) Stores {
	t.Helper()
	dsn := os.Getenv("RUNNEL_TEST_POSTGRES")
	if dsn == "" {
		dsn = OwnPostgres(t, servers.PostgresOptions{}).DSN()
	}
	s := StoresOn(t, dsn, TestBucket(t))
	s.Migrate(t)
	return s
}

// TestBucket is the URL of the bucket that RUNNEL_TEST_S3 names, else of one on a server of the test's own.
func TestBucket(t testing.TB) string {
	t.Helper()
	if bucket := os.Getenv("RUNNEL_TEST_S3"); bucket != "" {
		return bucket
	}
	return OwnS3(t).URL()
}

// StoresOn makes a database on the server that dsn names and a prefix in the bucket, without migrating.
func StoresOn(t testing.TB, dsn, bucket string) Stores {
	t.Helper()
	name := "e2e_" + strings.ToLower(rand.Text()[:12])
	ctx := Soon(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	database, errD := url.Parse(dsn)
	object, errO := url.Parse(bucket)
	if errD != nil || errO != nil {
		t.Fatalf("servers: %v %v", errD, errO)
	}
	database.Path = "/" + name
	secret, _ := object.User.Password()
	return Stores{
		Metastore:   database.String(),
		ObjectStore: "s3:/" + object.Path + "/" + name,
		Endpoint:    "http://" + object.Host,
		AccessKey:   object.User.Username(),
		SecretKey:   secret,
	}
}

// Run runs a command of the binary that takes a broker's configuration, with that of these stores.
func (s Stores) Run(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(Soon(t), Binary(t), args...)
	cmd.Env = append(withoutRunnel(os.Environ()), s.env()...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatalf("runnel %v: %v", args, err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// Bucket is the bucket of the brokers as anybody else sees it. Keys begin with prefix.
func (s Stores) Bucket() (client *s3.Client, bucket, prefix string) {
	bucket, prefix, _ = strings.Cut(strings.TrimPrefix(s.ObjectStore, "s3://"), "/")
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(s.Endpoint), Region: servers.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
	}), bucket, prefix + "/"
}

// Objects lists the objects that the brokers have stored: sizes by key, as Runnel has it.
func (s Stores) Objects(t testing.TB) map[string]int64 {
	t.Helper()
	client, bucket, prefix := s.Bucket()
	objects := make(map[string]int64)
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(Soon(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			objects[strings.TrimPrefix(aws.ToString(o.Key), prefix)] = aws.ToInt64(o.Size)
		}
	}
	return objects
}

// ObjectSizes lists the sizes of all objects that the brokers have stored.
func (s Stores) ObjectSizes(t testing.TB) []int64 {
	t.Helper()
	return slices.Collect(maps.Values(s.Objects(t)))
}

// OwnPostgres starts a PostgreSQL server that the test may stop and start, and ends with it.
func OwnPostgres(t testing.TB, o servers.PostgresOptions) *servers.Postgres {
	t.Helper()
	p, err := servers.OpenPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// OwnKafka starts a broker of Apache Kafka from its jars, and ends with the test.
func OwnKafka(t testing.TB, jars string, o servers.KafkaOptions) *servers.Kafka {
	t.Helper()
	k, err := servers.OpenKafka(t.Context(), jars, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// ServerEnv chooses the S3 servers that tests start for themselves: "minio", else versitygw.
const ServerEnv = "RUNNEL_TEST_S3_SERVER"

// OwnS3 starts an S3 server that the test may stop and start, and ends with it.
func OwnS3(t testing.TB) *servers.S3 {
	t.Helper()
	if os.Getenv(ServerEnv) == "minio" {
		return OwnMinIO(t)
	}
	return ownS3(t, servers.OpenS3)
}

// OwnMinIO starts a MinIO server that the test may stop and start, and ends with it. Without its program the test is skipped,
// in CI it is built.
func OwnMinIO(t testing.TB) *servers.S3 {
	t.Helper()
	bin := MinIO(t)
	return ownS3(t, func(ctx context.Context, _ toolchain.Cache) (*servers.S3, error) { return servers.OpenMinIO(ctx, bin) })
}

// MinIO is the path of MinIO's program.
func MinIO(t testing.TB) string {
	t.Helper()
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	bin, err := servers.FindMinIO(t.Context(), tools)
	if errors.Is(err, servers.ErrNoMinIO) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

func ownS3(t testing.TB, open func(context.Context, toolchain.Cache) (*servers.S3, error)) *servers.S3 {
	t.Helper()
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	s, err := open(t.Context(), tools)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
