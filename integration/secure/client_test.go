package secure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// login is how a client says who it is.
type login struct {
	bootstrap      string
	protocol       string // PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
	mechanism      string
	user, password string
	authority      string // file of the authorities that the client trusts
	pair           Pair   // the client's certificate; zero: none
	token          string // OAUTHBEARER: this one, if the client takes one that it did not fetch; "": that of the endpoint for user
}

func (l login) tls() bool  { return strings.HasSuffix(l.protocol, "SSL") }
func (l login) sasl() bool { return strings.HasPrefix(l.protocol, "SASL_") }

// client is one real client.
type client interface {
	produce(ctx context.Context, l login, topic string, count int) error
	consume(ctx context.Context, l login, topic, group string, count int) error
	// refused tells whether it is a refusal to let the client in, as the client has it.
	refused(err error) bool
	// denied tells whether it is the error of this name, such as TOPIC_AUTHORIZATION_FAILED.
	denied(err error, name string) bool
}

// clients are all of them, by name.
func clients(t *testing.T) map[string]client {
	return map[string]client{
		"java":       javaClient{speakerOf(t, javaSpeaker)},
		"librdkafka": librdkafka{speakerOf(t, librdkafkaSpeaker)},
		"franz-go":   franzGo{},
	}
}

const clientTimeout = 60 * time.Second

func millis(d time.Duration) int64 { return d.Milliseconds() }

// javaClient is Kafka's own.
type javaClient struct{ *speaker }

// config is of all of Java's clients, and of the tools.
func (javaClient) config(l login, more map[string]string) map[string]string {
	c := map[string]string{
		"bootstrap.servers": l.bootstrap, "security.protocol": l.protocol,
		"default.api.timeout.ms": "30000", "request.timeout.ms": "10000",
	}
	if l.tls() {
		c["ssl.truststore.type"], c["ssl.truststore.location"] = "PEM", l.authority
		if l.pair.Both != "" {
			c["ssl.keystore.type"], c["ssl.keystore.location"] = "PEM", l.pair.Both
		}
	}
	if l.sasl() {
		c["sasl.mechanism"] = l.mechanism
		switch {
		case strings.HasPrefix(l.mechanism, "SCRAM"):
			c["sasl.jaas.config"] = fmt.Sprintf("org.apache.kafka.common.security.scram.ScramLoginModule required username=%q password=%q;", l.user, l.password)
		case l.mechanism == "PLAIN":
			c["sasl.jaas.config"] = fmt.Sprintf("org.apache.kafka.common.security.plain.PlainLoginModule required username=%q password=%q;", l.user, l.password)
		default:
			c["sasl.jaas.config"] = fmt.Sprintf("org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId=%q clientSecret=\"secret\";", l.user)
			c["sasl.login.callback.handler.class"] = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler"
			c["sasl.oauthbearer.token.endpoint.url"] = tokens.url()
			// Tokens of seconds are renewed as early as those of hours.
			c["sasl.login.refresh.min.period.seconds"], c["sasl.login.refresh.buffer.seconds"] = "0", "1"
		}
	}
	for name, value := range more {
		c[name] = value
	}
	return c
}

func (c javaClient) produce(ctx context.Context, l login, topic string, count int) error {
	_, err := c.ask(ctx, request{"op": "produce", "topic": topic, "count": count, "millis": millis(clientTimeout),
		"config": c.config(l, map[string]string{"max.block.ms": "30000", "linger.ms": "5"})})
	return err
}

func (c javaClient) consume(ctx context.Context, l login, topic, group string, count int) error {
	_, err := c.ask(ctx, request{"op": "consume", "topic": topic, "count": count, "millis": millis(clientTimeout),
		"config": c.config(l, map[string]string{"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": "false"})})
	return err
}

func (javaClient) refused(err error) bool {
	var e *clientError
	return errors.As(err, &e) && (strings.Contains(e.name, "SaslAuthenticationException") || strings.Contains(e.name, "SslAuthenticationException"))
}

func (javaClient) denied(err error, name string) bool {
	class := ""
	for word := range strings.SplitSeq(strings.TrimSuffix(name, "_FAILED"), "_") {
		class += word[:1] + strings.ToLower(word[1:])
	}
	var e *clientError
	return errors.As(err, &e) && strings.Contains(e.name, class+"Exception")
}

// librdkafka is what most languages build on.
type librdkafka struct{ *speaker }

func (librdkafka) config(l login, more map[string]string) map[string]string {
	c := map[string]string{"bootstrap.servers": l.bootstrap, "security.protocol": l.protocol}
	if l.tls() {
		c["ssl.ca.location"] = l.authority
		if l.pair.Certificate != "" {
			c["ssl.certificate.location"], c["ssl.key.location"] = l.pair.Certificate, l.pair.Key
		}
	}
	if l.sasl() {
		c["sasl.mechanism"] = l.mechanism
		switch {
		case l.mechanism != "OAUTHBEARER":
			c["sasl.username"], c["sasl.password"] = l.user, l.password
		case l.token != "":
			c["token"] = l.token
		default:
			c["sasl.oauthbearer.method"], c["sasl.oauthbearer.token.endpoint.url"] = "oidc", tokens.url()
			c["sasl.oauthbearer.client.id"], c["sasl.oauthbearer.client.secret"] = l.user, "secret"
		}
	}
	for name, value := range more {
		c[name] = value
	}
	return c
}

