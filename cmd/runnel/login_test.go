package main

import (
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestClientsTrustTheAuthorityTheyAreGiven: and, without one, the system's, which do not know a test's.
func TestClientsTrustTheAuthorityTheyAreGiven(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		login   login
		trusted bool
	}{{login{authority: authority}, true}, {login{tls: true}, false}} {
		c, err := test.login.tlsConfig()
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{TLSClientConfig: c}
		resp, err := (&http.Client{Transport: transport}).Get(server.URL)
		if err == nil {
			_ = resp.Body.Close()
		}
		transport.CloseIdleConnections()
		if (err == nil) != test.trusted {
			t.Errorf("%+v: %v", test.login, err)
		}
	}
	opts, err := (&login{authority: authority, user: "u", password: "p"}).options(&environment{})
	if err != nil || len(opts) != 2 {
		t.Fatalf("%d options, %v", len(opts), err)
	}
	client, err := kgo.NewClient(append(opts, kgo.DialTimeout(connectTimeout))...)
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	if c, err := new(login).tlsConfig(); c != nil || err != nil {
		t.Errorf("TLS by default: %v, %v", c, err)
	}
}

// TestACertificateThatIsNotBelievedIsNotAMissingLogin: the hint is about what is wrong.
func TestACertificateThatIsNotBelievedIsNotAMissingLogin(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	authority := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"of an authority that the system does not know": {[]string{"--tls", "-b", "127.0.0.1:" + port}, "with --tls-ca or RUNNEL_CLIENT_TLS_CA"},
		"of another name": {[]string{"--tls-ca", authority, "-b", "localhost:" + port}, "as its certificate does"},
	} {
		_, errOut, code := run(t, nil, append([]string{"topic", "list"}, test.args...)...)
		if code != exitError || !strings.Contains(errOut, test.says) || strings.Contains(errOut, "--user") {
			t.Errorf("%s: exit %d: %s", name, code, errOut)
		}
	}
}

func TestSecretsAreTheFirstLineOfTheirFile(t *testing.T) {
	for text, want := range map[string]string{"a b": "a b", "a b\n": "a b", "a b\r\n": "a b", " a\nb": " a", "": ""} {
		name := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readSecret(name); got != want || err != nil {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secretFrom(&environment{getenv: os.Getenv}, empty, "", "", ""); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Error(err)
	}
}

// TestNoFlagHidesThoseOfTheLogin: a flag of a command that has the name of one that all have takes its value, and nobody could
// log in to use the command.
func TestNoFlagHidesThoseOfTheLogin(t *testing.T) {
	var look func(cmd *cobra.Command, above map[string]bool)
	look = func(cmd *cobra.Command, above map[string]bool) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if above[f.Name] {
				t.Errorf("%s: --%s is another than that of the commands above", cmd.CommandPath(), f.Name)
			}
		})
		below := maps.Clone(above)
		cmd.PersistentFlags().VisitAll(func(f *pflag.Flag) { below[f.Name] = true })
		for _, c := range cmd.Commands() {
			look(c, below)
		}
	}
	look(newRoot(&environment{getenv: func(string) string { return "" }}), map[string]bool{})
}
