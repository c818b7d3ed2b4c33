package secure

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/xdg-go/scram"

	"github.com/runnel-io/runnel/integration/harness"
)

// TestAttacksLeaveNothingBehind: after everything that strangers can do at the doors, the broker has as much memory and as
// many goroutines as before, its log holds no bytes of theirs as they were, and real clients work.
func TestAttacksLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	c := openCluster(t, clusterOptions{brokers: 1})
	c.user(alice, password)
	c.letAll("of-alice", "User:"+alice)
	c.topic("of-alice", 1)
	l := login{bootstrap: c.at(encrypted), protocol: "SASL_SSL", mechanism: "SCRAM-SHA-256", user: alice, password: password, authority: c.trusted.Certificate}
	works := func(t *testing.T) {
		t.Helper()
		for _, name := range []string{"java", "franz-go"} {
			if err := clients(t)[name].produce(within(t, clientTimeout), l, "of-alice", 10); err != nil {
				t.Errorf("%s after the attack: %v", name, err)
			}
		}
	}
	works(t)
	c.admin.Close()
	base := measure(t, c.brokers[0])
	t.Logf("before: %+v", base)
	for _, attack := range []struct {
		name string
		run  func(t *testing.T, c *cluster)
	}{
		{"frames before a login", framesBeforeLogin},
		{"half-open connections and slow ones", halfOpen},
		{"renegotiation", renegotiation},
		{"few iterations", fewIterations},
		{"a login played again", replayedLogin},
		{"tokens without a signature", unsignedTokens},
		{"large tokens", largeTokens},
		{"names with control characters", controlCharacters},
	} {
		t.Run(attack.name, func(t *testing.T) {
			attack.run(t, c)
			works(t)
		})
	}
	var now use
	// Go collects what nobody needs any more every two minutes at the latest.
	eventuallyOr(t, 150*time.Second, func() bool { now = measure(t, c.brokers[0]); return now.within(base) },
		func() string { return fmt.Sprintf("the broker keeps %+v, it had %+v", now, base) })
	t.Logf("after: %+v", now)
	log := c.brokers[0].Log()
	if strings.Contains(log, "panic") {
		t.Error("the broker panicked")
	}
	if i := strings.IndexFunc(log, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }); i >= 0 {
		t.Errorf("the log has control characters: %q", log[max(0, i-100):min(len(log), i+100)])
	}
}

// use is what a broker holds.
type use struct {
	Goroutines, HeapMiB, ResidentMiB, Descriptors float64
}

// within allows for what a broker does on the side.
func (u use) within(base use) bool {
	return u.Goroutines <= base.Goroutines+50 && u.HeapMiB <= base.HeapMiB+64 && u.ResidentMiB <= base.ResidentMiB+300 && u.Descriptors <= base.Descriptors+30
}

func measure(t *testing.T, b *harness.Broker) use {
	t.Helper()
	values := make(map[string]float64)
	for line := range strings.Lines(b.Metrics()) {
		if name, text, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			values[name], _ = strconv.ParseFloat(text, 64)
		}
	}
	const mib = 1 << 20
	u := use{values["go_goroutines"], values["go_memstats_heap_alloc_bytes"] / mib, values["process_resident_memory_bytes"] / mib, values["process_open_fds"]}
	if u.Goroutines == 0 || u.HeapMiB == 0 || u.ResidentMiB == 0 {
		t.Fatalf("the broker does not tell what it holds: %+v", u)
	}
	return u
}

