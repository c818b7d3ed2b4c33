package containers

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/image"
	"github.com/runnel-io/runnel/integration/servers"
)

// TestImageServesALaptop: `docker run -p 9092:9092 runnel` is a broker for clients of this machine, as nobody in particular,
// without a capability, and with no file that it may write; its health check says when it is there.
func TestImageServesALaptop(t *testing.T) {
	needs(t, broker)
	port, err := servers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	at := fmt.Sprintf("localhost:%d", port)
	start := time.Now()
	c, err := testcontainers.Run(t.Context(), brokerImage,
		testcontainers.WithCmd("dev", "--listen", "0.0.0.0:9092", "--advertise", at),
		testcontainers.WithExposedPorts("9092/tcp"),
		testcontainers.WithHostConfigModifier(func(h *container.HostConfig) {
			h.ReadonlyRootfs, h.CapDrop, h.SecurityOpt = true, []string{"ALL"}, []string{"no-new-privileges:true"}
			h.PortBindings = network.PortMap{network.MustParsePort("9092/tcp"): {{HostPort: fmt.Sprint(port)}}}
		}),
		testcontainers.WithWaitStrategy(wait.ForHealthCheck().WithStartupTimeout(2*time.Minute).WithPollInterval(50*time.Millisecond)),
	)
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("healthy after %v", time.Since(start).Round(10*time.Millisecond))
	code, out, err := c.Exec(harness.Soon(t), []string{"runnel", "health"})
	if err != nil || code != 0 {
		said, _ := io.ReadAll(out)
		t.Errorf("runnel health: exit %d, %v: %s", code, err, said)
	}
	client := newClient(t, at)
	produce(t, client, "greetings", 100)
	if got := consume(t, client, "greetings", 100); len(got) != 100 {
		t.Errorf("consumed %d records", len(got))
	}
	kcat(t, "hello\n", "-b", at, "-t", "by-kcat", "-P")
	if got := kcat(t, "", "-b", at, "-t", "by-kcat", "-C", "-o", "beginning", "-e", "-q"); got != "hello\n" {
		t.Errorf("kcat read %q", got)
	}
	status := inspect(t, c.GetContainerID())
	if status.Config.User != "65532:65532" || status.HostConfig.CapAdd != nil {
		t.Errorf("it runs as %q", status.Config.User)
	}
}

// TestImageKeepsDataInAVolume: whoever runs in the image may write to a volume at /data, and what is there outlives the container.
func TestImageKeepsDataInAVolume(t *testing.T) {
	needs(t, broker)
	volume := fmt.Sprintf("runnel-test-%d", os.Getpid())
	t.Cleanup(func() {
		if err := docker.Delete(context.Background(), "/volumes/"+volume); err != nil {
			t.Error(err)
		}
	})
	run := func() (testcontainers.Container, error) {
		return testcontainers.Run(t.Context(), brokerImage, testcontainers.WithCmd("dev", "--data", "/data"),
			testcontainers.WithHostConfigModifier(func(h *container.HostConfig) { h.Binds, h.ReadonlyRootfs = []string{volume + ":/data"}, true }),
			testcontainers.WithWaitStrategy(wait.ForLog("Runnel is ready.").WithStartupTimeout(2*time.Minute).WithPollInterval(50*time.Millisecond)))
	}
	for i, args := range [][]string{{"topic", "create", "kept"}, {"topic", "describe", "kept"}} {
		c, err := run()
		if err != nil {
			testcontainers.CleanupContainer(t, c)
			t.Fatal(err)
		}
		code, out, err := c.Exec(harness.Soon(t), append([]string{"runnel"}, args...))
		if err != nil || code != 0 {
			said, _ := io.ReadAll(out)
			t.Errorf("container %d: runnel %v: exit %d, %v: %s", i, args, code, err, said)
		}
		if err := testcontainers.TerminateContainer(c); err != nil {
			t.Fatal(err)
		}
	}
}

// TestImageStartsFast measures from `docker run` until the broker is ready, without the health check's pauses.
func TestImageStartsFast(t *testing.T) {
	needs(t, broker)
	start := time.Now()
	c, err := testcontainers.Run(t.Context(), brokerImage, testcontainers.WithWaitStrategy(
		wait.ForLog("Runnel is ready.").WithStartupTimeout(2*time.Minute).WithPollInterval(10*time.Millisecond)))
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v", time.Since(start).Round(10*time.Millisecond))
	code, out, err := c.Exec(harness.Soon(t), []string{"runnel", "version"})
	said, _ := io.ReadAll(out)
	if err != nil || code != 0 || !strings.Contains(string(said), "linux/"+runtime.GOARCH) {
		t.Errorf("runnel version: exit %d, %v: %s", code, err, said)
	}
}

