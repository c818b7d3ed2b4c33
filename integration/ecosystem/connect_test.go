package ecosystem

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/harness"
)

// worker are the settings that all workers of Kafka Connect here share: lines are kept as they are.
const worker = `key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
plugin.discovery=service_load
offset.flush.interval.ms=500
consumer.session.timeout.ms=6000
consumer.auto.offset.reset=earliest
`

// lines writes some more numbered lines to the end of a file, and tells all that are in it now.
func lines(t *testing.T, path string, n int) []string {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	all := strings.Split(strings.TrimSuffix(string(before), "\n"), "\n")
	if len(before) == 0 {
		all = nil
	}
	for range n {
		all = append(all, fmt.Sprintf("line %d", len(all)))
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(strings.Join(all[len(all)-n:], "\n") + "\n"); err != nil {
		t.Fatal(err)
	}
	return all
}

// holds waits until a file holds lines, and no others.
func holds(t *testing.T, p *process, path string, want []string) {
	t.Helper()
	var got []byte
	for deadline := time.Now().Add(time.Minute); bytes.Count(got, []byte("\n")) < len(want); time.Sleep(50 * time.Millisecond) {
		p.alive(t)
		if time.Now().After(deadline) {
			t.Fatalf("%s holds %d lines of %d:\n%s", path, bytes.Count(got, []byte("\n")), len(want), tail(got))
		}
		var err error
		if got, err = os.ReadFile(path); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if string(got) != strings.Join(want, "\n")+"\n" {
		t.Fatalf("%s does not hold the %d lines of the source, each once:\n%s", path, len(want), tail(got))
	}
}

func properties(t *testing.T, path string, text ...string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(text, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestConnectStandalone moves lines from a file through a topic to another file, with one worker for both connectors, which
// goes on after a restart where it was.
func TestConnectStandalone(t *testing.T) {
	onTargets(t, func(t *testing.T, bootstrap string) {
		dir := t.TempDir()
		in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
		createTopic(t, bootstrap, "standalone", 1)
		standalone := func() *process {
			return start(t, "the standalone worker", java(t, "org.apache.kafka.connect.cli.ConnectStandalone",
				properties(t, filepath.Join(dir, "worker.properties"), worker, "bootstrap.servers="+bootstrap,
					"listeners=http://"+harness.FreeAddress(t), "offset.storage.file.filename="+filepath.Join(dir, "offsets")),
				properties(t, filepath.Join(dir, "source.properties"), "name=source",
					"connector.class=org.apache.kafka.connect.file.FileStreamSourceConnector", "file="+in, "topic=standalone"),
				properties(t, filepath.Join(dir, "sink.properties"), "name=sink",
					"connector.class=org.apache.kafka.connect.file.FileStreamSinkConnector", "file="+out, "topics=standalone")))
		}
		want := lines(t, in, 500)
		w := standalone()
		holds(t, w, out, want)
		w.end(t)

		want = lines(t, in, 500)
		w = standalone()
		holds(t, w, out, want)
		w.end(t)
	})
}

// TestConnectDistributed keeps configurations, offsets and states in topics that the worker makes, and the source's records
// exactly once in theirs: when the worker is killed too.
func TestConnectDistributed(t *testing.T) {
	onTargets(t, func(t *testing.T, bootstrap string) {
		dir := t.TempDir()
		in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
		createTopic(t, bootstrap, "distributed", 1)
		rest := harness.FreeAddress(t)
		config := properties(t, filepath.Join(dir, "worker.properties"), worker, "bootstrap.servers="+bootstrap, "listeners=http://"+rest,
			"group.id=connect", "config.storage.topic=connect-configs", "offset.storage.topic=connect-offsets", "status.storage.topic=connect-status",
			"config.storage.replication.factor=1", "offset.storage.replication.factor=1", "status.storage.replication.factor=1",
			"offset.storage.partitions=3", "exactly.once.source.support=enabled",
			"session.timeout.ms=6000", "heartbeat.interval.ms=1000", "scheduled.rebalance.max.delay.ms=0")
		distributed := func() *process {
			return start(t, "the distributed worker", java(t, "org.apache.kafka.connect.cli.ConnectDistributed", config))
		}
		topic := follow(t, bootstrap, "distributed")
		stored := func(want []string) {
			t.Helper()
			topic.await(t, "distributed", len(want), time.Minute)
			got := make([]string, 0, len(want))
			for _, r := range topic.of("distributed") {
				got = append(got, string(r.Value))
			}
			if !slices.Equal(got, want) {
				t.Fatalf("the topic does not hold the %d lines of the source, each once:\n%s", len(want), tail([]byte(strings.Join(got, "\n"))))
			}
		}

		want := lines(t, in, 500)
		w := distributed()
		connector(t, w, rest, "source", map[string]string{
			"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "file": in, "topic": "distributed", "exactly.once.support": "required",
		})
		connector(t, w, rest, "sink", map[string]string{
			"connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "file": out, "topics": "distributed",
		})
		holds(t, w, out, want)
		stored(want)
		policies := map[string]string{"connect-configs": "compact", "connect-offsets": "compact", "connect-status": "compact"}
		if got := policiesOf(t, bootstrap, "connect-"); !maps.Equal(got, policies) {
			t.Errorf("cleanup.policy of the topics that the worker made: %v, want %v", got, policies)
		}
		w.end(t)

		want = lines(t, in, 500) // nobody tells the next one of the connectors
		w = distributed()
		holds(t, w, out, want)
		stored(want)

		more := len(want)
		lines(t, in, 2000)
		eventually(t, "the worker is in the middle", time.Minute, func() bool { return topic.count("distributed") > more })
		w.kill(t)
		want = lines(t, in, 100)
		w = distributed()
		stored(want)
		w.alive(t)
	})
}

// connector creates a connector by the worker's REST interface, and waits until its task runs.
func connector(t *testing.T, w *process, rest, name string, config map[string]string) {
	t.Helper()
	body, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	call := func(method, path string, body []byte) (int, []byte) {
		w.alive(t)
		request, err := http.NewRequestWithContext(harness.Soon(t), method, "http://"+rest+"/connectors/"+name+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			last = err.Error()
			return 0, nil
		}
		defer response.Body.Close()
		answer, _ := io.ReadAll(response.Body)
		last = string(answer)
		return response.StatusCode, answer
	}
	defer func() {
		if t.Failed() {
			t.Logf("the worker's last answer about %s: %s", name, last)
		}
	}()
	eventually(t, "connector "+name+" is created", time.Minute, func() bool {
		status, _ := call(http.MethodPut, "/config", body)
		return status == http.StatusCreated || status == http.StatusOK
	})
	eventually(t, "the task of connector "+name+" runs", time.Minute, func() bool {
		var told struct{ Tasks []struct{ State string } }
		_, answer := call(http.MethodGet, "/status", nil)
		return json.Unmarshal(answer, &told) == nil && len(told.Tasks) == 1 && told.Tasks[0].State == "RUNNING"
	})
}