func eventuallyOr(t *testing.T, d time.Duration, ok func() bool, why func() string) {
	t.Helper()
	for deadline := time.Now().Add(d); !ok(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error(why())
			return
		}
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// ends waits until the other side closes, whatever it says before.
func ends(conn net.Conn, d time.Duration) error {
	_ = conn.SetReadDeadline(time.Now().Add(d))
	n, err := io.Copy(io.Discard, conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the connection is open after %v, %d bytes came", d, n)
	}
	return nil // closed or reset
}

func header(key, version int16, rest ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = append(b, 0, 0, 0, 1, 0xff, 0xff)
	b = append(b, rest...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// framesBeforeLogin sends requests of every key and frames of all kinds of sizes. None but those of a login is served.
func framesBeforeLogin(t *testing.T, c *cluster) {
	t.Helper()
	address := c.brokers[0].Listeners[sasl]
	closed := func(what string, b []byte) {
		t.Helper()
		conn := dial(t, address)
		_, _ = conn.Write(b) // who is closed meanwhile is closed
		if err := ends(conn, 10*time.Second); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		_ = conn.Close()
	}
	for key := int16(-1); key < 100; key++ {
		if key == 17 || key == 18 || key == 36 {
			continue
		}
		for _, version := range []int16{0, 3, 9, 99} {
			closed(fmt.Sprintf("a request of key %d version %d", key, version), header(key, version, 0, 0, 0, 0, 0, 0))
		}
	}
	for _, size := range []int32{-1 << 31, -1, 0, 1, 3, 7, 513 << 10, 1 << 20, 100 << 20, 1<<31 - 1} {
		closed(fmt.Sprintf("a frame of %d bytes", size), binary.BigEndian.AppendUint32(nil, uint32(size)))
	}
	rng := rand.New(rand.NewPCG(7, 7))
	for range 100 {
		noise := make([]byte, 4+rng.IntN(2000))
		for i := range noise {
			noise[i] = byte(rng.Uint32())
		}
		noise[0] |= 0x80 // a negative size
		closed("noise", noise)
	}
	closed("HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	closed("SaslAuthenticate without a handshake", frame(&kmsg.SASLAuthenticateRequest{Version: 2, SASLAuthBytes: []byte("\x00alice\x00" + password)}, 1))
	closed("a handshake for a mechanism that does not exist, and a request", append(frame(&kmsg.SASLHandshakeRequest{Version: 1, Mechanism: "GSSAPI"}, 1), header(3, 9, 0, 0)...))
}

// halfOpen holds thousands of connections that say nothing, and some that say a byte now and then. Clients that log in find room
// beside them, and all are closed in time.
func halfOpen(t *testing.T, c *cluster) {
	t.Helper()
	const wanted, slow = 10_000, 100
	count := wanted
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if room := int(limit.Cur) - 1000; room < count {
		count = room
		t.Logf("the limit of open files is %d: %d half-open connections instead of %d", limit.Cur, count, wanted)
	}
	addresses := []string{c.brokers[0].Listeners[sasl], c.brokers[0].Listeners[encrypted]}
	started := time.Now()
	var conns []net.Conn
	for i := range count {
		conns = append(conns, dial(t, addresses[i%2]))
	}
	for i := range slow { // the beginning of a frame, byte by byte
		if _, err := conns[i].Write([]byte{0}); err != nil {
			continue
		}
	}
	t.Logf("%d connections after %v: %+v", count, time.Since(started), measure(t, c.brokers[0]))
	l := login{bootstrap: c.at(sasl), protocol: "SASL_PLAINTEXT", mechanism: "SCRAM-SHA-256", user: alice, password: password}
	eventuallyOr(t, 10*time.Second, func() bool { return logsIn(t, l) == nil }, func() string { return fmt.Sprint("a client beside them: ", logsIn(t, l)) })
	slowly := time.NewTicker(time.Second)
	defer slowly.Stop()
	done := make(chan error, 1)
	go func() {
		var failed error
		for _, conn := range conns {
			failed = errors.Join(failed, ends(conn, time.Until(started.Add(60*time.Second))))
			if failed != nil {
				break
			}
		}
		done <- failed
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("connections that never log in: %v", err)
			}
			t.Logf("all were closed %v after the first was opened", time.Since(started))
			for _, conn := range conns {
				_ = conn.Close()
			}
			return
		case <-slowly.C:
			for _, conn := range conns[:slow] {
				_, _ = conn.Write([]byte{0}) // who is closed stays so
			}
		}
	}
}

// renegotiation asks for other keys within a connection of TLS 1.2.
func renegotiation(t *testing.T, c *cluster) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	cmd := exec.CommandContext(ctx, "openssl", "s_client", "-connect", c.brokers[0].Listeners[encrypted], "-tls1_2", "-CAfile", c.trusted.Certificate)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (apt-get install openssl)", err)
	}
	var said bytes.Buffer
	asked := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		if strings.HasPrefix(lines.Text(), "    Verify return code: 0") && !asked {
			asked = true
			if _, err := io.WriteString(in, "R\n"); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = cmd.Wait()
	if !asked || !strings.Contains(said.String(), "RENEGOTIATING") {
		t.Fatalf("openssl did not renegotiate: %s", said.String())
	}
	if ctx.Err() != nil {
		t.Error("the connection is still there")
	}
	if err == nil {
		t.Error("the broker renegotiated")
	}
}

// fewIterations asks for credentials that are cheap to guess, and logs in with what only such would take.
func fewIterations(t *testing.T, c *cluster) {
	t.Helper()
	admin := kadm.NewClient(c.client(login{bootstrap: c.at(open), protocol: "PLAINTEXT"}))
	for _, iterations := range []int32{-1, 0, 1, 4095, 1 << 30} {
		altered, err := admin.AlterUserSCRAMs(harness.Soon(t), nil, []kadm.UpsertSCRAM{
			{User: "weak", Mechanism: kadm.ScramSha256, Iterations: iterations, Salt: []byte("salt"), SaltedPassword: []byte("0123456789abcdef0123456789abcdef")},
		})
		if err != nil {
			t.Fatal(err)
		}
		if altered["weak"].Err == nil {
			t.Errorf("credentials of %d iterations were made", iterations)
		}
	}
}

// saslConn is a connection on which a mechanism was agreed upon.
type saslConn struct {
	net.Conn
	t    *testing.T
	last int32
}

func startSASL(t *testing.T, address, mechanism string) *saslConn {
	t.Helper()
	s := &saslConn{Conn: dial(t, address), t: t}
	resp := s.ask(&kmsg.SASLHandshakeRequest{Version: 1, Mechanism: mechanism}).(*kmsg.SASLHandshakeResponse)
	if resp.ErrorCode != 0 {
		t.Fatalf("handshake for %s: error %d", mechanism, resp.ErrorCode)
	}
	return s
}

// ask returns nil if the connection ends instead.
func (s *saslConn) ask(req kmsg.Request) kmsg.Response {
	s.t.Helper()
	s.last++
	_ = s.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := s.Write(frame(req, s.last)); err != nil {
		return nil
	}
	var size [4]byte
	if _, err := io.ReadFull(s, size[:]); err != nil {
		return nil
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(s, b); err != nil {
		return nil
	}
	resp := req.ResponseKind()
	b = b[4:]
	if resp.IsFlexible() && resp.Key() != 18 {
		b = b[1:]
	}
	if err := resp.ReadFrom(b); err != nil {
		s.t.Fatal(err)
	}
	return resp
}

// token sends one of the exchange's tokens. The code is -1 if the connection ended instead of an answer.
func (s *saslConn) token(b []byte) (reply []byte, code int16) {
	s.t.Helper()
	resp, ok := s.ask(&kmsg.SASLAuthenticateRequest{Version: 2, SASLAuthBytes: b}).(*kmsg.SASLAuthenticateResponse)
	if !ok {
		return nil, -1
	}
	return resp.SASLAuthBytes, resp.ErrorCode
}

func frame(req kmsg.Request, correlation int32) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("attacker")).AppendRequest(nil, req, correlation)
}

