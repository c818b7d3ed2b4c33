// Package cli runs the commands of the real binary against a real broker, as scripts do.
package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
)

// limit is how long a command may take.
const limit = 30 * time.Second

// shell runs commands against one broker.
type shell struct {
	t         *testing.T
	binary    string
	bootstrap string
}

func newShell(t *testing.T) *shell {
	t.Helper()
	return &shell{t: t, binary: harness.Binary(t), bootstrap: harness.Dev(t, harness.DevOptions{}).Addr}
}

func (s *shell) command(stdin, line string, more ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.t.Context(), s.binary, append(strings.Fields(line), more...)...)
	cmd.Env = append(os.Environ(), "RUNNEL_BOOTSTRAP="+s.bootstrap)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = time.Second
	return cmd
}

// try runs a command and returns what it printed and its exit code.
func (s *shell) try(stdin, line string, more ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	cmd := s.command(stdin, line, more...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	late := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !late.Stop() {
		s.t.Fatalf("runnel %s took longer than %v\n%s%s", line, limit, &out, &errOut)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// run runs a command that must succeed, and returns its standard output.
func (s *shell) run(stdin, line string, more ...string) string {
	s.t.Helper()
	stdout, stderr, code := s.try(stdin, line, more...)
	if code != 0 {
		s.t.Fatalf("runnel %s: exit code %d\n%s", line, code, stderr)
	}
	return stdout
}

// lines splits output, sorted: partitions come in any order.
func lines(s string) []string {
	list := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	slices.Sort(list)
	return list
}

func TestRecordsComeBackAsTheyWereProduced(t *testing.T) {
	s := newShell(t)
	s.run("", "topic create orders --partitions 3")
	var input strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&input, "k%d:value %d\n", i%17, i)
	}
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		s.run(input.String(), "produce orders --key-separator : -H source=test --timestamp 1700000000123 -z "+codec)
	}
	got := lines(s.run("", "consume orders --exit --format", `%k:%s %T %h\n`))
	var want []string
	for _, line := range lines(input.String()) {
		want = append(want, slices.Repeat([]string{line + " 1700000000123 source=test"}, 5)...)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d records came back, %d were produced, or they differ", len(got), len(want))
	}
}

func TestJSONCopiesRecordsExactly(t *testing.T) {
	s := newShell(t)
	s.run("", "topic create from -p 2")
	s.run("", "topic create to -p 2")
	input := `{"key":"a","value":"text \"quoted\" ü","timestamp":1700000000001,"headers":[{"key":"h","value":"1"},{"key":"h","value":null}]}
{"key":null,"value":null,"timestamp":1700000000002,"partition":1}
{"key":"","value":"","timestamp":1700000000003}
{"key_base64":"/wA=","value_base64":"gIE=","timestamp":1700000000004,"partition":0}
`
	s.run(input, "produce from --format json")
	first := s.run("", "consume from --exit --json")
	s.run(first, "produce to --format json")
	second := strings.ReplaceAll(s.run("", "consume to --exit --json"), `"topic":"to"`, `"topic":"from"`)
	if !slices.Equal(lines(first), lines(second)) {
		t.Errorf("the copy differs:\n%s\n%s", first, second)
	}
	for _, want := range []string{`"key":"a","value":"text \"quoted\" ü","headers":[{"key":"h","value":"1"},{"key":"h","value":null}]`,
		`"key":null,"value":null`, `"key":"","value":""`, `"key_base64":"/wA=","value":null,"value_base64":"gIE="`} {
		if !strings.Contains(first, want) {
			t.Errorf("missing %s in\n%s", want, first)
		}
	}
}

