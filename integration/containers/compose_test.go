package containers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
)

// cluster is what compose.yaml describes.
type cluster struct {
	t       *testing.T
	compose []string // the command
	env     []string
	project string
	ports   []int // of brokers a, b, c
}

// compose is docker compose, or docker-compose, which came before.
func compose(t *testing.T) []string {
	t.Helper()
	if path, err := exec.LookPath("docker"); err == nil && exec.CommandContext(t.Context(), path, "compose", "version").Run() == nil {
		return []string{path, "compose"}
	}
	path, err := exec.LookPath("docker-compose")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("needs docker compose (apt-get install docker-compose)")
	}
	if err != nil {
		t.Fatal("needs docker compose (apt-get install docker-compose)")
	}
	return []string{path}
}

// noFile stands in place of an .env file that somebody may have in this checkout.
func noFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newCluster(t *testing.T, env ...string) *cluster {
	t.Helper()
	root, err := harness.Repository()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, project: fmt.Sprintf("runneltest%d", os.Getpid())}
	c.compose = append(compose(t), "--file", filepath.Join(root, "compose.yaml"), "--env-file", noFile(t), "--project-name", c.project)
	c.env = append(os.Environ(), "CLUSTER_SECRET="+secret, "RUNNEL_IMAGE="+brokerImage, "POSTGRES_IMAGE="+postgresImage, "S3_IMAGE="+s3Image,
		"COMPOSE_HTTP_TIMEOUT=240") // docker-compose 1.29 takes 60 s: little for the removal of a volume on a disk that is busy
	c.env = append(c.env, env...)
	for _, name := range []string{"PORT_A", "PORT_B", "PORT_C", "ADMIN_PORT_A"} {
		port, err := servers.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		c.env, c.ports = append(c.env, fmt.Sprintf("%s=%d", name, port)), append(c.ports, port)
	}
	c.ports = c.ports[:3]
	t.Cleanup(c.down)
	return c
}

func (c *cluster) down() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if c.t.Failed() {
		cmd := exec.CommandContext(ctx, c.compose[0], append(c.compose[1:], "logs", "--no-color", "--tail", "40")...)
		cmd.Env = c.env
		out, _ := cmd.CombinedOutput()
		c.t.Logf("%s", out)
	}
	cmd := exec.CommandContext(ctx, c.compose[0], append(c.compose[1:], "down", "--volumes", "--timeout", "5")...)
	cmd.Env = c.env
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Errorf("docker compose down: %v\n%s", err, out)
	}
}

func (c *cluster) run(args ...string) string {
	c.t.Helper()
	return command(c.t, "", c.env, c.compose[0], slices.Concat(c.compose[1:], args)...)
}

// id is the container of a service.
func (c *cluster) id(service string) string {
	c.t.Helper()
	return strings.TrimSpace(c.run("ps", "--quiet", service))
}

// healthy waits until the engine says so of services, by their own health checks.
func (c *cluster) healthy(services ...string) {
	c.t.Helper()
	for _, service := range services {
		id := c.id(service)
		eventually(c.t, service+" is healthy", 3*time.Minute, func() (bool, string) {
			s := inspect(c.t, id).State
			return s.Health.Status == "healthy", s.Status + ", " + s.Health.Status
		})
	}
}

func (c *cluster) at(broker int) string { return fmt.Sprintf("localhost:%d", c.ports[broker]) }

// do makes a call about a container.
func (c *cluster) do(service, action string) {
	c.t.Helper()
	if err := docker.Post(harness.Soon(c.t), "/containers/"+c.id(service)+"/"+action); err != nil {
		c.t.Fatal(err)
	}
}

// greets writes a record by one broker and reads it by another, with kcat.
func (c *cluster) greets() {
	c.t.Helper()
	kcat(c.t, "hello\n", "-b", c.at(0), "-t", "greetings", "-P")
	eventually(c.t, "the other broker knows the topic", time.Minute, func() (bool, string) { // kcat ends when there is none
		topics, err := kadm.NewClient(newClient(c.t, c.at(1))).ListTopics(harness.Soon(c.t), "greetings")
		return err == nil && topics["greetings"].Err == nil, fmt.Sprint(err, topics["greetings"].Err)
	})
	if got := kcat(c.t, "", "-b", c.at(1), "-t", "greetings", "-C", "-o", "beginning", "-c", "1", "-q"); got != "hello\n" {
		c.t.Errorf("kcat read %q from another broker", got)
	}
}

