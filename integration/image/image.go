// Package image makes the container image of the broker from its binary, without a container engine: one layer, a
// configuration, and archives of them. Nothing in it depends on when and where it was made, but on the commit and on the
// version of Go alone, so that everybody who makes it gets the same digest.
//
// The Dockerfile in the root of the repository makes the same image; a test compares them.
package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Image is the image of one platform.
type Image struct {
	Arch   string // as Go has it: amd64, arm64
	Config []byte // JSON
	Layer  []byte // tar, gzip
	Size   int64  // of the layer's content, not compressed

	created time.Time
}

// Build is what the Go toolchain noted in a binary.
type Build struct {
	Arch, Version, Revision string
	Time                    time.Time // of the commit; 1970 if unknown
}

// ReadBuild reads it.
func ReadBuild(binary string) (Build, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return Build{}, fmt.Errorf("read what %s was built from: %w", binary, err)
	}
	b := Build{Version: info.Main.Version, Time: time.Unix(0, 0).UTC()}
	for _, s := range info.Settings {
		switch s.Key {
		case "GOARCH":
			b.Arch = s.Value
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			if b.Time, err = time.Parse(time.RFC3339, s.Value); err != nil {
				return Build{}, fmt.Errorf("%s: %w", binary, err)
			}
		}
	}
	if b.Arch == "" {
		return Build{}, fmt.Errorf("%s does not say for which processor it is", binary)
	}
	return b, nil
}

// New makes the image of a binary that was built from the checkout at root.
func New(ctx context.Context, root, binary string) (*Image, error) {
	build, err := ReadBuild(binary)
	if err != nil {
		return nil, err
	}
	files, err := files(ctx, root, binary)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	sum := sha256.New()
	compressed, err := gzip.NewWriterLevel(&layer, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	size, err := writeTar(both{compressed, sum}, files, build.Time)
	if err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, err
	}
	config, err := json.Marshal(configOf(build, "sha256:"+hex.EncodeToString(sum.Sum(nil))))
	if err != nil {
		return nil, err
	}
	return &Image{Arch: build.Arch, Config: config, Layer: layer.Bytes(), Size: size, created: build.Time}, nil
}

// healthcheck is Docker's addition to the configuration that OCI specifies. Times are nanoseconds.
type healthcheck struct {
	Test                           []string
	Interval, Timeout, StartPeriod time.Duration
	Retries                        int
}

type process struct {
	User         string
	ExposedPorts map[string]struct{}
	Env          []string
	Entrypoint   []string
	Cmd          []string
	Healthcheck  healthcheck
	WorkingDir   string
	Labels       map[string]string
}

type configuration struct {
	Created      time.Time `json:"created"`
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Config       process   `json:"config"`
	RootFS       rootFS    `json:"rootfs"`
	History      []history `json:"history"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type history struct {
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"`
}

// user is nobody in particular, as in the images of others that are made so.
const user = 65532

func configOf(b Build, diffID string) configuration {
	return configuration{
		Created: b.Time, Architecture: b.Arch, OS: "linux",
		RootFS:  rootFS{"layers", []string{diffID}},
		History: []history{{b.Time, "integration/cmd/image"}},
		Config: process{
			User:         fmt.Sprintf("%d:%d", user, user),
			ExposedPorts: map[string]struct{}{"9092/tcp": {}, "9644/tcp": {}, "9645/tcp": {}},
			Env:          []string{"PATH=/"},
			Entrypoint:   []string{"/runnel"},
			Cmd:          []string{"dev", "--listen", "0.0.0.0:9092", "--advertise", "localhost:9092"},
			Healthcheck: healthcheck{
				Test: []string{"CMD", "/runnel", "health"}, Interval: 5 * time.Second, Timeout: 5 * time.Second, StartPeriod: time.Minute, Retries: 3,
			},
			WorkingDir: "/",
			Labels: map[string]string{
				"org.opencontainers.image.title":       "Runnel",
				"org.opencontainers.image.description": "A Kafka-protocol broker on an object store",
				"org.opencontainers.image.licenses":    "Apache-2.0",
				"org.opencontainers.image.source":      "https://github.com/runnel-io/runnel",
				"org.opencontainers.image.version":     b.Version,
				"org.opencontainers.image.revision":    b.Revision,
				"org.opencontainers.image.created":     b.Time.UTC().Format(time.RFC3339),
			},
		},
	}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
