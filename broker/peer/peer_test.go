package peer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/broker/certs"
	"github.com/runnel-io/runnel/metastore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "a secret of the tests alone"

// fromSecret derives the key once: it is slow on purpose.
var fromSecret = sync.OnceValues(func() (*Credentials, error) { return FromSecret(secret) })

func shared(t *testing.T) *Credentials {
	t.Helper()
	c, err := fromSecret()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// backend answers commits with the sizes of their segments as offsets, and has entries.
type backend struct {
	mu      sync.Mutex
	entries []metastore.Entry
	moved   chan struct{}
	err     error
}

func (b *backend) Sequence(_ context.Context, segments []metastore.SegmentCommit) (metastore.Seq, []metastore.SegmentResult, error) {
	if b.err != nil {
		return 0, nil, b.err
	}
	results := make([]metastore.SegmentResult, len(segments))
	for i, s := range segments {
		for _, run := range s.Runs {
			results[i].Runs = append(results[i].Runs, make([]metastore.BatchResult, len(run.Batches)))
			results[i].Runs[0][0].Offset = metastore.Offset(s.Size)
		}
	}
	return 5, results, nil
}

func (b *backend) SequenceTxns(_ context.Context, requests []metastore.TxnRequest) (metastore.Seq, []metastore.TxnResult, error) {
	if b.err != nil {
		return 0, nil, b.err
	}
	results := make([]metastore.TxnResult, len(requests))
	for i, r := range requests {
		results[i] = metastore.TxnResult{Producer: metastore.NoProducerID, Epoch: -1, Err: metastore.ErrTxnMoved}
		if end, ok := r.(metastore.EndTxn); ok {
			results[i] = metastore.TxnResult{Producer: end.Producer, Epoch: end.Epoch + 1}
		}
	}
	return 6, results, nil
}

func (b *backend) After(ctx context.Context, seq metastore.Seq) ([]metastore.Entry, error) {
	for {
		b.mu.Lock()
		entries, moved := b.entries, b.moved
		b.mu.Unlock()
		if int(seq) < len(entries) {
			return entries[seq:], nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (b *backend) fold(payload string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var at metastore.Position
	if n := len(b.entries); n > 0 {
		at = b.entries[n-1].Position
	}
	b.entries = append(b.entries, at.Next([]byte(payload)))
	close(b.moved)
	b.moved = make(chan struct{})
}

func inCluster(id string) func() string { return func() string { return id } }

// serve runs a server until the test ends.
func serve(t *testing.T, c *Credentials, b *backend) (address string) {
	t.Helper()
	return serveBlocks(t, c, b, nil)
}

func serveBlocks(t *testing.T, c *Credentials, b *backend, blocks Blocks) (address string) {
	t.Helper()
	address, _ = serveUntil(t, c, b, blocks)
	return address
}

// serveUntil runs a server until stop is called, or the test ends.
func serveUntil(t *testing.T, c *Credentials, b *backend, blocks Blocks) (address string, stop func()) {
	t.Helper()
	return serveWith(t, c, b, ServerOptions{Blocks: blocks})
}

func serveWith(t *testing.T, c *Credentials, b *backend, opts ServerOptions) (address string, stop func()) {
	t.Helper()
	b.moved = make(chan struct{})
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- NewServer(c, inCluster("one"), b, b, opts).Run(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return ln.Addr().String(), stop
}

func newClient(t *testing.T, c *Credentials, cluster string) *Client {
	t.Helper()
	client := NewClient(c, inCluster(cluster), ClientOptions{})
	t.Cleanup(client.Close)
	return client
}

func segment(size int64) metastore.SegmentCommit {
	return metastore.SegmentCommit{ID: metastore.NewSegmentID(time.Now()), Size: size, Runs: []metastore.RunCommit{{
		Batches: []metastore.BatchCommit{{Length: 10, Records: 1, ProducerID: metastore.NoProducerID}},
	}}}
}

func TestCommitsGoToAnotherBrokerAndComeBack(t *testing.T) {
	b := &backend{}
	address, client := serve(t, shared(t), b), newClient(t, shared(t), "one")
	through, results, err := client.Commit(t.Context(), address, []metastore.SegmentCommit{segment(100), segment(200)})
	if err != nil {
		t.Fatal(err)
	}
	if through != 5 || len(results) != 2 || results[1].Runs[0][0].Offset != 200 {
		t.Errorf("through %d: %+v", through, results)
	}
	b.err = metastore.ErrConflict
	if _, _, err := client.Commit(t.Context(), address, []metastore.SegmentCommit{segment(100)}); !errors.Is(err, ErrRefused) {
		t.Errorf("a failed commit: %v", err)
	}
	if _, _, err := client.Commit(t.Context(), address, []metastore.SegmentCommit{segment(5)}); !errors.Is(err, metastore.ErrInvalidCommit) {
		t.Errorf("an invalid commit: %v", err)
	}
}

func TestEntriesAreStreamedAsTheyAreFolded(t *testing.T) {
	b := &backend{}
	address, client := serve(t, shared(t), b), newClient(t, shared(t), "one")
	b.fold("first")
	b.fold("second")
	var seen []string
	err := client.Entries(t.Context(), address, 1, func(e metastore.Entry) bool {
		seen = append(seen, string(e.Payload))
		if e.Position != b.entries[e.Seq-1].Position {
			t.Errorf("entry %d is at %v", e.Seq, e.Position)
		}
		if len(seen) == 1 {
			b.fold("")
		}
		return len(seen) < 2
	})
	if err != nil || strings.Join(seen, ",") != "second," {
		t.Errorf("%q (%v)", seen, err)
	}
}

// slowBackend answers a commit when the test says so.
type slowBackend struct {
	backend
	asked, answer chan struct{}
}

func (b *slowBackend) Sequence(ctx context.Context, segments []metastore.SegmentCommit) (metastore.Seq, []metastore.SegmentResult, error) {
	close(b.asked)
	select {
	case <-b.answer:
		return b.backend.Sequence(ctx, segments)
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
}

func TestCommitsInFlightAreAnsweredWhenAServerStops(t *testing.T) {
	b := &slowBackend{backend: backend{moved: make(chan struct{})}, asked: make(chan struct{}), answer: make(chan struct{})}
	b.fold("first")
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- NewServer(shared(t), inCluster("one"), b, b, ServerOptions{}).Run(ctx, ln) }()
	client := newClient(t, shared(t), "one")
	following, streamed := make(chan struct{}), make(chan error, 1)
	go func() {
		streamed <- client.Entries(t.Context(), ln.Addr().String(), 0, func(metastore.Entry) bool {
			close(following)
			return true
		})
	}()
	<-following
	committed := make(chan error, 1)
	go func() {
		_, _, err := client.Commit(t.Context(), ln.Addr().String(), []metastore.SegmentCommit{segment(100)})
		committed <- err
	}()
	<-b.asked
	stop()
	<-streamed // the stream ends first
	close(b.answer)
	if err := <-committed; err != nil {
		t.Errorf("commit: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestStrangersAreKeptOut(t *testing.T) {
	address := serve(t, shared(t), &backend{})
	other, err := FromSecret("another secret of the same length")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := newClient(t, other, "one").Ping(ctx, address); err == nil {
		t.Error("a client with another secret is served")
	}
	elsewhere := serve(t, other, &backend{})
	if err := newClient(t, shared(t), "one").Ping(ctx, elsewhere); !errors.Is(err, errStranger) {
		t.Errorf("a server with another secret is believed: %v", err)
	}
	if err := newClient(t, shared(t), "two").Ping(ctx, address); !errors.Is(err, ErrRefused) {
		t.Errorf("a broker of another cluster is served: %v", err)
	}
	naked := &http.Client{Transport: &http.Transport{TLSClientConfig: shared(t).client().Clone()}}
	naked.Transport.(*http.Transport).TLSClientConfig.Certificates = nil
	defer naked.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+pingPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(clusterHeader, "one")
	if res, err := naked.Do(req); err == nil {
		res.Body.Close()
		t.Error("a client without a certificate is served")
	}
	if err := newClient(t, shared(t), "one").Ping(ctx, address); err != nil {
		t.Errorf("a broker of the cluster is not served: %v", err)
	}
}

func TestShortSecretsAreRefused(t *testing.T) {
	if _, err := FromSecret(strings.Repeat("x", LeastSecret-1)); err == nil {
		t.Error("a secret of 15 bytes is taken")
	}
}

func TestBytesThatAreNoRequestAreRefused(t *testing.T) {
	address := serve(t, shared(t), &backend{})
	client := newClient(t, shared(t), "one")
	for _, body := range []string{"", "\x02", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f", strings.Repeat("x", maxCommitBytes+1)} {
		res, err := client.send(t.Context(), http.MethodPost, address, commitPath, []byte(body))
		if err == nil {
			res.Body.Close()
			t.Errorf("%d bytes are taken for a commit", len(body))
		}
	}
	for _, after := range []string{"", "?after=-1", "?after=x"} {
		if res, err := client.send(t.Context(), http.MethodGet, address, entriesPath+after, nil); err == nil {
			res.Body.Close()
			t.Errorf("entries%s is answered", after)
		}
	}
	if res, err := client.send(t.Context(), http.MethodPost, address, "/v2/commit", nil); err == nil {
		res.Body.Close()
		t.Error("a path of another version is answered")
	}
}

// TestASilentPeerIsGivenUp has a server that accepts a stream and says nothing, as one that is paused.
func TestASilentPeerIsGivenUp(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	paused := &http.Server{TLSConfig: shared(t).server.Clone(), Protocols: http1(), ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(gone)
		})}
	served := make(chan error, 1)
	go func() { served <- paused.ServeTLS(ln, "", "") }()
	defer func() {
		_ = paused.Close()
		<-served
	}()
	client := newClient(t, shared(t), "one")
	client.silence = 50 * time.Millisecond
	err = client.Entries(t.Context(), ln.Addr().String(), 0, func(metastore.Entry) bool { return true })
	if err == nil {
		t.Error("a stream without a sign of life ended without an error")
	}
	<-gone // the connection is closed
}

func TestCertificatesOfTheAuthorityAreAccepted(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := newAuthority(t, dir, "ours"), newAuthority(t, dir, "theirs")
	server := filesFor(t, ours, ours.file)
	address := serve(t, server, &backend{})
	if err := newClient(t, filesFor(t, ours, ours.file), "one").Ping(t.Context(), address); err != nil {
		t.Errorf("a broker of the authority: %v", err)
	}
	if err := newClient(t, filesFor(t, theirs, ours.file), "one").Ping(t.Context(), address); err == nil {
		t.Error("a certificate of another authority is accepted")
	}
	if err := newClient(t, filesFor(t, ours, theirs.file), "one").Ping(t.Context(), address); err == nil {
		t.Error("a server of another authority is believed")
	}
}

type authority struct {
	dir, file   string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{dir: dir, file: filepath.Join(dir, name+".pem")}
	a.certificate = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)}
	a.key = newKey(t)
	writePEM(t, a.file, "CERTIFICATE", a.sign(t, a.certificate, a.key))
	return a
}

func (a *authority) sign(t *testing.T, c *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// filesFor makes a broker's certificate that an authority signs, and trusts the authority of a file.
func filesFor(t *testing.T, by *authority, trusted string) *Credentials {
	t.Helper()
	key := newKey(t)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "broker")
	writePEM(t, name+".key", "PRIVATE KEY", der)
	writePEM(t, name+".pem", "CERTIFICATE", by.sign(t, &x509.Certificate{SerialNumber: big.NewInt(2),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}, key))
	files, err := certs.NewWatcher(certs.Options{}).Open("peers", certs.Files{Certificate: name + ".pem", Key: name + ".key", Authority: trusted})
	if err != nil {
		t.Fatal(err)
	}
	return FromConfigs(files.Mutual())
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