var brokers = []string{"broker-a", "broker-b", "broker-c"}

// TestComposeIsACluster brings up what compose.yaml says, with images of ours in place of the public ones, and breaks it: a
// broker killed, another paused, all restarted one by one. Nothing that was acknowledged is lost, nothing is there twice.
func TestComposeIsACluster(t *testing.T) {
	needs(t, broker, postgres, s3server)
	c := newCluster(t)
	start := time.Now()
	c.run("up", "--detach")
	c.healthy(brokers...)
	t.Logf("compose up until all are healthy: %v", time.Since(start).Round(10*time.Millisecond))
	c.greets()
	t.Logf("compose up until the first message is consumed: %v", time.Since(start).Round(10*time.Millisecond))

	// Containers reach the brokers by their names, clients of this machine by its own.
	if got := c.run("exec", "-T", "broker-a", "/runnel", "consume", "greetings", "--bootstrap", "broker-c:19092", "--exit"); !strings.Contains(got, "hello") {
		t.Errorf("a container of the network read %q", got)
	}
	eventually(t, "a client in a container is told of all brokers", time.Minute, func() (bool, string) { // each hears of the others a moment later
		shown := c.run("exec", "-T", "broker-a", "/runnel", "cluster", "describe", "--bootstrap", "broker-b:19092")
		return !slices.ContainsFunc(brokers, func(b string) bool { return !strings.Contains(shown, b+":19092") }), shown
	})

	client := newClient(t, c.at(0), c.at(1), c.at(2))
	// With so many partitions that each broker leads some, and every record is of the next one.
	if _, err := kadm.NewClient(client).CreateTopic(harness.Soon(t), 12, -1, nil, "ledger"); err != nil {
		t.Fatal(err)
	}
	load := startStream(t, client, "ledger")
	load.goesOn(t, "at first")
	c.do("broker-b", "kill")
	load.goesOn(t, "without a broker that was killed")
	c.do("broker-b", "start")
	c.healthy("broker-b")

	c.do("broker-c", "pause")
	load.goesOn(t, "beside a broker that stands still")
	c.do("broker-c", "unpause")
	c.healthy("broker-c")
	load.goesOn(t, "with a broker that goes on")

	for _, b := range brokers {
		c.do(b, "restart?t=45")
		c.healthy(b)
	}
	load.goesOn(t, "after a rolling restart")
	t.Logf("%d records, each there once", load.isThereOnce(t, c.at(0), c.at(1), c.at(2)))
}

// TestComposeOnMinIO: one command, with MinIO as the image of the S3 server, and there is no bucket before it. A broker is stopped
// and the server of the bucket killed, and the work goes on.
func TestComposeOnMinIO(t *testing.T) {
	needs(t, broker, postgres, minio)
	c := newCluster(t, "S3_IMAGE="+minioImage, "S3_COMMAND=server /data")
	start := time.Now()
	c.run("up", "--detach")
	c.healthy(brokers...)
	c.greets()
	t.Logf("compose up until the first message is consumed: %v", time.Since(start).Round(10*time.Millisecond))
	client := newClient(t, c.at(0), c.at(1), c.at(2))
	if _, err := kadm.NewClient(client).CreateTopic(harness.Soon(t), 12, -1, nil, "ledger"); err != nil {
		t.Fatal(err)
	}
	load := startStream(t, client, "ledger")
	load.goesOn(t, "at first")
	c.run("stop", "broker-b")
	load.goesOn(t, "without a broker that was stopped")
	c.do("s3", "kill")
	c.do("s3", "start")
	load.goesOn(t, "after MinIO was killed")
	t.Logf("%d records, each there once", load.isThereOnce(t, c.at(0), c.at(2)))
}

// TestComposeNeedsASecret: there is none in the repository.
func TestComposeNeedsASecret(t *testing.T) {
	root, err := harness.Repository()
	if err != nil {
		t.Fatal(err)
	}
	c := compose(t)
	cmd := exec.CommandContext(harness.Soon(t), c[0], append(c[1:], "--file", filepath.Join(root, "compose.yaml"), "--env-file", noFile(t), "config")...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "CLUSTER_SECRET=") })
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "is not set") {
		t.Errorf("docker compose config: %v\n%s", err, out)
	}
}
