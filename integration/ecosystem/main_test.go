package ecosystem

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/integration/toolchain"
)

// target is a running cluster that the tests run against.
type target struct {
	name string
	open func(t *testing.T) (bootstrap string)
}

// defaults of the cluster: nobody waits long for transactions past their time-out, as in the Kafka of package servers.
var defaults = map[string]string{"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000"}

var targets = []target{
	{"embedded", func(t *testing.T) string {
		return harness.Dev(t, harness.DevOptions{Set: defaults}).Addr
	}},
	{"distributed", func(t *testing.T) string {
		b := harness.Node(t, harness.NewStores(t), harness.NodeOptions{Set: defaults})
		b.Restart()
		return b.Addr
	}},
	{"kafka", func(t *testing.T) string {
		jars, err := tools(t).JavaClasses(t.Context(), "../compat/clients/java/pom.xml")
		if err != nil {
			t.Fatalf("Kafka cannot be set up: %v", err)
		}
		kafka := harness.OwnKafka(t, jars, servers.KafkaOptions{})
		warm(t, kafka.Bootstrap)
		return kafka.Bootstrap
	}},
}

// onTargets runs a test, beside others, on a cluster of each kind that RUNNEL_COMPAT_TARGETS names (by commas), by default
// the one that production runs.
func onTargets(t *testing.T, test func(t *testing.T, bootstrap string)) {
	t.Parallel()
	chosen := strings.Split(cmp.Or(os.Getenv("RUNNEL_COMPAT_TARGETS"), "distributed"), ",")
	for _, target := range targets {
		if slices.Contains(chosen, target.name) {
			t.Run(target.name, func(t *testing.T) { test(t, target.open(t)) })
		}
	}
}

// warm waits until coordinators of groups and transactions answer: a Kafka that has just started is still making their
// topics, which some clients take for an error.
func warm(t *testing.T, bootstrap string) {
	t.Helper()
	createTopic(t, bootstrap, "warm", 1)
	for i := range 16 { // as many names as make it likely that all partitions of those topics are asked
		name := fmt.Sprint("warm-", i)
		c, admin := client(t, bootstrap, kgo.TransactionalID(name))
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: "warm", At: 1})
		eventually(t, "coordinators answer", 30*time.Second, func() bool {
			return admin.CommitAllOffsets(harness.Soon(t), name, offsets) == nil
		})
		eventually(t, "coordinators answer", 30*time.Second, func() bool {
			_, _, err := c.ProducerID(harness.Soon(t))
			return err == nil
		})
		c.Close()
	}
}

func tools(t *testing.T) toolchain.Cache {
	t.Helper()
	cache, err := toolchain.Default(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

// java is the command line of a class on the class path of clients/java.
func java(t *testing.T, class string, args ...string) []string {
	t.Helper()
	return append(javaOf(t, "clients/java"), append([]string{class}, args...)...)
}

// javaOf is the command line that runs a class of a directory, whose sources are compiled unless they were before. The flags
// make short programs start fast; logs go to standard error.
func javaOf(t *testing.T, dir string, flags ...string) []string {
	t.Helper()
	sources, err := filepath.Glob(dir + "/*.java")
	if err != nil {
		t.Fatal(err)
	}
	classes, err := tools(t).JavaClasses(t.Context(), dir+"/pom.xml", sources...)
	if err != nil {
		t.Fatalf("the Java programs cannot be set up: %v", err)
	}
	return slices.Concat([]string{
		"java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
	}, flags, []string{"-cp", classes})
}

// python is the command line of a program in a virtual environment of what a requirements file pins.
func python(t *testing.T, requirements, program string, args ...string) []string {
	t.Helper()
	interpreter, err := tools(t).PythonVenv(t.Context(), requirements)
	if err != nil {
		t.Fatalf("%s cannot be set up: %v", program, err)
	}
	return append([]string{interpreter, program}, args...)
}

// node is the command line of a program of kafkajs, which the compatibility tests pin.
func node(t *testing.T, program string, args ...string) []string {
	t.Helper()
	modules, err := tools(t).NodeModules(t.Context(), "../compat/clients/kafkajs")
	if err != nil {
		t.Fatalf("kafkajs cannot be set up: %v", err)
	}
	return append([]string{"env", "NODE_PATH=" + modules, "node", program}, args...)
}

// client is one with an administrator's calls.
func client(t *testing.T, bootstrap string, opts ...kgo.Opt) (*kgo.Client, *kadm.Client) {
	t.Helper()
	c, err := harness.Client(t, append([]kgo.Opt{kgo.SeedBrokers(bootstrap)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, kadm.NewClient(c)
}

func createTopic(t *testing.T, bootstrap, topic string, partitions int32) {
	t.Helper()
	_, admin := client(t, bootstrap)
	if _, err := admin.CreateTopic(harness.Soon(t), partitions, 1, nil, topic); err != nil {
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

func eventually(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	harness.Eventually(t, what, within, ok)
}
