package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tier is one `go test` over some packages of one module.
type tier struct {
	name, about string
	module      string // directory of the module, from the root of the repository
	args        []string
	servers     bool // wants PostgreSQL and the S3 server
	binary      bool // wants the broker's binary
	beside      int  // not 0: it runs beside the others, which wait more than they compute, and gives way to them: nice by so much
	minio       bool // wants the program of MinIO
	onMinIO     bool // has MinIO in place of the other S3 server
}

var tiers = []tier{
	{
		name: "unit", about: "every package of the broker, race detector on; contract suites on real servers",
		module: ".", args: []string{"-race", "-timeout=20m", "./..."}, servers: true,
	},
	{
		name: "tools", about: "the test programs themselves",
		module: "integration", args: []string{
			"-race", "-timeout=10m", "./servers/...", "./toolchain/...", "./harness/...", "./cmd/...", "./demo/...", "./bench/...", "./slows3/...", "./witness/...", "./mover/...", "./faulty/...",
		},
	},
	{
		name: "sim", about: "200 seeds of a simulated cluster with all faults, none with an anomaly; planted bugs, each found by its name",
		module: "integration", args: []string{"-p=1", "-timeout=60m", "./sim/..."}, beside: 10, // in virtual time
	},
	{
		name: "e2e", about: "the real binary: crashes, restarts, outages, hostile bytes, the same answers as Apache Kafka",
		module: "integration", args: []string{"-timeout=30m", "-parallel=3", "./e2e/...", "./differential/...", "./history/...", "./checker/...", "./workload/..."}, servers: true, binary: true,
	},
	{
		name: "chaos", about: "processes, PostgreSQL, S3 and the ways between them broken at random under a load that is judged; fail-overs",
		module: "integration", args: []string{"-timeout=8m", "./chaos/..."}, servers: true, binary: true,
	},
	{
		name: "compat", about: "the real binary and real Kafka clients in five languages",
		module: "integration", args: []string{"-timeout=20m", "-parallel=3", "./compat/..."}, servers: true, binary: true,
	},
	{
		name: "ecosystem", about: "what people run beside their clients: transactions of many clients, Kafka Streams, Kafka Connect, Flink",
		module: "integration", args: []string{"-timeout=15m", "-parallel=3", "./ecosystem/..."}, servers: true, binary: true,
	},
	{
		name: "secure", about: "who gets in and who does not, by real clients: TLS, SASL, access rules as Kafka's, quotas, attacks",
		module: "integration", args: []string{"-timeout=15m", "-parallel=4", "./secure/...", "./ascode/...", "./independent/..."}, servers: true, binary: true, minio: true,
	},
	{
		name: "minio", about: "the real binary on MinIO: crashes of brokers and of the bucket's server, transactions, the life of data, a lost database",
		module: "integration", args: []string{"-timeout=10m", "-short", "-run=" + onMinIO, "./e2e"}, servers: true, binary: true, minio: true, onMinIO: true,
	},
	{
		name: "deploy", about: "what people run brokers with: the image, Terraform on a mock of AWS, the chart",
		// The longest first: all others fit beside it.
		module: "integration", args: []string{"-p=2", "-parallel=4", "-timeout=30m", "./terraform/...", "./image/...", "./helm/..."}, servers: true, binary: true,
		beside: 5,
	},
	{
		name: "containers", about: "brokers, PostgreSQL and MinIO through a Docker engine: compose.yaml, testcontainers",
		module: "integration", args: []string{"-p=2", "-parallel=4", "-timeout=30m", "./containers/..."}, servers: true, binary: true, minio: true,
		beside: 5,
	},
}

// onMinIO are the tests of package e2e in which most is asked of the bucket: PUTs that are cut short, LIST, deletes of many,
// ranges of all that was written, and a server that is gone for a while.
const onMinIO = "^(TestKillLosesNothingAcknowledged|TestTheOtherBrokerTakesOver|TestOutageUnderLoad|TestTheLifeOfDataOnRealServers|" +
	"TestTransactionsMoveExactlyOnceWhileBrokersAreKilled|TestReadCommittedGetsWhatIsCommitted|TestFsckOfALiveClusterThenOfADamagedOne|TestALostDatabaseIsMadeAnew)$"

func choose(names []string) ([]tier, error) {
	if len(names) == 0 {
		return tiers, nil
	}
	var chosen []tier
	for _, name := range names {
		found := false
		for _, t := range tiers {
			if t.name == name {
				chosen, found = append(chosen, t), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no tier is called %q", name)
		}
	}
	return chosen, nil
}

// shared is a writer for several goroutines: what `go test` complains about is copied beside what is made of its events.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

// command is the tier's `go test`, which leaves vetting to the linter.
func (t tier) command(dir string) []string {
	command := append([]string{"go", "test", "-json", "-vet=off"}, t.packages(dir)...)
	if t.beside > 0 {
		command = append([]string{"nice", "-n", strconv.Itoa(t.beside)}, command...)
	}
	return command
}

// run runs the tier's tests. A tier whose packages hold contract suites reports those as a tier of their own.
func (t tier) run(ctx context.Context, out io.Writer, root string, env []string, verbose bool) []result {
	start := time.Now()
	out = &shared{w: out}
	fmt.Fprintf(out, "\n=== tier %s: %s\n", t.name, t.about)
	dir := filepath.Join(root, t.module)
	command := t.command(dir)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, env, out
	// SIGINT lets `go test` and the tests stop what they started.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = time.Minute

	whole := result{tier: t.name}
	contract := result{tier: "contract"}
	c := counter{verbose: verbose, out: out, of: func(pkg string) *result {
		if t.name == "unit" && hasContract(root, pkg) {
			return &contract
		}
		return &whole
	}}
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		c.read(events)
		err = cmd.Wait()
	}
	if err != nil && whole.failed+contract.failed == 0 {
		whole.broken = fmt.Sprintf("go test: %v", err)
	}
	whole.took = time.Since(start)
	if state := cmd.ProcessState; state != nil {
		whole.computed = state.UserTime() + state.SystemTime()
	}
	results := []result{whole}
	if contract.passed+contract.failed+len(contract.skipped) > 0 {
		results = append(results, contract)
	}
	return results
}

// packages is the tier's argument list without directories that this checkout does not have.
func (t tier) packages(dir string) []string {
	var args []string
	for _, arg := range t.args {
		if path, ok := strings.CutSuffix(arg, "/..."); ok {
			if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
				continue
			}
		}
		args = append(args, arg)
	}
	return args
}

// hasContract tells whether a package of the broker has tests that ask for a real server.
func hasContract(root, pkg string) bool {
	dir := strings.TrimPrefix(pkg, "github.com/runnel-io/runnel")
	files, _ := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, []byte("RUNNEL_TEST_")) {
			return true
		}
	}
	return false
}