const saslAuthenticationFailed = 58

// replayedLogin plays what another client said, as somebody does who has listened.
func replayedLogin(t *testing.T, c *cluster) {
	t.Helper()
	address := c.brokers[0].Listeners[sasl]
	client, err := scram.SHA256.NewClient(alice, password, "")
	if err != nil {
		t.Fatal(err)
	}
	conversation := client.NewConversation()
	first, err := conversation.Step("")
	if err != nil {
		t.Fatal(err)
	}
	right := startSASL(t, address, "SCRAM-SHA-256")
	challenge, code := right.token([]byte(first))
	if code != 0 {
		t.Fatalf("the first token: error %d", code)
	}
	last, err := conversation.Step(string(challenge))
	if err != nil {
		t.Fatal(err)
	}
	if _, code = right.token([]byte(last)); code != 0 {
		t.Fatalf("the right login: error %d", code)
	}

	again := startSASL(t, address, "SCRAM-SHA-256")
	if other, code := again.token([]byte(first)); code != 0 || bytes.Equal(other, challenge) {
		t.Fatalf("the first token again: error %d, the same challenge: %v", code, bytes.Equal(other, challenge))
	}
	if _, code := again.token([]byte(last)); code != saslAuthenticationFailed {
		t.Errorf("the last token again: error %d", code)
	}
	if err := ends(again, 10*time.Second); err != nil {
		t.Error(err)
	}
	// And as the first and only token.
	cold := startSASL(t, address, "SCRAM-SHA-256")
	if _, code := cold.token([]byte(last)); code != saslAuthenticationFailed && code != -1 {
		t.Errorf("the last token first: error %d", code)
	}
	// A proof of nothing: SCRAM with the challenge's nonce and an empty or wrong proof.
	for _, proof := range [][]byte{nil, make([]byte, 32)} {
		s := startSASL(t, address, "SCRAM-SHA-256")
		challenge, _ := s.token([]byte("n,,n=" + alice + ",r=abcdefgh"))
		nonce, _, _ := strings.Cut(string(challenge), ",")
		if _, code := s.token([]byte("c=biws," + nonce + ",p=" + base64.StdEncoding.EncodeToString(proof))); code != saslAuthenticationFailed && code != -1 {
			t.Errorf("a wrong proof of %d bytes: error %d", len(proof), code)
		}
	}
}

