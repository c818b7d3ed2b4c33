package secure

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/harness"
)

const (
	alice = "alice"
	// aliceByCertificate is whom the certificate of alice names.
	aliceByCertificate = "User:CN=alice,O=Runnel"
)

// ways are all combinations of protocol and mechanism by which alice comes in.
func (c *cluster) ways() map[string]login {
	ways := map[string]login{
		"SSL":                          {bootstrap: c.at(mutual), protocol: "SSL", authority: c.trusted.Certificate, pair: c.issue(c.trusted, alice, time.Now().Add(time.Hour))},
		"SASL_PLAINTEXT SCRAM-SHA-256": {bootstrap: c.at(sasl), protocol: "SASL_PLAINTEXT", mechanism: "SCRAM-SHA-256", user: alice, password: password},
	}
	for _, m := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN", "OAUTHBEARER"} {
		ways["SASL_SSL "+m] = login{bootstrap: c.at(encrypted), protocol: "SASL_SSL", mechanism: m, user: alice, password: password, authority: c.trusted.Certificate}
	}
	return ways
}

// TestClientsLogIn: each client, by each way, is who it says it is, to produce and to consume.
func TestClientsLogIn(t *testing.T) {
	c := openCluster(t, clusterOptions{})
	c.user(alice, password)
	tokens.give(t, alice, func() string { return c.provider.Token(alice, audience, nil) })
	c.letAll("of-alice", "User:"+alice, aliceByCertificate)
	ways := c.ways()
	t.Run("by", func(t *testing.T) {
		for name, client := range clients(t) {
			for way, l := range ways {
				topic := "of-alice-" + name + "-" + strings.ReplaceAll(way, " ", "-")
				c.topic(topic, 2)
				t.Run(name+" "+way, func(t *testing.T) {
					t.Parallel()
					const count = 3000
					if err := client.produce(within(t, clientTimeout), l, topic, count); err != nil {
						t.Fatalf("produce: %v", err)
					}
					if err := client.consume(within(t, clientTimeout), l, topic, "readers-"+topic, count); err != nil {
						t.Fatalf("consume: %v", err)
					}
					// The rules, not the login, are what lets alice do it.
					if err := client.produce(within(t, clientTimeout), l, "of-nobody", 1); !client.denied(err, "TOPIC_AUTHORIZATION_FAILED") {
						t.Errorf("produced to the topic of somebody else: %v", err)
					}
				})
			}
		}
	})
}

// refusedWithin is how soon a client must have told of a refusal: well below its time-outs.
const refusedWithin = 20 * time.Second

// TestStrangersAreRefused: who has not what it takes is told so, in the way of each client, and not left waiting.
func TestStrangersAreRefused(t *testing.T) {
	c := openCluster(t, clusterOptions{brokers: 1})
	c.user(alice, password)
	c.letAll("of-alice", "User:*")
	c.topic("of-alice", 1)
	other, err := NewAuthority(t.TempDir(), "other")
	if err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour).Unix()
	foreign := map[string]string{
		"expired token":          c.provider.Token(alice, audience, map[string]any{"iat": past - 3600, "exp": past}),
		"forged token":           c.provider.Forged(true, c.provider.Claims(alice, audience, nil)),
		"unknown key":            c.provider.Forged(false, c.provider.Claims(alice, audience, nil)),
		"token of other issuer":  c.provider.Token(alice, audience, map[string]any{"iss": "http://127.0.0.1:1"}),
		"token for another":      c.provider.Token(alice, "other", nil),
		"token without its name": c.provider.Token(alice, audience, map[string]any{"sub": nil}),
	}
	base := login{bootstrap: c.at(encrypted), protocol: "SASL_SSL", mechanism: "SCRAM-SHA-512", user: alice, password: password, authority: c.trusted.Certificate}
	wrong := map[string]login{}
	with := func(name string, change func(*login)) {
		l := base
		change(&l)
		wrong[name] = l
	}
	for _, m := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"} {
		with("wrong password "+m, func(l *login) { l.mechanism, l.password = m, "wrong horse" })
		with("unknown user "+m, func(l *login) { l.mechanism, l.user = m, "mallory" })
	}
	for name, token := range foreign {
		with(name, func(l *login) {
			l.mechanism, l.user, l.token = "OAUTHBEARER", strings.ReplaceAll(name, " ", "-"), token
		})
		tokens.give(t, strings.ReplaceAll(name, " ", "-"), func() string { return token })
	}
	with("untrusted server", func(l *login) { l.authority = other.Certificate })
	byCertificate := login{bootstrap: c.at(mutual), protocol: "SSL", authority: c.trusted.Certificate}
	wrong["no certificate"] = byCertificate
	byCertificate.pair = c.issue(other, alice, time.Now().Add(time.Hour))
	wrong["certificate of other authority"] = byCertificate
	byCertificate.pair = c.issue(c.trusted, "late", time.Now().Add(-time.Minute))
	wrong["expired certificate"] = byCertificate

	t.Run("by", func(t *testing.T) {
		for name, client := range clients(t) {
			for how, l := range wrong {
				if name == "java" && l.token != "" && how == "token without its name" {
					continue // Java looks for the name itself, and sends no such token
				}
				t.Run(fmt.Sprint(name, " ", how), func(t *testing.T) {
					t.Parallel()
					start := time.Now()
					err := client.produce(within(t, clientTimeout), l, "of-alice", 1)
					if !client.refused(err) {
						t.Errorf("the client says: %v", err)
					}
					if took := time.Since(start); took > refusedWithin {
						t.Errorf("it took %v: %v", took, err)
					}
				})
			}
		}
	})
	if n := c.endOf("of-alice"); n != 0 {
		t.Errorf("strangers produced %d records", n)
	}
}

// endOf is how many records a topic has.
func (c *cluster) endOf(topic string) (n int64) {
	c.t.Helper()
	ends, err := c.admin.ListEndOffsets(harness.Soon(c.t), topic)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, o := range ends.Offsets()[topic] {
		n += o.At
	}
	return n
}
