package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/integration/slows3"
)

// cluster is brokers on a database and a prefix of the bucket of their own.
type cluster struct {
	dsn, endpoint string   // of the database and the S3 server
	env           []string // of the processes
	// addresses are those for clients, by broker.
	addresses, admins, peers []string
	prefix                   string // in the bucket
	secret                   string // that the brokers share
	proxy                    *slows3.Proxy
	stopProxy                func() error // nil: no proxy
	processes                []*servers.Process
	logs                     []*servers.Log
}

// database makes an empty, migrated database.
func (m *machine) database(ctx context.Context) (name, dsn string, err error) {
	name = "bench_" + strings.ToLower(rand.Text()[:10])
	if dsn, err = m.postgres.CreateDatabase(ctx, name); err != nil {
		return "", "", err
	}
	cmd := exec.CommandContext(ctx, m.binary, "migrate", "--metastore-url", dsn)
	cmd.Env = environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("migrate: %w\n%s", err, out)
	}
	return name, dsn, nil
}

// environ is ours without variables that runnel would take for its configuration.
func environ(more ...string) []string {
	own := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "RUNNEL_") })
	return append(own, more...)
}

// startCluster starts brokers with default settings on the S3 server at endpoint. env is for their processes.
func (m *machine) startCluster(ctx context.Context, brokers int, endpoint string, env ...string) (*cluster, error) {
	name, dsn, err := m.database(ctx)
	if err != nil {
		return nil, err
	}
	c := &cluster{dsn: dsn, endpoint: endpoint, env: env, prefix: name, secret: rand.Text()}
	for range brokers {
		if err := c.start(ctx, m); err != nil {
			return nil, errors.Join(err, c.stop())
		}
	}
	return c, nil
}

func (c *cluster) start(ctx context.Context, m *machine) error {
	var address [3]string
	for i := range address {
		port, err := servers.FreePort()
		if err != nil {
			return err
		}
		address[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	process, log, err := c.run(m, address)
	if err != nil {
		return err
	}
	c.processes, c.logs = append(c.processes, process), append(c.logs, log)
	c.addresses, c.admins, c.peers = append(c.addresses, address[0]), append(c.admins, address[1]), append(c.peers, address[2])
	return waitReady(ctx, address[1], process)
}

// startAgain starts a broker that has stopped.
func (c *cluster) startAgain(ctx context.Context, m *machine, i int) (err error) {
	if c.processes[i], c.logs[i], err = c.run(m, [3]string{c.addresses[i], c.admins[i], c.peers[i]}); err != nil {
		return err
	}
	return waitReady(ctx, c.admins[i], c.processes[i])
}

// listenersEnv begins the variables of a broker with listeners of its own, which stand in place of the one for clients.
const listenersEnv = "RUNNEL_LISTENERS_"

// run starts the process of a broker with the addresses for clients, administrators and other brokers.
func (c *cluster) run(m *machine, address [3]string) (*servers.Process, *servers.Log, error) {
	cmd := exec.Command(m.binary, "broker")
	env := slices.Clone(c.env)
	if !slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, listenersEnv) }) {
		env = append(env, "RUNNEL_LISTEN="+address[0], "RUNNEL_ADVERTISE="+address[0])
	}
	cmd.Env = environ(append(env, "RUNNEL_ADMIN_LISTEN="+address[1], "RUNNEL_METASTORE_URL="+c.dsn,
		"RUNNEL_PEER_LISTEN="+address[2], "RUNNEL_PEER_SECRET="+c.secret,
		"RUNNEL_OBJECT_STORE_URL=s3://"+servers.Bucket+"/"+c.prefix, "RUNNEL_OBJECT_STORE_ENDPOINT="+c.endpoint,
		"RUNNEL_OBJECT_STORE_REGION="+servers.Region, "RUNNEL_OBJECT_STORE_ACCESS_KEY="+m.s3.AccessKey,
		"RUNNEL_OBJECT_STORE_SECRET_KEY="+m.s3.SecretKey)...)
	log, err := servers.NewLog("")
	if err != nil {
		return nil, nil, err
	}
	process, err := servers.Start("runnel broker", cmd, syscall.SIGKILL, log)
	return process, log, err
}

func waitReady(ctx context.Context, admin string, process *servers.Process) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return process.AwaitOK(ctx, "http://"+admin+"/readyz")
}

