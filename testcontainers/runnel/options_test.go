package runnel

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/testcontainers/testcontainers-go"
)

func TestCommandSaysWhatOptionsAskFor(t *testing.T) {
	s := &settings{alias: "my-broker"}
	for _, o := range []Option{
		WithClusterDefault("num.partitions", "5"), WithConfig("memory.cache", "8MiB"), WithConfig("sasl.oauthbearer.clock_skew", "1s"),
		WithSASL("admin", "a secret"), WithACLs(), WithTLS([]byte("certificate"), []byte("key")),
	} {
		if err := o(s); err != nil {
			t.Fatal(err)
		}
	}
	cmd := s.command()
	for _, want := range []string{
		"--set", "num.partitions=5", "--memory-cache=8MiB", "--sasl-oauthbearer-clock-skew=1s", "--authorizer=on", "--listener=OUTSIDE.protocol=SASL_SSL",
		"--listener=INSIDE.protocol=SASL_SSL", "--listener=INSIDE.advertise=my-broker:9093", "--auth-bootstrap-user=admin", "--set=super.users=User:admin",
		"--advertise-from=/runnel-address",
	} {
		if !slices.Contains(cmd, want) {
			t.Errorf("%q is not in %q", want, cmd)
		}
	}
	if slices.ContainsFunc(cmd, func(arg string) bool { return arg == "a secret" || arg == "--auth-bootstrap-password=a secret" }) {
		t.Errorf("everybody who may list processes sees the password: %q", cmd)
	}
	contents := make(map[string]string)
	for _, f := range s.files() {
		b, err := io.ReadAll(f.Reader)
		if err != nil {
			t.Fatal(err)
		}
		contents[f.ContainerFilePath] = string(b)
	}
	if contents[passwordFile] != "a secret" || contents[certificateFile] != "certificate" || contents[keyFile] != "key" {
		t.Errorf("files %q", contents)
	}
}

func TestProtocolIsThatOfTheOptions(t *testing.T) {
	for want, s := range map[string]settings{
		"PLAINTEXT": {}, "SASL_PLAINTEXT": {user: "u"}, "SSL": {key: []byte("k")}, "SASL_SSL": {user: "u", key: []byte("k")},
	} {
		if got := s.protocol(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestFirstAliasIsThatOfTheFirstNetworkWithOne(t *testing.T) {
	var req testcontainers.GenericContainerRequest
	if got := firstAlias(&req); got != "" {
		t.Errorf("%q", got)
	}
	req.Networks, req.NetworkAliases = []string{"a", "b"}, map[string][]string{"b": {"one", "two"}}
	if got := firstAlias(&req); got != "one" {
		t.Errorf("%q", got)
	}
}

// TestTheEndOfALogIsKept: why a broker ended is what it said last.
func TestTheEndOfALogIsKept(t *testing.T) {
	for text, want := range map[string]string{"": "", "short": "short", "begins long ago, and ends here": "ends here", "ends here": "ends here"} {
		for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
			if got, err := end(r, len("ends here")); err != nil || string(got) != want {
				t.Errorf("of %q %q is kept: %v", text, got, err)
			}
		}
	}
	if _, err := end(iotest.ErrReader(io.ErrUnexpectedEOF), 9); err == nil {
		t.Error("no error of a log that cannot be read")
	}
}
