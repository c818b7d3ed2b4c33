package auth

import (
	"crypto/hmac"
	"encoding/base64"
	"strings"
)

// Clients on librdkafka before 2.6.1 put their nonce once more before the nonce that they answer with, against RFC 5802,
// section 5.1, and compute their proof over it. Kafka takes any text before the right nonce (CVE-2024-56128 and what followed it),
// since that holds the server's part still, which is what makes a recorded exchange useless. The library is right to refuse
// it, so what comes from such clients is verified here.

// challenge is what a proof is computed over, beside what it comes with, and what it is checked against.
type challenge struct {
	credential Credential
	gs2, bare  string // the two halves of the client's first message: "n,,", "n=alice,r=..."
	reply      string // the first message of the server: "r=...,s=...,i=..."
}

// split keeps the halves of the client's first message, which has been parsed.
func (c *challenge) split(first string) {
	flag, rest, _ := strings.Cut(first, ",")
	authzid, bare, _ := strings.Cut(rest, ",")
	c.gs2, c.bare = flag+","+authzid+",", bare
}

// nonce is that of the server, which begins with the client's.
func (c *challenge) nonce() string {
	r, _, _ := strings.Cut(c.reply, ",")
	return strings.TrimPrefix(r, "r=")
}

// isLong tells whether a last message has the right nonce with something before it.
func (c *challenge) isLong(final string) bool {
	_, rest, _ := strings.Cut(final, ",")
	r, _, _ := strings.Cut(rest, ",")
	sent, ok := strings.CutPrefix(r, "r=")
	return ok && c.nonce() != "" && len(sent) > len(c.nonce()) && strings.HasSuffix(sent, c.nonce())
}

// verify checks the proof of a last message as it is, whatever its nonce, and returns the server's last message.
func (c *challenge) verify(m Mechanism, final string) (reply string, ok bool) {
	at := strings.LastIndex(final, ",p=")
	if at < 0 {
		return "", false
	}
	binding, _, _ := strings.Cut(final, ",")
	proof, err := base64.StdEncoding.DecodeString(final[at+len(",p="):])
	if err != nil || binding != "c="+base64.StdEncoding.EncodeToString([]byte(c.gs2)) {
		return "", false
	}
	signed := []string{c.bare, ",", c.reply, ",", final[:at]}
	signature := mac(m.hasher(), c.credential.StoredKey, signed...)
	if len(proof) != len(signature) {
		return "", false
	}
	for i := range proof {
		proof[i] ^= signature[i] // the client's key, if it has one
	}
	sum := m.hasher()()
	sum.Write(proof)
	if !hmac.Equal(sum.Sum(nil), c.credential.StoredKey) {
		return "", false
	}
	return "v=" + base64.StdEncoding.EncodeToString(mac(m.hasher(), c.credential.ServerKey, signed...)), true
}
