package containers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/runnel-io/runnel/integration/harness"
)

// TestStoresOnServersInContainers runs the contract suites of the stores, which other tests run on processes of this machine,
// against containers.
func TestStoresOnServersInContainers(t *testing.T) {
	needs(t, postgres, s3server, minio)
	dsn := startPostgres(t)
	buckets := map[string]string{"versitygw": startS3(t), "minio": startMinIO(t, "contract")}
	root, err := harness.Repository()
	if err != nil {
		t.Fatal(err)
	}
	const objects = "^(TestConformance|TestStoreSeesItsPrefixOnly|TestCheckSaysWhyNot|TestMakeBucket)$"
	for _, suite := range []struct{ name, pattern, of, bucket string }{
		{"metastore", "^(TestContract|TestMigrateTogether|TestSchemaMustMatch)$", "./metastore/postgres", "versitygw"},
		{"object store on versitygw", objects, "./objstore/s3", "versitygw"},
		{"object store on MinIO", objects, "./objstore/s3", "minio"},
	} {
		t.Run(suite.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-timeout=8m", "-v", "-run="+suite.pattern, suite.of)
			cmd.Dir = root
			cmd.Env = append(os.Environ(), "CI=true", "RUNNEL_TEST_POSTGRES="+dsn, "RUNNEL_TEST_S3="+buckets[suite.bucket])
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out[max(0, len(out)-300):])
		})
	}
}

const secret = "a-secret-of-the-tests-alone"

// startPostgres returns the superuser's URL.
func startPostgres(t *testing.T, more ...testcontainers.ContainerCustomizer) string {
	t.Helper()
	c, err := testcontainers.Run(t.Context(), postgresImage, append(more,
		testcontainers.WithEnv(map[string]string{"POSTGRES_PASSWORD": secret}),
		testcontainers.WithCmd("postgres", "-c", "fsync=off", "-c", "max_connections=400"),
		testcontainers.WithExposedPorts("5432/tcp"),
		testcontainers.WithWaitStrategy(wait.ForExec([]string{"pg_isready", "--host=127.0.0.1"}).WithStartupTimeout(2*time.Minute)),
	)...)
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("postgres://postgres:%s@%s/postgres?sslmode=disable", secret, address(t, c, "5432/tcp"))
}

// startS3 returns the URL of a bucket with its credentials.
func startS3(t *testing.T) string {
	t.Helper()
	c, err := testcontainers.Run(t.Context(), s3Image,
		testcontainers.WithEnv(map[string]string{"ROOT_ACCESS_KEY": "runnel", "ROOT_SECRET_KEY": secret}),
		testcontainers.WithCmd("--port", ":9000", "--health", "/health", "posix", "--sidecar", "/sidecar", "/data"),
		testcontainers.WithTmpfs(map[string]string{"/data": "rw", "/sidecar": "rw"}),
		testcontainers.WithExposedPorts("9000/tcp"),
		testcontainers.WithWaitStrategy(wait.ForHTTP("/health").WithPort("9000/tcp").WithStartupTimeout(2*time.Minute)),
	)
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatal(err)
	}
	// The bucket is made by the tests that use it.
	return fmt.Sprintf("http://runnel:%s@%s/contract", secret, address(t, c, "9000/tcp"))
}

// startMinIO returns the URL of a bucket that is not there yet, with its credentials.
func startMinIO(t *testing.T, bucket string) string {
	t.Helper()
	c, err := runMinIO(t)
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("http://runnel:%s@%s/%s", secret, address(t, c, "9000/tcp"), bucket)
}

func runMinIO(t *testing.T, more ...testcontainers.ContainerCustomizer) (testcontainers.Container, error) {
	t.Helper()
	return testcontainers.Run(t.Context(), minioImage, append(more,
		testcontainers.WithEnv(map[string]string{"MINIO_ROOT_USER": "runnel", "MINIO_ROOT_PASSWORD": secret, "MINIO_UPDATE": "off", "MINIO_BROWSER": "off"}),
		testcontainers.WithCmd("server", "/data"),
		testcontainers.WithExposedPorts("9000/tcp"),
		testcontainers.WithWaitStrategy(wait.ForHTTP("/minio/health/ready").WithPort("9000/tcp").WithStartupTimeout(2*time.Minute)),
	)...)
}

// address is where a port of a container is on this machine.
func address(t *testing.T, c testcontainers.Container, port string) string {
	t.Helper()
	mapped, err := c.MappedPort(harness.Soon(t), port)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", mapped.Port())
}