func (c librdkafka) produce(ctx context.Context, l login, topic string, count int) error {
	_, err := c.ask(ctx, request{"op": "produce", "topic": topic, "count": count, "millis": millis(clientTimeout),
		"config": c.config(l, map[string]string{"enable.idempotence": "true"})})
	return err
}

func (c librdkafka) consume(ctx context.Context, l login, topic, group string, count int) error {
	_, err := c.ask(ctx, request{"op": "consume", "topic": topic, "count": count, "millis": millis(clientTimeout),
		"config": c.config(l, map[string]string{"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": "false"})})
	return err
}

func (librdkafka) refused(err error) bool {
	var e *clientError
	return errors.As(err, &e) && (e.name == "_AUTHENTICATION" || e.name == "_SSL" || e.name == "_TRANSPORT" && strings.Contains(e.message, "alert"))
}

func (librdkafka) denied(err error, name string) bool {
	var e *clientError
	return errors.As(err, &e) && e.name == name
}

// franzGo is the Go client, in this process.
type franzGo struct{}

func (franzGo) options(l login) ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(strings.Split(l.bootstrap, ",")...), kgo.RequestRetries(3), kgo.RecordDeliveryTimeout(30 * time.Second)}
	if l.tls() {
		config, err := l.tlsConfig()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(config))
	}
	switch l.mechanism {
	case "SCRAM-SHA-256":
		opts = append(opts, kgo.SASL(scram.Auth{User: l.user, Pass: l.password}.AsSha256Mechanism()))
	case "SCRAM-SHA-512":
		opts = append(opts, kgo.SASL(scram.Auth{User: l.user, Pass: l.password}.AsSha512Mechanism()))
	case "PLAIN":
		opts = append(opts, kgo.SASL(plain.Auth{User: l.user, Pass: l.password}.AsMechanism()))
	case "OAUTHBEARER":
		opts = append(opts, kgo.SASL(oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			if l.token != "" {
				return oauth.Auth{Token: l.token}, nil
			}
			tokens.mu.Lock()
			defer tokens.mu.Unlock()
			return oauth.Auth{Token: tokens.makers[l.user]()}, nil
		})))
	}
	return opts, nil
}

func (l login) tlsConfig() (*tls.Config, error) {
	authority, err := os.ReadFile(l.authority)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	config.RootCAs.AppendCertsFromPEM(authority)
	if l.pair.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(l.pair.Certificate, l.pair.Key)
		if err != nil {
			return nil, err
		}
		// Whatever the broker asks for: a client that knows that its certificate will be refused shows none.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return config, nil
}

// ping comes in, or is refused. A connection that only ends says neither: a broker that cannot decide at present does so, such as when
// a token's key is unknown and keys were looked for a moment ago.
func (franzGo) ping(ctx context.Context, c *kgo.Client) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.Ping(ctx)
		if !errors.Is(err, io.EOF) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (f franzGo) produce(ctx context.Context, l login, topic string, count int) error {
	opts, err := f.options(l)
	if err != nil {
		return err
	}
	c, err := kgo.NewClient(append(opts, kgo.DefaultProduceTopic(topic), kgo.AllowIdempotentProduceCancellation())...)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := f.ping(ctx, c); err != nil { // a producer waits for a broker that lets it in
		return err
	}
	var first kgo.FirstErrPromise
	for range count {
		c.Produce(ctx, &kgo.Record{Value: make([]byte, 64)}, first.Promise())
	}
	return first.Err()
}

func (f franzGo) consume(ctx context.Context, l login, topic, group string, count int) error {
	opts, err := f.options(l)
	if err != nil {
		return err
	}
	c, err := kgo.NewClient(append(opts, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := f.ping(ctx, c); err != nil {
		return err
	}
	for seen := 0; seen < count; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%d records read: %w", seen, err)
		}
		seen += fetches.NumRecords()
	}
	return c.CommitUncommittedOffsets(ctx)
}

func (franzGo) refused(err error) bool {
	var (
		alert   tls.AlertError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	return errors.Is(err, kerr.SaslAuthenticationFailed) || errors.As(err, &alert) || errors.As(err, &unknown) || errors.As(err, &invalid) ||
		// The client does not read why a token is refused (RFC 7628), and has no error of a type for it.
		err != nil && (strings.Contains(err.Error(), "remote error: tls:") || strings.Contains(err.Error(), "unexpected data in oauth response"))
}

func (franzGo) denied(err error, name string) bool {
	var e *kerr.Error
	return errors.As(err, &e) && e.Message == name
}
