package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// run runs a command line in this process.
func run(t *testing.T, environ []string, arguments ...string) (out, errOut string, code int) {
	t.Helper()
	return runBeside(t, "", environ, arguments...)
}

// runBeside is run among the processes that a directory shows.
func runBeside(t *testing.T, proc string, environ []string, arguments ...string) (out, errOut string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := &environment{in: strings.NewReader(""), out: &stdout, err: &stderr, proc: proc,
		environ: func() []string { return environ },
		getenv: func(name string) string {
			for _, pair := range environ {
				if value, ok := strings.CutPrefix(pair, name+"="); ok {
					return value
				}
			}
			return ""
		}}
	root := newRoot(env)
	root.SetArgs(arguments)
	if err := root.ExecuteContext(context.Background()); err != nil {
		code = report(env, err)
	}
	return stdout.String(), stderr.String(), code
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	tests := []struct {
		name, line, want string
	}{
		{"unknown command", "topics", `unknown command "topics"`},
		{"unknown subcommand", "topic foo", `unknown command "foo"`},
		{"missing argument", "topic create", "an argument is missing; usage: runnel topic create NAME..."},
		{"unknown flag", "consume t --frm 1", "unknown flag: --frm"},
		{"bad number", "consume t -n x", `invalid value "x" for --count: must be a number`},
		{"codec", "produce t -z brotli", "--compression must be none, gzip"},
		{"acks", "produce t --acks 2", "--acks must be all, 1 or 0"},
		{"input format", "produce t --format csv", "--format must be lines or json"},
		{"flags of lines for json", "produce t --format json -k :", "are for --format lines"},
		{"header", "produce t -H novalue", "not of the form name=value"},
		{"timestamp", "produce t --timestamp yesterday", "RFC 3339"},
		{"start", "consume t --from middle", "--from must be beginning, end"},
		{"template", "consume t --format %z", "%z is not known"},
		{"format", "consume t --format xml", "--format must be text, json or a template"},
		{"isolation", "consume t --isolation none", "--isolation must be"},
		{"partition in group", "consume t -g g -p 1", "--partition does not go with --group"},
		{"topic config", "topic create t --config x", "not of the form name=value"},
		{"total", "topic add-partitions t", "--total must say"},
		{"no broker", "topic list --bootstrap ,", "--bootstrap names no broker"},
		{"broker as URL", "topic list --bootstrap http://localhost:9092", "--bootstrap takes host:port, not a URL"},
		{"broker without a port's number", "topic list --bootstrap localhost:kafka", "must be host:port"},
		{"too many arguments", "produce t u", `unexpected argument "u"; usage: runnel produce TOPIC`},
		{"negative count", "consume t -n -1", "--count must not be negative"},
		{"rule without a resource", "acl create --allow User:a --operation read", "a rule needs a resource"},
		{"rule without a principal", "acl create --topic t --operation read", "a rule needs a resource"},
		{"rule with a wrong principal", "acl create --topic t --operation read --allow alice", "not of the form Type:name"},
		{"rule with a wrong operation", "acl create --topic t --operation fly --allow User:a", `unknown operation "fly"`},
		{"operation that does not exist there", "acl create --group g --operation write --allow User:a", "there is no Write on resources of type Group"},
		{"rule with a wrong pattern", "acl create --topic t --operation read --allow User:a --pattern match", "--pattern must be literal or prefixed"},
		{"rules of flags and of a file", "acl create --topic t --file f", "--file does not go with"},
		{"rules of a file that is missing", "acl create --file /does/not/exist", "no such file"},
		{"deleting nothing", "acl delete", "or give --all alone"},
		{"deleting all and some", "acl delete --all --topic t", "or give --all alone"},
		{"two resources to list", "acl list --topic a --group b", "one resource at a time"},
		{"format of rules", "acl list --format csv", "--format must be table or rules"},
		{"explain without a name", "acl explain User:a read topic", "which topic?"},
		{"explain to nobody", "acl explain alice read topic t", "such as User:alice"},
		{"help of nothing", "help topics", `unknown command "topics"`},
		{"mechanism", "topic list --user u --sasl-mechanism GSSAPI", "--sasl-mechanism must be"},
		{"mechanism without a user", "topic list --sasl-mechanism PLAIN", "needs --user"},
		{"no password", "topic list --user u", "--password-file"},
		{"missing password", "topic list --user u --password-file /does/not/exist", "no such file"},
		{"two logins", "topic list --user u --token-file f", "use one of them"},
		{"token", "topic list --sasl-mechanism OAUTHBEARER", "needs --token-file"},
		{"authority", "topic list --tls-ca /does/not/exist", "no such file"},
		{"key", "topic list --tls-key k", "go together"},
		{"password as argument", "user create u secret", `unexpected argument "secret"`},
		{"no new password", "user create u", "--new-password-file"},
		{"iterations", "user create u --iterations 4095", "from 4096 to 16384"},
		{"credential", "user create u --mechanism PLAIN", "--mechanism must be"},
		{"missing file", "produce t --file /does/not/exist", "no such file"},
		{"missing configuration", "config check --config /does/not/exist", "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, errOut, code := run(t, nil, strings.Fields(tt.line)...)
			if code != exitUsage || !strings.Contains(errOut, tt.want) {
				t.Errorf("exit %d, want %d; %q in\n%s", code, exitUsage, tt.want, errOut)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	_, errOut, code := run(t, []string{"RUNNEL_BOOTSTRAP=" + address}, "topic", "list")
	if code != exitError || !strings.Contains(errOut, "cannot reach "+address) || !strings.Contains(errOut, "runnel dev") {
		t.Errorf("exit %d:\n%s", code, errOut)
	}
}

func TestBrokerErrorsKeepTheirCode(t *testing.T) {
	err := withDetail("topic t", kerr.InvalidConfig, "retention.ms must be a number.")
	if err.Error() != "topic t: retention.ms must be a number (INVALID_CONFIG)" || !errors.Is(err, kerr.InvalidConfig) {
		t.Errorf("%v", err)
	}
	if text := hint(fmt.Errorf("look up topics: %w", &kadm.AuthError{Err: kerr.TopicAuthorizationFailed}), ""); !strings.Contains(text, "runnel acl explain") {
		t.Errorf("who is denied something is told %q", text)
	}
	if err := withDetail("topic t", kerr.UnknownTopicOrPartition, ""); hint(err, "") == "" || !strings.Contains(err.Error(), "UNKNOWN_TOPIC") {
		t.Errorf("%v", err)
	}
}

func TestConfigCheckTellsAllMistakes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "runnel.yaml")
	if err := os.WriteFile(file, []byte("version: 1\nlisten: nowhere\nzoen: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errOut, code := run(t, []string{"RUNNEL_CONFIG=" + file}, "config", "check", "--metastore-url", "memory://")
	if code != exitUsage {
		t.Errorf("exit %d", code)
	}
	for _, want := range []string{"3 mistakes", file + `:2: invalid value "nowhere"`, `:3: unknown key "zoen" (did you mean "zone"?)`, "object_store.url is required"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("missing %q in\n%s", want, errOut)
		}
	}
}

func TestConfigPrint(t *testing.T) {
	environ := []string{"RUNNEL_METASTORE_URL=postgres://u:secret@db/r", "RUNNEL_OBJECT_STORE_URL=s3://bucket"}
	out, errOut, code := run(t, environ, "config", "print", "--zone", "a", "--set", "num.partitions=3", "--json")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	for _, want := range []string{`"origin": "--zone"`, `"origin": "RUNNEL_OBJECT_STORE_URL"`, `"key": "cluster.num.partitions"`, `postgres://u:********@db/r`} {
		if !strings.Contains(out, want) {
			t.Errorf("missing %s in\n%s", want, out)
		}
	}
	if strings.Contains(out, "secret@") || strings.Contains(out, "default") {
		t.Errorf("shows too much:\n%s", out)
	}
	if out, _, _ := run(t, environ, "config", "print", "--effective"); !strings.Contains(out, "# default") || !strings.Contains(out, "segment:\n  size: 8MiB") {
		t.Errorf("effective:\n%s", out)
	}
}

func TestHelpOfEveryCommand(t *testing.T) {
	for _, line := range []string{"", "topic", "topic create", "topic describe", "produce", "consume", "group", "group describe",
		"cluster describe", "config print", "fsck", "segment dump", "segment verify", "bench produce", "bench commit", "user create", "version", "completion bash"} {
		out, errOut, code := run(t, nil, append(strings.Fields(line), "--help")...)
		if code != 0 || !strings.Contains(out, "Usage:") {
			t.Errorf("%q: exit %d, %s%s", line, code, out, errOut)
		}
	}
}
