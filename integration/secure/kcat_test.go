package secure

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/harness"
)

// kcat runs the command line client that Debian packages, as a login, with lines on its input.
func kcat(ctx context.Context, t *testing.T, l login, input []string, args ...string) (lines []string, stderr string, err error) {
	t.Helper()
	path, err := exec.LookPath("kcat")
	if err != nil {
		harness.Missing(t, "kcat", err)
	}
	all := []string{"-b", l.bootstrap}
	for name, value := range (librdkafka{}).config(l, nil) {
		if name != "bootstrap.servers" {
			all = append(all, "-X", name+"="+value)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append(all, args...)...)
	cmd.Stdin = strings.NewReader(strings.Join(input, "\n"))
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	return strings.Fields(out.String()), errOut.String(), err
}

// TestKcatLogsIn: what people type to see whether a cluster works: over TLS with each mechanism that has a password, and with a
// certificate; and what they see if it is the wrong one.
func TestKcatLogsIn(t *testing.T) {
	c := openCluster(t, clusterOptions{})
	c.user(alice, password)
	c.letAll("of-alice", "User:"+alice, aliceByCertificate)
	ways := c.ways()
	for way, l := range ways {
		if l.mechanism == "OAUTHBEARER" { // kcat is built without what asks for tokens
			continue
		}
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			topic := "of-alice-kcat-" + strings.ReplaceAll(way, " ", "-")
			c.topic(topic, 1)
			var sent []string
			for i := range 100 {
				sent = append(sent, fmt.Sprint("line-", i))
			}
			if _, said, err := kcat(t.Context(), t, l, sent, "-P", "-t", topic); err != nil {
				t.Fatalf("produce: %v\n%s", err, said)
			}
			got, said, err := kcat(t.Context(), t, l, nil, "-C", "-t", topic, "-o", "beginning", "-e")
			if err != nil || !slices.Equal(got, sent) {
				t.Fatalf("consume: %d lines of %d, %v\n%s", len(got), len(sent), err, said)
			}
			got, said, err = kcat(t.Context(), t, l, nil, "-G", "readers-"+topic, "-X", "auto.offset.reset=earliest", "-c", "100", topic)
			if err != nil || !slices.Equal(got, sent) {
				t.Fatalf("consume in a group: %d lines of %d, %v\n%s", len(got), len(sent), err, said)
			}
			if _, said, err := kcat(t.Context(), t, l, []string{"x"}, "-P", "-t", "of-nobody", "-X", "message.timeout.ms=5000"); err == nil {
				t.Errorf("produced to the topic of somebody else: %s", said)
			}
		})
	}

	other, err := NewAuthority(t.TempDir(), "other")
	if err != nil {
		t.Fatal(err)
	}
	wrong := map[string]login{"no certificate": {bootstrap: c.at(mutual), protocol: "SSL", authority: c.trusted.Certificate}}
	for _, m := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"} {
		l := ways["SASL_SSL "+m]
		l.password = "wrong horse"
		wrong["wrong password "+m] = l
	}
	l := ways["SSL"]
	l.pair = c.issue(other, alice, time.Now().Add(time.Hour))
	wrong["certificate of another authority"] = l
	l = ways["SASL_SSL PLAIN"]
	l.authority = other.Certificate
	wrong["untrusted server"] = l
	for how, l := range wrong {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			_, said, err := kcat(t.Context(), t, l, nil, "-L", "-m", "10")
			if err == nil {
				t.Errorf("kcat was let in: %s", said)
			}
			if word := map[bool]string{true: "uthentication", false: "SSL"}[strings.HasPrefix(how, "wrong password")]; !strings.Contains(said, word) {
				t.Errorf("kcat does not say why (%q): %s", word, said)
			}
		})
	}
}
