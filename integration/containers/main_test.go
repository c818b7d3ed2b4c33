package containers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/containers/engine"
	"github.com/runnel-io/runnel/integration/servers"
)

// Names of the images that tests make.
const (
	brokerImage   = "runnel:containers-test"
	postgresImage = "runnel-test-postgres:local"
	s3Image       = "runnel-test-s3:local"
	minioImage    = "runnel-test-minio:local"
)

var (
	docker   *engine.Engine
	noDocker error
)

func TestMain(m *testing.M) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	docker, noDocker = engine.Start(ctx)
	if noDocker == nil {
		for _, pair := range docker.Environment() {
			name, value, _ := strings.Cut(pair, "=")
			if err := os.Setenv(name, value); err != nil {
				panic(err)
			}
		}
	}
	code := m.Run()
	if docker != nil {
		if err := docker.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the engine:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// needs gives a test the engine and makes images in it, each once.
func needs(t *testing.T, images ...*lazyImage) {
	t.Helper()
	if errors.Is(noDocker, engine.ErrNone) && os.Getenv("CI") != "true" {
		t.Skip(noDocker)
	}
	if noDocker != nil {
		t.Fatal(noDocker)
	}
	for _, i := range images {
		err := i.once()
		if errors.Is(err, servers.ErrNoMinIO) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// lazyImage is an image that is made when the first test needs it.
type lazyImage struct{ once func() error }

func lazily(build func(ctx context.Context) error) *lazyImage {
	return &lazyImage{sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		return build(ctx)
	})}
}

var (
	broker   = lazily(func(ctx context.Context) error { return docker.BuildImage(ctx, brokerImage) })
	postgres = lazily(buildPostgres)
	s3server = lazily(buildS3)
	minio    = lazily(buildMinIO)
)

// eventually waits until ok.
func eventually(t *testing.T, what string, within time.Duration, ok func() (bool, string)) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(within)
	for {
		done, state := ok()
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %v: %s", what, within, state)
		}
	}
}
