package helm

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
)

// TestWhatIsRenderedRuns does with the real binary what a cluster would do with a release: it runs the Job that makes the
// tables, if there is one, then a broker, waits for its probes, runs the pod of `helm test`, and ends the broker within its grace. What of
// it Kubernetes does by itself (addresses, names, policies) is not tested by that.
func TestWhatIsRenderedRuns(t *testing.T) {
	t.Parallel()
	for name, more := range map[string][]string{
		"in clear":        {"migrate=job"},
		"without a Job":   {"migrate=auto"},
		"with a password": {"migrate=job", "listeners.internal.protocol=SASL_PLAINTEXT", "auth.bootstrapUser=admin", "auth.bootstrapPasswordSecret.name=first-user", "config.authorizer=true", "config.cluster.super\\.users=User:admin"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRelease(t, more)
			if job, ok := pods(r.all)["Job/events-runnel-migrate"]; ok {
				r.play(t, job, job.list("containers")[0])
			} else if !migrates(t) {
				harness.Missing(t, "runnel broker --migrate", errors.New("the binary does not know it"))
			}
			_, pod := broker(t, r.all)
			b := r.start(t, pod)
			container := pod.list("containers")[0]
			for _, probe := range []string{"livenessProbe", "readinessProbe"} {
				r.wait(t, b, container.text(probe, "httpGet", "path"))
			}
			test := pods(r.all)["Pod/events-runnel-test"]
			for _, step := range test.list("initContainers") {
				r.play(t, test, step)
			}
			for range 2 { // and again, as after an upgrade: there is a topic already
				out := r.play(t, test, test.list("containers")[0])
				if want := "hello from helm test, revision 1\n"; out != want {
					t.Errorf("the test reads %q, not %q", out, want)
				}
				r.play(t, test, test.list("initContainers")[0])
			}
			check := object(maps.Clone(container)) // as docs/deploy-kubernetes.md has it executed in the broker's container
			check["args"] = []any{"fsck", "--config", "/etc/runnel/config/runnel.yaml", "--strict"}
			if out := r.play(t, pod, check); !strings.Contains(out, "clean: bucket and metastore agree") {
				t.Errorf("fsck says %q", out)
			}
			grace, _ := pod.at("terminationGracePeriodSeconds").(int)
			if err := b.Stop(syscall.SIGTERM, time.Duration(grace)*time.Second); err != nil {
				t.Error(err)
			}
		})
	}
}

// rel is a release on stores of this machine.
type rel struct {
	all     map[string]object
	secrets map[string]string
	admin   string // address
	client  string
}

// newRelease renders the chart for stores that are there and have no tables yet.
func newRelease(t *testing.T, more []string) *rel {
	t.Helper()
	stores := bareStores(t)
	database, err := url.Parse(stores.Metastore)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := database.User.Password()
	database.User = url.User(database.User.Username())
	r := &rel{client: harness.FreeAddress(t), admin: harness.FreeAddress(t), secrets: map[string]string{
		"db/password": password + "\n", "s3/access_key": stores.AccessKey, "s3/secret_key": stores.SecretKey, "first-user/password": "hunter2hunter2\n",
	}}
	args := []string{}
	for _, set := range append([]string{
		"replicas=1", "zone.from=name", "zone.name=a", "peer.secret.name=peers",
		"metastore.url=" + database.String(), "metastore.passwordSecret.name=db",
		"objectStore.url=" + stores.ObjectStore, "objectStore.endpoint=" + stores.Endpoint, "objectStore.region=" + servers.Region, "objectStore.credentialsSecret.name=s3",
		"listeners.internal.port=" + port(r.client), "admin.port=" + port(r.admin), "peer.port=" + port(harness.FreeAddress(t)),
	}, more...) {
		args = append(args, "--set", set)
	}
	out, err := template(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	r.all = parse(t, out)
	return r
}

// bareStores are stores whose database has no tables.
func bareStores(t *testing.T) harness.Stores {
	t.Helper()
	dsn := os.Getenv("RUNNEL_TEST_POSTGRES") // that of the suite
	if dsn == "" {
		dsn = harness.OwnPostgres(t, servers.PostgresOptions{}).DSN()
	}
	return harness.StoresOn(t, dsn, harness.TestBucket(t))
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// machine is the one that a pod runs on.
func (r *rel) machine(t *testing.T, pod object) *machine {
	m := newMachine(t, r.all, pod, r.secrets)
	m.fields["status.podIP"] = "127.0.0.1"
	return m
}

// environment is a container's; names of Services lead to this machine.
func environment(m *machine, container object) []string {
	env := m.env(container)
	for i := range env {
		env[i] = strings.Replace(env[i], "events-runnel.streams.svc.cluster.local", "127.0.0.1", 1)
	}
	return env
}

// play runs a container that ends, and returns what it printed.
func (r *rel) play(t *testing.T, pod, container object) string {
	t.Helper()
	m := r.machine(t, pod)
	cmd := exec.CommandContext(harness.Soon(t), harness.Binary(t), m.args(container)...)
	cmd.Env = environment(m, container)
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", container.text("name"), err, out, problems.String())
	}
	return string(out)
}

// start runs a container that stays.
func (r *rel) start(t *testing.T, pod object) *servers.Process {
	t.Helper()
	m, container := r.machine(t, pod), pod.list("containers")[0]
	log, err := servers.NewLog("")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(harness.Binary(t), m.args(container)...)
	cmd.Env = environment(m, container)
	p, err := servers.Start("broker", cmd, syscall.SIGKILL, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Stop(syscall.SIGKILL, time.Minute)
		if t.Failed() {
			t.Log(log.Tail())
		}
	})
	return p
}

// wait asks a probe until it succeeds.
func (r *rel) wait(t *testing.T, b *servers.Process, path string) {
	t.Helper()
	deadline := time.After(harness.ReadyTimeout)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(t, fmt.Sprintf("http://%s%s", r.admin, path))
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-b.Exited():
			t.Fatalf("the broker ended: %v", err)
		case <-deadline:
			t.Fatalf("%s: %v", path, err)
		}
	}
}

func ask(t *testing.T, url string) error {
	request, err := http.NewRequestWithContext(harness.Soon(t), http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	return nil
}
