package containers

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
)

// deployment is three brokers in three zones, with PostgreSQL and MinIO, wherever they run.
type deployment struct {
	stores  harness.Stores // as seen from this machine
	brokers []string       // where clients find them
	ready   func(broker int) (bool, string)
	// A kill is that of a crash.
	kill, start         func(broker int)
	killMinIO, runMinIO func()
}

// TestAClusterOnMinIO is the same in containers, where an engine answers, and in processes of this machine: brokers, PostgreSQL and
// a MinIO that has no bucket at first. A broker is killed and comes back, then MinIO; transactions end one way and the other.
// Nothing that was acknowledged is lost or there twice, and every object is what the metastore says.
func TestAClusterOnMinIO(t *testing.T) {
	for _, where := range []struct {
		name   string
		deploy func(t *testing.T) *deployment
	}{{"containers", inContainers}, {"processes", inProcesses}} {
		t.Run(where.name, func(t *testing.T) {
			d := where.deploy(t)
			d.allReady(t)
			client := newClient(t, d.brokers...)
			if _, err := kadm.NewClient(client).CreateTopic(harness.Soon(t), 12, -1, nil, "ledger"); err != nil {
				t.Fatal(err)
			}
			load := startStream(t, client, "ledger")
			load.goesOn(t, "at first")
			d.kill(1)
			load.goesOn(t, "without a broker that was killed")
			d.start(1)
			d.allReady(t)
			transactions(t, d.brokers)
			d.killMinIO()
			d.runMinIO()
			load.goesOn(t, "after MinIO was killed")
			d.allReady(t)

			n := load.isThereOnce(t, d.brokers...)
			objects := len(d.stores.Objects(t))
			if out, errOut, code := d.stores.Run(t, "fsck", "--deep"); code != 0 || objects == 0 {
				t.Errorf("fsck of %d objects ends with %d: %s%s", objects, code, out, errOut)
			}
			t.Logf("%d records in %d objects, each there once", n, objects)
		})
	}
}

func (d *deployment) allReady(t *testing.T) {
	t.Helper()
	for i := range d.brokers {
		eventually(t, fmt.Sprintf("broker %d is ready", i), 2*time.Minute, func() (bool, string) { return d.ready(i) })
	}
}

// transactions commits every other one of some, and reads what is committed.
func transactions(t *testing.T, brokers []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(20), kgo.TransactionalID("mover"), kgo.DefaultProduceTopic("moved"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const all = 10
	for i := range all {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
			t.Fatalf("transaction %d: %v", i, err)
		}
		if err := client.EndTransaction(ctx, kgo.TransactionEndTry(i%2 == 0)); err != nil {
			t.Fatalf("end transaction %d: %v", i, err)
		}
	}
	// The last is one that is committed, so that all before it has been decided when it is seen.
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	last := client.ProduceSync(ctx, kgo.StringRecord("last")).FirstErr()
	if end := client.EndTransaction(ctx, kgo.TryCommit); last != nil || end != nil {
		t.Fatal(last, end)
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics("moved"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	seen := make(map[string]int)
	for seen["last"] == 0 || len(seen) < all/2+1 {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("read %v: %v", seen, fetches.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Value)]++ })
	}
	for i := range all {
		if want := (i + 1) % 2; seen[fmt.Sprint(i)] != want {
			t.Errorf("transaction %d: seen %d times, want %d", i, seen[fmt.Sprint(i)], want)
		}
	}
}

const freshBucket = "of-this-cluster"

func inProcesses(t *testing.T) *deployment {
	m := harness.OwnMinIO(t)
	dsn := os.Getenv("RUNNEL_TEST_POSTGRES")
	if dsn == "" {
		dsn = harness.OwnPostgres(t, servers.PostgresOptions{}).DSN()
	}
	bucket, err := url.Parse(m.URL())
	if err != nil {
		t.Fatal(err)
	}
	bucket.Path = "/" + freshBucket
	d := &deployment{stores: harness.StoresOn(t, dsn, bucket.String())}
	if out, errOut, code := d.stores.Run(t, "migrate", "--bucket"); code != 0 || !strings.Contains(out, "bucket made") {
		t.Fatalf("runnel migrate --bucket: exit %d: %s%s", code, out, errOut)
	}
	var nodes []*harness.Broker
	for i := range 3 {
		peer := harness.FreeAddress(t)
		b := harness.Node(t, d.stores, harness.NodeOptions{Env: []string{
			"RUNNEL_ZONE=" + zone(i), "RUNNEL_PEER_SECRET=" + secret, "RUNNEL_PEER_LISTEN=" + peer, "RUNNEL_PEER_ADVERTISE=" + peer,
		}})
		b.Start()
		nodes, d.brokers = append(nodes, b), append(d.brokers, b.Addr)
	}
	d.ready = func(i int) (bool, string) { return nodes[i].Ready() }
	d.kill, d.start = func(i int) { nodes[i].Kill() }, func(i int) { nodes[i].Start() }
	d.killMinIO = func() { must(t, m.Kill()) }
	d.runMinIO = func() { must(t, m.Start(t.Context())) }
	return d
}