// TestDockerfileMakesTheSameImage compares what an engine builds from the Dockerfile with what is made without one: all
// files with their owners and modes, and all that the engine does with them.
func TestDockerfileMakesTheSameImage(t *testing.T) {
	needs(t, broker)
	root, err := harness.Repository()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(root, "bin", "runnel-linux-"+runtime.GOARCH)
	if given := os.Getenv("RUNNEL_BIN"); given != "" {
		binary = given
	}
	build, err := image.ReadBuild(binary)
	if err != nil {
		t.Fatal(err)
	}
	files := filepath.Join(t.TempDir(), "files.tar")
	if err := image.WriteFiles(t.Context(), files, root, binary); err != nil {
		t.Fatal(err)
	}
	var sent bytes.Buffer
	r := &rootFS{tar.NewWriter(&sent), make(map[string]bool)}
	for name, path := range map[string]string{"Dockerfile": filepath.Join(root, "Dockerfile"), "dist/linux-" + runtime.GOARCH + ".tar": files} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.content(name, 0o644, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.tar.Close(); err != nil {
		t.Fatal(err)
	}
	args, err := json.Marshal(map[string]string{
		"TARGETARCH": runtime.GOARCH, "VERSION": build.Version, "REVISION": build.Revision, "CREATED": build.Time.UTC().Format(time.RFC3339),
	})
	if err != nil {
		t.Fatal(err)
	}
	const built = "runnel:by-engine"
	if err := docker.Build(t.Context(), built, "&target=prebuilt&buildargs="+url.QueryEscape(string(args)), &sent); err != nil {
		t.Fatal(err)
	}
	if want, got := behavior(t, brokerImage), behavior(t, built); want != got {
		t.Errorf("the configuration differs:\n%s\n%s", want, got)
	}
	want, got := content(t, brokerImage), content(t, built)
	for name, what := range want {
		if got[name] != what {
			t.Errorf("%s is %q, and %q by the Dockerfile", name, what, got[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is there by the Dockerfile alone", name)
		}
	}
	for _, name := range []string{"runnel", "data/", "etc/passwd", "etc/ssl/certs/ca-certificates.crt", "licenses/THIRD_PARTY_NOTICES"} {
		if want[name] == "" {
			t.Errorf("the image has no %s: %v", name, want)
		}
	}
}

// behavior is the part of an image's configuration that says what an engine does with it, as JSON.
func behavior(t *testing.T, name string) string {
	t.Helper()
	text, err := docker.Get(harness.Soon(t), "/images/"+name+"/json")
	if err != nil {
		t.Fatal(err)
	}
	var about struct {
		Architecture, Os string
		Config           struct {
			User, WorkingDir, StopSignal string
			ExposedPorts, Volumes        map[string]any
			Env, Entrypoint, Cmd         []string
			Healthcheck                  map[string]any
			Labels                       map[string]string
		}
	}
	if err := json.Unmarshal([]byte(text), &about); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(about)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// content is the owner, mode and digest of each file of an image, by name.
func content(t *testing.T, name string) map[string]string {
	t.Helper()
	c, err := testcontainers.Run(t.Context(), name, testcontainers.WithNoStart())
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatal(err)
	}
	exported, err := docker.Stream(t.Context(), "/containers/"+c.GetContainerID()+"/export")
	if err != nil {
		t.Fatal(err)
	}
	defer exported.Close()
	found := make(map[string]string)
	for files := tar.NewReader(exported); ; {
		h, err := files.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, files); err != nil {
			t.Fatal(err)
		}
		found[h.Name] = fmt.Sprintf("%c %o %d:%d %x", h.Typeflag, h.Mode, h.Uid, h.Gid, sum.Sum(nil)[:8])
	}
}

type state struct {
	State struct {
		Status string
		Health struct{ Status string }
	}
	Config     struct{ User string }
	HostConfig struct{ CapAdd []string }
}

func inspect(t *testing.T, id string) (s state) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	text, err := docker.Get(ctx, "/containers/"+id+"/json")
	if err == nil {
		err = json.Unmarshal([]byte(text), &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}
