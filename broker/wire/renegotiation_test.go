package wire

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
)

// tap keeps what goes over a connection.
type tap struct {
	net.Conn
	sent, received bytes.Buffer
}

func (t *tap) Write(p []byte) (int, error) {
	t.sent.Write(p)
	return t.Conn.Write(p)
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.received.Write(p[:n])
	return n, err
}

// expand is the pseudo-random function of TLS 1.2 (RFC 5246, 5).
func expand(secret []byte, label string, seed []byte, n int) (out []byte) {
	sum := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	seed = append([]byte(label), seed...)
	for a := sum(seed); len(out) < n; a = sum(a) {
		out = append(out, sum(a, seed)...)
	}
	return out[:n]
}

func gcm(t *testing.T, key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	must(t, err)
	aead, err := cipher.NewGCM(block)
	must(t, err)
	return aead
}

// A client of TLS 1.2 that wants to shake hands again, which costs a server ten times what it costs the client, is closed.
func TestRenegotiationEndsTheConnectionAlone(t *testing.T) {
	ca := newAuthority(t)
	f := serveAt(t, ca.secure(t, tls.NoClientCert), answerAtOnce(), Options{})
	other := f.dialTLS(ca.client())
	other.send(1, heartbeatRequest())
	other.receive()

	c := f.dial()
	wire := &tap{Conn: c.Conn}
	var log bytes.Buffer
	config := ca.client()
	config.MaxVersion, config.KeyLogWriter = tls.VersionTLS12, &log
	config.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	c.Conn = tls.Client(wire, config)
	c.send(1, heartbeatRequest()) // the client's record 1 after Finished, which is 0
	c.receive()

	const randomAt = 5 + 4 + 2 // in the first record of either side
	seed := append(bytes.Clone(wire.received.Bytes()[randomAt:randomAt+32]), wire.sent.Bytes()[randomAt:randomAt+32]...)
	master, err := hex.DecodeString(strings.Fields(log.String())[2])
	must(t, err)
	keys := expand(master, "key expansion", seed, 2*16+2*4)
	ours, theirs := gcm(t, keys[:16]), gcm(t, keys[16:32])

	first := wire.sent.Bytes()
	hello := first[5 : 5+binary.BigEndian.Uint16(first[3:])]
	number := binary.BigEndian.AppendUint64(nil, 2)
	about := func(kind byte, n int) []byte {
		return binary.BigEndian.AppendUint16(append(bytes.Clone(number), kind, 3, 3), uint16(n))
	}
	record := []byte{recordTypeHandshake, 3, 3}
	record = binary.BigEndian.AppendUint16(record, uint16(8+len(hello)+16))
	record = append(record, number...)
	record = ours.Seal(record, append(bytes.Clone(keys[32:36]), number...), hello, about(recordTypeHandshake, len(hello)))
	wire.received.Reset()
	_, err = wire.Conn.Write(record)
	must(t, err)
	_, _ = io.Copy(io.Discard, wire)
	const alert, unexpectedMessage = 21, 10 // with a wrong key it would be 20
	got := wire.received.Bytes()
	if len(got) != 5+8+2+16 || got[0] != alert {
		t.Fatalf("want an alert and no more, got %x", got)
	}
	text, err := theirs.Open(nil, append(bytes.Clone(keys[36:40]), got[5:13]...), got[13:], about(alert, 2))
	must(t, err)
	if text[1] != unexpectedMessage {
		t.Errorf("alert %x", text)
	}
	await(t, "the connection ends", func() bool { return f.srv.Connections() == 1 })
	other.send(2, heartbeatRequest())
	other.receive()
}
