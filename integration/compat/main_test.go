package compat

import (
	"cmp"
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/integration/toolchain"
)

// install installs the clients once per test process.
var install = sync.OnceValues(func() (Clients, error) {
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		return Clients{}, err
	}
	return Install(context.Background(), tools, "clients")
})

func clients(t *testing.T) Clients {
	t.Helper()
	c, err := install()
	if err != nil {
		t.Fatalf("the clients cannot be set up: %v", err)
	}
	return c
}

// recordCount is how many records each client produces: RUNNEL_COMPAT_RECORDS, else 100,000, or 5,000 with -short.
func recordCount(t *testing.T) int {
	t.Helper()
	if s := os.Getenv("RUNNEL_COMPAT_RECORDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < len(Codecs) {
			t.Fatalf("RUNNEL_COMPAT_RECORDS=%q is not a count of at least %d", s, len(Codecs))
		}
		return n
	}
	if testing.Short() {
		return 5_000
	}
	return 100_000
}

// target is a running cluster that the tests run against.
type target struct {
	name string
	open func(t *testing.T) (bootstrap string)
}

var targets = []target{
	{"embedded", func(t *testing.T) string {
		return harness.Dev(t, harness.DevOptions{}).Addr
	}},
	{"distributed", func(t *testing.T) string {
		b := harness.Node(t, harness.NewStores(t), harness.NodeOptions{})
		b.Restart()
		return b.Addr
	}},
	{"kafka", func(t *testing.T) string {
		return harness.OwnKafka(t, clients(t).java.classPath, servers.KafkaOptions{}).Bootstrap
	}},
}

// onTargets runs a test on a cluster of each mode, beside each other, those that RUNNEL_COMPAT_TARGETS names (by commas), by
// default the broker's own.
func onTargets(t *testing.T, test func(t *testing.T, bootstrap string)) {
	chosen := strings.Split(cmp.Or(os.Getenv("RUNNEL_COMPAT_TARGETS"), "embedded,distributed"), ",")
	for _, target := range targets {
		if !slices.Contains(chosen, target.name) {
			continue
		}
		t.Run(target.name, func(t *testing.T) {
			t.Parallel()
			test(t, target.open(t))
		})
	}
}

// seeds are the brokers of a bootstrap list, as Java has it.
func seeds(bootstrap string) kgo.Opt { return kgo.SeedBrokers(strings.Split(bootstrap, ",")...) }

// admin is an administrator's connection.
func admin(t *testing.T, bootstrap string) *kadm.Client {
	t.Helper()
	client, err := harness.Client(t, seeds(bootstrap))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

func createTopic(t *testing.T, bootstrap, topic string, partitions int32) {
	t.Helper()
	if _, err := admin(t, bootstrap).CreateTopic(harness.Soon(t), partitions, 1, nil, topic); err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}

// within is a context for one step of a test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