// unsignedTokens claims to be alice without anybody's signature.
func unsignedTokens(t *testing.T, c *cluster) {
	t.Helper()
	claims := c.provider.Claims(alice, audience, nil)
	tokens := map[string]string{
		"HS256 with the public key": c.provider.Symmetric(claims),
		"two parts":                 c.provider.Unsigned(map[string]any{"alg": "none"}, claims),
		"nothing":                   "",
		"dots":                      "..",
	}
	for _, alg := range []string{"none", "None", "NONE", "", "ES256"} {
		tokens["alg "+alg] = c.provider.Unsigned(map[string]any{"alg": alg, "typ": "JWT"}, claims) + "."
	}
	for name, token := range tokens {
		s := startSASL(t, c.brokers[0].Listeners[sasl], "OAUTHBEARER")
		reply, code := s.token([]byte("n,,\x01auth=Bearer " + token + "\x01\x01"))
		if code == 0 { // RFC 7628: the error, which the client acknowledges
			if !bytes.Contains(reply, []byte("status")) {
				t.Errorf("%s is let in: %s", name, reply)
			}
			_, code = s.token([]byte{1})
		}
		if code != saslAuthenticationFailed && code != -1 {
			t.Errorf("%s: error %d", name, code)
		}
	}
}

// largeTokens are of all sizes up to and beyond what is read.
func largeTokens(t *testing.T, c *cluster) {
	t.Helper()
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-512", "OAUTHBEARER"} {
		for _, size := range []int{64 << 10, 500 << 10, 1 << 20, 64 << 20} {
			s := startSASL(t, c.brokers[0].Listeners[sasl], mechanism)
			if _, code := s.token(bytes.Repeat([]byte("a"), size)); code != saslAuthenticationFailed && code != -1 {
				t.Errorf("%s of %d bytes: error %d", mechanism, size, code)
			}
			if err := ends(s, 10*time.Second); err != nil {
				t.Errorf("%s of %d bytes: %v", mechanism, size, err)
			}
			_ = s.Close()
		}
	}
}

// controlCharacters are names that would write to terminals and logs as they like.
func controlCharacters(t *testing.T, c *cluster) {
	t.Helper()
	admin := kadm.NewClient(c.client(login{bootstrap: c.at(open), protocol: "PLAINTEXT"}))
	for _, name := range []string{"al\nice", "al\x1b[2Jice", "al\x00ice", "al\x7fice", "\r", "al\u202eice"} {
		s := startSASL(t, c.brokers[0].Listeners[sasl], "PLAIN")
		if _, code := s.token([]byte("\x00" + name + "\x00" + password)); code != saslAuthenticationFailed && code != -1 {
			t.Errorf("PLAIN as %q: error %d", name, code)
		}
		s = startSASL(t, c.brokers[0].Listeners[sasl], "SCRAM-SHA-256")
		if _, code := s.token([]byte("n,,n=" + name + ",r=abcdefgh")); code == 0 {
			if _, code := s.token([]byte("c=biws,r=abcdefgh,p=AAAA")); code != saslAuthenticationFailed && code != -1 {
				t.Errorf("SCRAM as %q: error %d", name, code)
			}
		}
		s = startSASL(t, c.brokers[0].Listeners[sasl], "OAUTHBEARER")
		reply, code := s.token([]byte("n,,\x01auth=Bearer " + c.provider.Token(name, audience, nil) + "\x01\x01"))
		if code == 0 && !bytes.Contains(reply, []byte("status")) {
			t.Errorf("a token for %q is let in", name)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		altered, err := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: name, Mechanism: kadm.ScramSha256, Iterations: 4096, Password: password}})
		cancel()
		if err == nil && altered[name].Err == nil {
			t.Errorf("user %q was made", name)
		}
	}
}