func zone(broker int) string { return string(rune('a' + broker)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func inContainers(t *testing.T) *deployment {
	needs(t, broker, postgres, minio)
	between, err := tcnetwork.New(t.Context())
	testcontainers.CleanupNetwork(t, between)
	must(t, err)
	dsn := startPostgres(t, tcnetwork.WithNetwork([]string{"postgres"}, between))
	minioPort := freePort(t)
	m, err := runMinIO(t, tcnetwork.WithNetwork([]string{"minio"}, between), onPorts(map[string]int{"9000/tcp": minioPort}))
	testcontainers.CleanupContainer(t, m)
	must(t, err)
	d := &deployment{stores: harness.Stores{
		Metastore: dsn, ObjectStore: "s3://" + freshBucket + "/cluster", Endpoint: fmt.Sprintf("http://127.0.0.1:%d", minioPort), AccessKey: "runnel", SecretKey: secret,
	}}
	env := map[string]string{
		"RUNNEL_METASTORE_URL":           "postgres://postgres@postgres/postgres?sslmode=disable",
		"RUNNEL_METASTORE_PASSWORD":      secret,
		"RUNNEL_OBJECT_STORE_URL":        d.stores.ObjectStore,
		"RUNNEL_OBJECT_STORE_ENDPOINT":   "http://minio:9000",
		"RUNNEL_OBJECT_STORE_ACCESS_KEY": d.stores.AccessKey,
		"RUNNEL_OBJECT_STORE_SECRET_KEY": d.stores.SecretKey,
	}
	migrate(t, env, between)

	var ids, admins []string
	for i := range 3 {
		kafka, admin := freePort(t), freePort(t)
		name := "broker-" + zone(i)
		c, err := testcontainers.Run(t.Context(), brokerImage, testcontainers.WithCmd("broker"), testcontainers.WithEnv(env),
			testcontainers.WithEnv(map[string]string{
				"RUNNEL_ZONE": zone(i), "RUNNEL_PEER_SECRET": secret, "RUNNEL_PEER_ADVERTISE": name + ":9645",
				"RUNNEL_LISTEN": "0.0.0.0:9092", "RUNNEL_ADVERTISE": fmt.Sprintf("127.0.0.1:%d", kafka),
			}),
			tcnetwork.WithNetwork([]string{name}, between), testcontainers.WithExposedPorts("9092/tcp", "9644/tcp"),
			onPorts(map[string]int{"9092/tcp": kafka, "9644/tcp": admin}))
		testcontainers.CleanupContainer(t, c)
		must(t, err)
		logOnFailure(t, name, c)
		ids, admins = append(ids, c.GetContainerID()), append(admins, fmt.Sprintf("http://127.0.0.1:%d/readyz", admin))
		d.brokers = append(d.brokers, fmt.Sprintf("127.0.0.1:%d", kafka))
	}
	do := func(id, action string) {
		t.Helper()
		must(t, docker.Post(harness.Soon(t), "/containers/"+id+"/"+action))
	}
	d.ready = func(i int) (bool, string) { return ask(t, admins[i]) }
	d.kill, d.start = func(i int) { do(ids[i], "kill") }, func(i int) { do(ids[i], "start") }
	d.killMinIO = func() { do(m.GetContainerID(), "kill") }
	d.runMinIO = func() { do(m.GetContainerID(), "start") }
	return d
}

// migrate runs a container that makes tables and bucket, and ends.
func migrate(t *testing.T, env map[string]string, between *testcontainers.DockerNetwork) {
	t.Helper()
	c, err := testcontainers.Run(t.Context(), brokerImage, testcontainers.WithCmd("migrate", "--bucket"), testcontainers.WithEnv(env),
		tcnetwork.WithNetwork(nil, between), testcontainers.WithWaitStrategy(wait.ForExit().WithExitTimeout(2*time.Minute)))
	testcontainers.CleanupContainer(t, c)
	must(t, err)
	state, err := c.State(harness.Soon(t))
	must(t, err)
	said := logOf(harness.Soon(t), c)
	if state.ExitCode != 0 || !strings.Contains(said, "bucket made") {
		t.Fatalf("runnel migrate --bucket: exit %d: %s", state.ExitCode, said)
	}
}

func logOf(ctx context.Context, c testcontainers.Container) string {
	r, err := c.Logs(ctx)
	if err != nil {
		return err.Error()
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func logOnFailure(t *testing.T, name string, c testcontainers.Container) {
	t.Cleanup(func() {
		if t.Failed() {
			said := logOf(context.Background(), c)
			t.Logf("the end of what %s said:\n%s", name, said[max(0, len(said)-4000):])
		}
	})
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := servers.FreePort()
	must(t, err)
	return port
}

// onPorts maps ports of a container to those of this machine, where they stay when it starts again.
func onPorts(ports map[string]int) testcontainers.CustomizeRequestOption {
	return testcontainers.WithHostConfigModifier(func(h *container.HostConfig) {
		h.PortBindings = network.PortMap{}
		for inside, outside := range ports {
			h.PortBindings[network.MustParsePort(inside)] = []network.PortBinding{{HostPort: fmt.Sprint(outside)}}
		}
	})
}

// ask gets a page of a broker's admin server.
func ask(t *testing.T, page string) (ok bool, said string) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, http.NoBody)
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return false, err.Error()
	}
	return resp.StatusCode == http.StatusOK, string(b)
}
