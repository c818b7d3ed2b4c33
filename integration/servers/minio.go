package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/runnel-io/runnel/integration/toolchain"
)

// minIO is the S3 server that many people have at home: another implementation of the same protocol.
type minIO struct{ bin string }

func (minIO) name() string { return "minio" }

func (minIO) dirs() []string { return []string{"drive"} }

func (m minIO) command(s *S3) *exec.Cmd {
	cmd := exec.Command(m.bin, "server", "--quiet", "--address", s.address(), filepath.Join(s.dir, "drive"))
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+s.AccessKey, "MINIO_ROOT_PASSWORD="+s.SecretKey,
		"MINIO_REGION="+Region, "MINIO_BROWSER=off", "MINIO_UPDATE=off", "HOME="+s.dir)
	return cmd
}

// OpenMinIO starts the MinIO program bin and makes Bucket.
func OpenMinIO(ctx context.Context, bin string) (*S3, error) { return openS3(ctx, minIO{bin}) }

// MinIOEnv says where the program of MinIO comes from: its path, or "build" to have it built into the tool cache, which takes
// 8 CPU-minutes once.
const MinIOEnv = "RUNNEL_TEST_MINIO"

// ErrNoMinIO: there is no program of MinIO, and nobody asked to have it built.
var ErrNoMinIO = errors.New("no MinIO in the tool cache; " + MinIOEnv + "=build builds it (8 CPU-minutes, once), or is the path of one")

// FindMinIO is the path of the program: what MinIOEnv says; else that in the tool cache, which in CI is built.
func FindMinIO(ctx context.Context, tools toolchain.Cache) (string, error) {
	choice := os.Getenv(MinIOEnv)
	if choice == "build" || choice == "" && os.Getenv("CI") == "true" {
		return tools.GoProgram(ctx, toolchain.MinIO)
	}
	if choice != "" {
		if _, err := os.Stat(choice); err != nil {
			return "", fmt.Errorf("%s: %w", MinIOEnv, err)
		}
		return choice, nil
	}
	if bin, ok := tools.Has(toolchain.MinIO); ok {
		return bin, nil
	}
	return "", ErrNoMinIO
}