func TestConsumeStartsAndStopsWhereItIsTold(t *testing.T) {
	s := newShell(t)
	s.run("", "topic create t -p 1")
	s.run("a\nb\n", "produce t --timestamp 1000")
	s.run("c\nd\n", "produce t --timestamp 2000")
	for line, want := range map[string]string{
		"consume t --exit":                "a b c d",
		"consume t --exit --from 1":       "b c d",
		"consume t --exit --from -1":      "d",
		"consume t --exit --from @1500":   "c d",
		"consume t --exit --from @3000":   "",
		"consume t --exit --from end":     "",
		"consume t --count 2":             "a b",
		"consume t --from 2 -n 1":         "c",
		"consume t --partition 0 -e -n 9": "a b c d",
	} {
		if got := strings.Join(strings.Fields(s.run("", line)), " "); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestGroups(t *testing.T) {
	s := newShell(t)
	s.run("", "topic create t -p 3")
	s.run(strings.Repeat("x\n", 300), "produce t")
	if n := len(lines(s.run("", "consume t -g g --count 100"))); n != 100 {
		t.Errorf("%d records, want 100", n)
	}
	if n := len(lines(s.run("", "consume t -g g --exit"))); n != 200 {
		t.Errorf("%d records after 100 were committed, want 200", n)
	}
	if out := s.run("", "consume t -g g --exit"); out != "" {
		t.Errorf("read again: %q", out)
	}
	s.run("y\n", "produce t")
	var groups []groupShown
	if err := json.Unmarshal([]byte(s.run("", "group describe g --json")), &groups); err != nil {
		t.Fatal(err)
	}
	if len(groups) != 1 || groups[0].Type != "classic" || groups[0].State != "Empty" || groups[0].Lag != 1 {
		t.Errorf("%+v", groups)
	}
	if out := s.run("", "group list"); !strings.Contains(out, "g ") {
		t.Error(out)
	}
	s.run("", "group delete g")
	if _, stderr, code := s.try("", "group describe g"); code != 1 || !strings.Contains(stderr, "GROUP_ID_NOT_FOUND") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestInterruptCommitsWhatWasPrinted(t *testing.T) {
	s := newShell(t)
	s.run("", "topic create t")
	s.run("a\nb\n", "produce t")
	cmd := s.command("", "consume t -g g")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	var printed []byte
	for !bytes.Contains(printed, []byte("a\nb\n")) {
		part := make([]byte, 64)
		n, err := out.Read(part)
		if printed = append(printed, part[:n]...); err != nil {
			t.Fatalf("ended after %q: %v", printed, err)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("an interrupt is the ordinary end: %v", err)
	}
	if rest := s.run("", "consume t -g g --exit"); rest != "" {
		t.Errorf("printed again: %q", rest)
	}
}

func TestTopics(t *testing.T) {
	s := newShell(t)
	s.run("", "topic create a b --partitions 2 --replication-factor 3 --config retention.ms=5000")
	s.run("", "topic create a --if-not-exists")
	s.run("", "topic create c --validate-only")
	if got := strings.Fields(s.run("", "topic list")); !slices.Equal(got[3:], []string{"a", "2", "3", "b", "2", "3"}) {
		t.Errorf("%q", got)
	}
	s.run("", "topic add-partitions a --total 5")
	s.run("v\n", "produce a -p 4")
	out := s.run("", "topic describe a")
	for _, want := range []string{"5 partitions", "about 1 record\n", "retention.ms  5000"} {
		if !strings.Contains(out, want) {
			t.Errorf("missing %q in\n%s", want, out)
		}
	}
	s.run("", "topic delete a b")
	s.run("", "topic delete a --if-exists")
	for line, want := range map[string]string{
		"topic delete a":                       "UNKNOWN_TOPIC_OR_PARTITION",
		"topic describe a":                     "runnel topic create",
		"topic create x/y":                     "INVALID_TOPIC_EXCEPTION",
		"topic create x --config retention=5":  "INVALID_CONFIG",
		"topic create x -p 0":                  "INVALID_PARTITIONS",
		"topic create b --config cleanup.p=no": "INVALID_CONFIG",
	} {
		if _, stderr, code := s.try("", line); code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, want %q in %s", line, code, want, stderr)
		}
	}
}

func TestFailedRecordsAreCounted(t *testing.T) {
	s := newShell(t)
	s.run("", "topic create t --config max.message.bytes=1000")
	stdout, stderr, code := s.try(strings.Repeat("x", 5000)+"\n", "produce t --json")
	if code != 1 || !strings.Contains(stderr, "MESSAGE_TOO_LARGE") || !strings.Contains(stdout, `"failed": 1`) {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

func TestBrokersOfOneProcess(t *testing.T) {
	log, err := servers.NewLog("")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(harness.Binary(t), "dev", "--brokers", "3", "--listen", "127.0.0.1:0", "--admin", "",
		"--set", "group.initial.rebalance.delay.ms=0", "--set", "num.partitions=6")
	process, err := servers.Start("runnel dev", cmd, syscall.SIGKILL, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Stop(syscall.SIGTERM, limit); err != nil {
			t.Error(err)
		}
	})
	deadline := time.Now().Add(limit)
	for !strings.Contains(log.Tail(), "Ctrl-C stops it.") {
		if time.Now().After(deadline) {
			t.Fatalf("not ready:\n%s", log.Tail())
		}
		time.Sleep(10 * time.Millisecond)
	}
	_, after, _ := strings.Cut(log.Tail(), "Kafka clients")
	first, _, _ := strings.Cut(after, "\n")
	addresses := strings.Split(strings.TrimSpace(first), ", ")
	if len(addresses) != 3 {
		t.Fatalf("%q", addresses)
	}
	var input strings.Builder
	for i := range 3000 {
		fmt.Fprintln(&input, i)
	}
	for i, address := range addresses {
		s := &shell{t: t, binary: harness.Binary(t), bootstrap: address}
		if out := s.run("", "cluster describe"); strings.Count(out, "127.0.0.1:") != 3 {
			t.Errorf("broker %d knows:\n%s", i, out)
		}
		topic := fmt.Sprint("t", i)
		s.run(input.String(), "produce "+topic)
		other := &shell{t: t, binary: s.binary, bootstrap: addresses[(i+1)%3]}
		if got := other.run("", "consume "+topic+" --exit -g g"); !slices.Equal(lines(got), lines(input.String())) {
			t.Errorf("what was written to broker %d and read from the next differs", i)
		}
	}
}

func TestTransactions(t *testing.T) {
	s := newShell(t)
	s.run("", "topic create t -p 2")
	client, err := harness.Client(t, kgo.SeedBrokers(s.bootstrap), kgo.TransactionalID("orders"), kgo.DefaultProduceTopic("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(harness.Soon(t), kgo.StringRecord("x")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if out := s.run("", "txn list --state Ongoing"); !strings.Contains(out, "orders") || !strings.Contains(out, "Ongoing") {
		t.Error(out)
	}
	if out := s.run("", "txn list --pattern other.*"); strings.Contains(out, "orders") {
		t.Error(out)
	}
	var txns []struct {
		ID     string `json:"transactional_id"`
		State  string
		Topics []struct{ Topic string }
	}
	if err := json.Unmarshal([]byte(s.run("", "txn describe orders --json")), &txns); err != nil {
		t.Fatal(err)
	}
	if len(txns) != 1 || txns[0].ID != "orders" || txns[0].State != "Ongoing" || len(txns[0].Topics) != 1 {
		t.Errorf("%+v", txns)
	}
	if out := s.run("", "txn describe orders"); !strings.Contains(out, "orders, Ongoing, began") || !strings.Contains(out, "t: ") {
		t.Error(out)
	}
	if out := s.run("", "txn abort orders"); !strings.Contains(out, "orders") {
		t.Error(out)
	}
	if out := s.run("", "txn describe orders"); strings.Contains(out, "Ongoing") {
		t.Error(out)
	}
	if _, stderr, code := s.try("", "txn abort orders"); code != 1 || !strings.Contains(stderr, "no ongoing transaction") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, stderr, code := s.try("", "txn describe none"); code != 1 || !strings.Contains(stderr, "TRANSACTIONAL_ID_NOT_FOUND") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if err := client.EndTransaction(harness.Soon(t), kgo.TryCommit); err == nil {
		t.Error("a producer whose transaction was aborted commits")
	}
	if out := s.run("", "cluster describe"); !strings.Contains(out, "transactions") {
		t.Errorf("no role in\n%s", out)
	}
}
