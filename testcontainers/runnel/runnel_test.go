package runnel_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/runnel-io/runnel/testcontainers/runnel"
)

// start runs a broker until the test ends.
func start(t *testing.T, opts ...testcontainers.ContainerCustomizer) *runnel.RunnelContainer {
	t.Helper()
	needEngine(t)
	c, err := runnel.Run(deadline(t), image, opts...)
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestClientsOnTheHost also holds that clients are told the address that they asked at: they could not go on elsewhere.
func TestClientsOnTheHost(t *testing.T) {
	c, ctx := start(t, runnel.WithClusterDefault("num.partitions", "5"), runnel.WithConfig("linger.max", "1ms")), deadline(t)
	if got, err := roundTrip(ctx, c, "greetings", "hello"); got != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	cl, err := connect(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	meta, err := kadm.NewClient(cl).Metadata(ctx)
	if err != nil {
		t.Fatal(err)
	}
	brokers, err := c.Brokers(ctx)
	told := net.JoinHostPort(meta.Brokers[0].Host, fmt.Sprint(meta.Brokers[0].Port))
	if err != nil || len(meta.Brokers) != 1 || !slices.Equal(brokers, []string{told}) {
		t.Errorf("clients of %v are told of %v: %v", brokers, meta.Brokers, err)
	}
	if n := len(meta.Topics["greetings"].Partitions); n != 5 {
		t.Errorf("%d partitions", n)
	}
	url, err := c.AdminURL(ctx)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", url, resp.Status)
	}
}

// TestClientsInOtherContainers: at the same time as those on the host, each by the listener for it.
func TestClientsInOtherContainers(t *testing.T) {
	needEngine(t)
	ctx := deadline(t)
	nw, err := network.New(ctx)
	testcontainers.CleanupNetwork(t, nw)
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []struct {
		name    string
		aliases []string
	}{{"by an alias", []string{"my-broker", "other"}}, {"by the container's name", nil}} {
		t.Run(of.name, func(t *testing.T) {
			c := start(t, network.WithNetwork(of.aliases, nw))
			if got, err := roundTrip(ctx, c, "greetings", "from the host"); got != "from the host" || err != nil {
				t.Fatalf("%q, %v", got, err)
			}
			inside, err := c.BrokersInNetwork(ctx)
			if err != nil || of.aliases != nil && inside[0] != "my-broker:9093" {
				t.Errorf("%v, %v", inside, err)
			}
			reader, err := testcontainers.Run(ctx, image, network.WithNetwork(nil, nw),
				testcontainers.WithCmd("consume", "greetings", "--exit", "-b", strings.Join(inside, ",")),
				testcontainers.WithWaitStrategy(wait.ForExit().WithExitTimeout(time.Minute)))
			testcontainers.CleanupContainer(t, reader)
			if err != nil {
				t.Fatal(err)
			}
			log, err := reader.Logs(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			if text, err := io.ReadAll(log); err != nil || !strings.Contains(string(text), "from the host") {
				t.Errorf("the other container read %q, %v", text, err)
			}
		})
	}
}

func TestOnlyTheUserLogsIn(t *testing.T) {
	c, ctx := start(t, runnel.WithSASL("admin", "a secret"), runnel.WithACLs()), deadline(t)
	as := func(password string) kgo.Opt {
		return kgo.SASL(scram.Auth{User: "admin", Pass: password}.AsSha512Mechanism())
	}
	if got, err := roundTrip(ctx, c, "greetings", "hello", as("a secret")); got != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	wrong, err := connect(ctx, c, as("another"), kgo.RequestRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	if err := wrong.Ping(ctx); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("another password: %v", err)
	}
	log, err := c.Logs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if text, err := io.ReadAll(log); err != nil || bytes.Contains(text, []byte("a secret")) {
		t.Errorf("the password is in the log, or: %v", err)
	}
}

func TestTLS(t *testing.T) {
	certificate, key := selfSigned(t)
	c, ctx := start(t, runnel.WithTLS(certificate, key)), deadline(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	trusting := kgo.DialTLSConfig(&tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12})
	if got, err := roundTrip(ctx, c, "greetings", "hello", trusting); got != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func selfSigned(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// TestContainerThatIsStartedAgain has another port, of which the broker is told anew.
func TestContainerThatIsStartedAgain(t *testing.T) {
	c, ctx := start(t), deadline(t)
	if err := c.Stop(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := roundTrip(ctx, c, "greetings", "hello again"); got != "hello again" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestWhatDoesNotStartIsGone: its name is free, and the error says what was wrong.
func TestWhatDoesNotStartIsGone(t *testing.T) {
	needEngine(t)
	ctx, name := deadline(t), testcontainers.WithName(fmt.Sprintf("runnel-test-%d", time.Now().UnixNano()))
	c, err := runnel.Run(ctx, image, name, runnel.WithClusterDefault("num.partition", "5"))
	testcontainers.CleanupContainer(t, c)
	if c != nil || err == nil || !strings.Contains(err.Error(), `did you mean "num.partitions"?`) {
		t.Errorf("%v, %v", c, err)
	}
	start(t, name)
}

func TestArgumentsOfTheUserCount(t *testing.T) {
	c, ctx := start(t, testcontainers.WithCmdArgs("--log-level=info")), deadline(t)
	log, err := c.Logs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if text, err := io.ReadAll(log); err != nil || !strings.Contains(string(text), "serving Kafka clients") {
		t.Errorf("%q, %v", text, err)
	}
}

// TestMistakesAreToldWithoutAnEngine needs none.
func TestMistakesAreToldWithoutAnEngine(t *testing.T) {
	for want, opt := range map[string]testcontainers.ContainerCustomizer{
		"no name of a setting":     runnel.WithClusterDefault("a=b", "c"),
		"a name and a password":    runnel.WithSASL("admin", ""),
		"a certificate and its":    runnel.WithTLS(nil, []byte("key")),
		"key of the configuration": runnel.WithConfig("", "1"),
	} {
		if c, err := runnel.Run(context.Background(), "no-such-image", opt); c != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}
