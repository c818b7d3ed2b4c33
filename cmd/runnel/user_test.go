package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/broker/auth/oidctest"
	"github.com/runnel-io/runnel/broker/config"
)

// TestUsers: the first user makes another, who then comes in by all mechanisms until deleted.
func TestUsers(t *testing.T) {
	provider := oidctest.New(t)
	bootstrap := startDevAs(t, func(c *config.Config) {
		c.Listeners[0].Protocol = config.SASLPlaintext
		c.SASL.Mechanisms = []string{"SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN", "OAUTHBEARER"}
		c.SASL.OAuthBearer.ExpectedIssuer, c.SASL.OAuthBearer.ExpectedAudience = provider.Issuer(), []string{"kafka"}
		c.Auth = config.Auth{BootstrapUser: "root", BootstrapPassword: "first"}
	})
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	root := []string{"RUNNEL_BOOTSTRAP=" + bootstrap, "RUNNEL_USER=root", "RUNNEL_PASSWORD=first", "RUNNEL_NEW_PASSWORD=old word"}
	right, token, wrong := file("right", "a word\n"), file("token", provider.Token("carol", "kafka", nil)+"\n"), file("wrong", "x")
	nobody := root[:1]
	for _, step := range []struct {
		name    string
		environ []string
		line    string
		code    int
		want    string
	}{
		{"the first", root, "user list", 0, "root  SCRAM-SHA-256  4096\nroot  SCRAM-SHA-512  4096\n"},
		{"another", root, "user create alice --iterations 8192", 0, "created user alice\n"},
		{"who exists", root, "user create alice", exitError, "exists; --replace"},
		{"changed", root, "user create alice --replace --new-password-file " + right, 0, "created user alice\n"},
		{"with one credential", root, "user create bob --mechanism scram-sha-256 --json", 0, `"bob"`},
		{"all", root, "user list --json", 0, `"SCRAM-SHA-512"`},
		{"by default", nobody, "topic list --user alice --password-file " + right, 0, ""},
		{"by SHA-256", nobody, "topic list --sasl-mechanism SCRAM-SHA-256 --user alice --password-file " + right, 0, ""},
		{"by PLAIN", nobody, "topic list --sasl-mechanism plain --user alice --password-file " + right, 0, ""},
		{"by a token", nobody, "topic create t --token-file " + token, 0, "t"},
		{"wrong", nobody, "topic list --user alice --password-file " + wrong, exitError, "SASL_AUTHENTICATION_FAILED"},
		{"nobody", nobody, "topic list", exitError, "--user"},
		{"a credential that is not there", []string{root[0], "RUNNEL_USER=bob", "RUNNEL_PASSWORD=old word"}, "topic list", exitError, "SASL_AUTHENTICATION_FAILED"},
		{"gone", root, "user delete alice bob", 0, "deleted user alice\ndeleted user bob\n"},
		{"gone again", root, "user delete alice", exitError, "there is no such user"},
		{"afterwards", nobody, "topic list --user alice --password-file " + right, exitError, "SASL_AUTHENTICATION_FAILED"},
	} {
		out, errOut, code := run(t, step.environ, strings.Fields(step.line)...)
		if code != step.code || !strings.Contains(out+errOut, step.want) {
			t.Errorf("%s: exit %d:\n%s%s", step.name, code, out, errOut)
		}
	}
	open, _ := startDev(t)
	if _, errOut, code := run(t, root, "topic", "list", "--bootstrap", open); code != exitError || !strings.Contains(errOut, "ILLEGAL_SASL_STATE") {
		t.Errorf("exit %d: %s", code, errOut)
	}
}