func (c *cluster) stop() error {
	var err error
	for i, p := range c.processes {
		if stopErr := p.Stop(syscall.SIGTERM, 40*time.Second); stopErr != nil {
			err = errors.Join(err, fmt.Errorf("%w\n%s", stopErr, c.logs[i].Tail()))
		}
	}
	if c.stopProxy != nil {
		err = errors.Join(err, c.stopProxy())
	}
	return err
}

func (c *cluster) bootstrap() string { return strings.Join(c.addresses, ",") }
func (c *cluster) admin() string     { return strings.Join(c.admins, ",") }

// startSlowCluster is startCluster on an S3 server that is as slow as a profile says, and that the cluster stops.
func (m *machine) startSlowCluster(ctx context.Context, brokers int, p slows3.Profile, env ...string) (*cluster, error) {
	proxy, endpoint, stop, err := m.proxied(ctx, p)
	if err != nil {
		return nil, err
	}
	c, err := m.startCluster(ctx, brokers, endpoint, env...)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	c.proxy, c.stopProxy = proxy, stop
	return c, nil
}

// proxied starts a proxy in front of the S3 server.
func (m *machine) proxied(ctx context.Context, p slows3.Profile) (proxy *slows3.Proxy, endpoint string, stop func() error, err error) {
	server, err := url.Parse(m.s3.Endpoint())
	if err != nil {
		return nil, "", nil, err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", nil, err
	}
	proxy = slows3.New(server, slows3.NewDraws(p, 1))
	serving, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- proxy.Serve(serving, ln) }()
	return proxy, "http://" + ln.Addr().String(), func() error { end(); return <-done }, nil
}

// result is what `runnel bench --json` writes.
type result struct {
	ThroughputMBPerS *float64 `json:"throughput_mb_per_s"`
	RecordsPerS      float64  `json:"records_per_s"`
	CommitsPerS      *float64 `json:"commits_per_s"`
	LeastCommitsPerS *float64 `json:"least_commits_per_s"`
	P50              float64  `json:"p50_ms"`
	P99              float64  `json:"p99_ms"`
	P999             float64  `json:"p999_ms"`
	Produce          struct {
		P50 float64 `json:"p50_ms"`
		P99 float64 `json:"p99_ms"`
	} `json:"produce"`
	CPUSecondsPerGiB *float64 `json:"cpu_seconds_per_gib"`
	PutsPerGiB       *float64 `json:"puts_per_gib"`
	GetsPerGiB       *float64 `json:"gets_per_gib"`
	AvgObjectBytes   *float64 `json:"avg_object_bytes"`
}

// runnelBench runs `runnel bench`. command is how a reader would write it.
func (m *machine) runnelBench(ctx context.Context, shown *[]string, args ...string) (r result, err error) {
	*shown = append(*shown, "runnel bench "+strings.Join(withoutAddresses(args), " "))
	cmd := exec.CommandContext(ctx, m.binary, append(append([]string{"bench"}, args...), "--json")...)
	cmd.Env = environ()
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		return r, fmt.Errorf("runnel bench %s: %w", strings.Join(args, " "), err)
	}
	return r, json.Unmarshal(out, &r)
}

// withoutAddresses replaces what differs from run to run, and what is secret, by what it stands for.
func withoutAddresses(args []string) []string {
	shown := slices.Clone(args)
	for i, name := range map[string]string{
		"--bootstrap": "BROKERS", "--admin": "ADMIN", "--metastore": "URL", "--produce-via": "BROKER1", "--consume-via": "BROKER2",
		"--tls-ca": "FILE", "--password-file": "FILE", "--samples": "FILE",
	} {
		if at := slices.Index(shown, i); at >= 0 && at+1 < len(shown) {
			shown[at+1] = name
		}
	}
	return shown
}

// profile records where the broker spends its CPU, for some seconds, if that is asked for.
func (m *machine) profile(ctx context.Context, c *cluster, name string) (wait func() error) {
	if m.perf == "" {
		return func() error { return nil }
	}
	cmd := exec.CommandContext(ctx, "perf", "record", "-q", "-F", "199", "-g", "-p", strconv.Itoa(c.processes[0].Pid()),
		"-o", filepath.Join(m.perf, name+".data"))
	err := cmd.Start()
	return func() error {
		if err != nil {
			return fmt.Errorf("profile: %w", err)
		}
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait() // perf ends with the signal that we sent
		return nil
	}
}
