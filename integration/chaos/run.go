package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

// options say what to run.
type options struct {
	seed    uint64
	brokers int
	load    time.Duration
}

// javaTopic is the topic of the Java clients.
const (
	javaTopic      = "java"
	javaPartitions = 3
)

// run is one from its start to its report: a cluster, clients that load it, a nemesis that breaks it, and when all is mended
// the reading of everything, and the judgement. It must be called by the test's own goroutine.
func run(t testing.TB, o options) {
	t.Helper()
	dir := artifacts(t)
	t.Logf("seed %d (RUNNEL_CHAOS_SEED), %d brokers, %v of load; artifacts: %s", o.seed, o.brokers, o.load, dir)
	began := time.Now()
	schedule := plan(o.seed, o.brokers, o.load)
	if err := saveSchedule(dir, o.seed, schedule); err != nil {
		t.Fatal(err)
	}
	c := startCluster(t, o.brokers, o.seed, true, dir)
	createTopic(t, c.seeds(), javaTopic, javaPartitions)

	start := time.Now()
	now := func() time.Duration { return time.Since(start) }
	recorder := history.NewRecorder(now)
	n := newNemesis(c, recorder, now, t.Logf)
	java := &javaLoad{
		jvm: startJVM(t, c.brokers[0].clients.Addr, recorder, dir), seed: o.seed, topic: javaTopic, partitions: javaPartitions,
	}

	ctx, cancel := context.WithCancel(t.Context())
	l := startLoad(ctx, o, c, java, recorder)
	defer func() { // also if a fault could not be begun or ended
		cancel()
		l.wait()
	}()
	n.run(t.Context(), t, schedule)
	<-l.over
	wrong := append(c.recover(), n.badEnds()...)
	close(l.healed)
	<-l.quiet
	// A request that its client gave up may still lie with a broker, and be committed later. One that drains leaves none.
	wrong = append(wrong, c.restartAll()...)
	close(l.settled)
	for _, err := range l.wait() {
		wrong = append(wrong, err.Error())
	}
	if err := c.readFinally(t.Context(), recorder, javaTopic, javaPartitions); err != nil {
		wrong = append(wrong, err.Error())
	}
	wrong = append(wrong, c.panics(dir)...)
	wrong = append(wrong, c.compareStores(t, dir)...)

	out := &outcome{seed: o.seed, brokers: o.brokers, load: o.load, deeds: n.done, history: recorder.History(o.seed), wrong: wrong}
	out.stalls = stalls(out.history, out.deeds, o.load)
	out.anomalies = checker.Check(out.history)
	out.took = time.Since(began)
	if err := out.save(dir); err != nil {
		t.Error(err)
	}
	t.Logf("%v", out)
	if out.failed() {
		t.Errorf("see above, and %s", dir)
	}
}

// artifacts is a directory for all that a run leaves: it stays if the test fails, or if RUNNEL_CHAOS_DIR names it.
func artifacts(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("RUNNEL_CHAOS_DIR"); dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir, err := os.MkdirTemp("", "runnel-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			os.RemoveAll(dir)
		}
	})
	return dir
}

func createTopic(t testing.TB, seeds []string, topic string, partitions int32) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}

// recoverTimeout is how long after the last fault a broker may take until it is ready.
const recoverTimeout = 45 * time.Second

// recover mends everything and waits until all brokers are ready. It says which are not.
func (c *cluster) recover() (wrong []string) {
	c.heal()
	deadline := time.Now().Add(recoverTimeout)
	for _, b := range c.brokers {
		for {
			ready, why := b.Ready()
			if ready {
				break
			}
			if !b.Running() {
				wrong = append(wrong, b.name+" ended by itself")
				break
			}
			if time.Now().After(deadline) {
				wrong = append(wrong, fmt.Sprintf("%s is not ready %v after everything was mended: %s", b.name, recoverTimeout, why))
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return wrong
}

// restartAll restarts the brokers one after the other, which have to end well, and says which are not ready then.
func (c *cluster) restartAll() (wrong []string) {
	for _, b := range c.brokers {
		b.Stop()
		b.Start()
		wrong = append(wrong, c.recover()...)
	}
	return wrong
}

// panics finds, in the logs of the brokers, those that ended by a fault of their own.
func (c *cluster) panics(dir string) (wrong []string) {
	for _, b := range c.brokers {
		text, err := os.ReadFile(filepath.Join(dir, b.name+".log"))
		if err != nil {
			wrong = append(wrong, err.Error())
		}
		for _, word := range []string{"panic:", "fatal error:", "panic="} {
			if at := bytes.Index(text, []byte(word)); at >= 0 {
				wrong = append(wrong, fmt.Sprintf("%s: %s", b.name, text[at:min(len(text), at+2000)]))
			}
		}
	}
	return wrong
}

// compareStores has `runnel fsck` prove that bucket and metastore agree. What it says goes to a file.
func (c *cluster) compareStores(t testing.TB, dir string) (wrong []string) {
	t.Helper()
	out, err := c.direct.Command(t, "fsck", "--deep").CombinedOutput()
	if fileErr := os.WriteFile(filepath.Join(dir, "fsck.txt"), out, 0o644); fileErr != nil {
		wrong = append(wrong, fileErr.Error())
	}
	if err != nil {
		wrong = append(wrong, fmt.Sprintf("runnel fsck: %v\n%s", err, tail(string(out), 40)))
	}
	return wrong
}

// badEnds are brokers that did not drain well when they were told to end.
func (n *nemesis) badEnds() (wrong []string) {
	if n.badExits > 0 {
		wrong = append(wrong, errors.New(fmt.Sprint(n.badExits, " brokers did not end well on SIGTERM, see above")).Error())
	}
	return wrong
}
