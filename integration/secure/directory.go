package secure

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Directory is who PostgreSQL asks, by LDAP, whether a password is right: one of Amazon RDS's tokens is, if it is for this
// database and user, was signed by the one key there is, and has not run out. RDS does the same behind its own server.
type Directory struct {
	Region, AccessKey, SecretKey string

	listener net.Listener
	done     sync.WaitGroup

	mu       sync.Mutex
	database string    // host:port
	since    time.Time // tokens made before are refused
	taken    int
	refused  []error
}

// OpenDirectory listens on a port of its own.
func OpenDirectory(region, accessKey, secretKey string) (*Directory, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a directory: %w", err)
	}
	d := &Directory{Region: region, AccessKey: accessKey, SecretKey: secretKey, listener: l}
	d.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			d.done.Go(func() { d.serve(conn) })
		}
	})
	return d, nil
}

// HBA is how users of PostgreSQL log in by the directory: with TLS, by a password in clear within it, as on RDS.
func (d *Directory) HBA(user string) string {
	host, port, _ := net.SplitHostPort(d.listener.Addr().String())
	return fmt.Sprintf("hostssl all %s 127.0.0.1/32 ldap ldapserver=%s ldapport=%s ldapprefix=\"cn=\"\n", user, host, port)
}

// Guard says which database tokens are for, and from which moment on they must be.
func (d *Directory) Guard(database string, since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.database, d.since = database, since.Truncate(time.Second)
}

// Seen is how many tokens were taken, and why others were not.
func (d *Directory) Seen() (taken int, refused []error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.taken, d.refused
}

// Close ends the server. Connections end by themselves: each has a deadline.
func (d *Directory) Close() error {
	err := d.listener.Close()
	d.done.Wait()
	return err
}

// bind is an LDAPMessage with a BindRequest of simple authentication (RFC 4511, sections 4.1.1 and 4.2).
type bind struct {
	ID      int
	Request struct {
		Version  int
		Name     []byte
		Password asn1.RawValue // [0], a string
	} `asn1:"application,tag:0"`
}

func (d *Directory) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second)) //nolint:errcheck // without it a read fails, too
	var message bind
	buf := make([]byte, 0, 8<<10)
	for {
		n, err := conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if _, bad := asn1.Unmarshal(buf, &message); bad == nil {
			break
		}
		if err != nil || len(buf) == cap(buf) {
			return
		}
	}
	user, _ := strings.CutPrefix(string(message.Request.Name), "cn=")
	code := byte(0)
	if err := d.judge(user, string(message.Request.Password.Bytes)); err != nil {
		code = 49 // invalidCredentials
	}
	conn.Write([]byte{0x30, 12, 2, 1, byte(message.ID), 0x61, 7, 0x0a, 1, code, 4, 0, 4, 0}) //nolint:errcheck // who asked notices
	conn.Read(buf[:cap(buf)])                                                                //nolint:errcheck // an unbind, or the end
}

func (d *Directory) judge(user, token string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.check(user, token)
	if err != nil {
		d.refused = append(d.refused, err)
		return err
	}
	d.taken++
	return nil
}

// check verifies a presigned URL (Signature Version 4, in the query).
func (d *Directory) check(user, token string) error {
	u, err := url.Parse("https://" + token)
	if err != nil {
		return errors.New("it is no URL")
	}
	q := u.Query()
	made, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date"))
	switch {
	case err != nil:
		return fmt.Errorf("made at %q", q.Get("X-Amz-Date"))
	case u.Host != d.database || q.Get("Action") != "connect" || q.Get("DBUser") != user:
		return fmt.Errorf("it is for %s to %s to %s", q.Get("DBUser"), q.Get("Action"), u.Host)
	case q.Get("X-Amz-Expires") != "900" || time.Since(made) > 900*time.Second || time.Until(made) > time.Minute:
		return fmt.Errorf("made at %s for %s seconds", made, q.Get("X-Amz-Expires"))
	case made.Before(d.since):
		return fmt.Errorf("made at %s, of before %s", made, d.since)
	}
	day := made.Format("20060102")
	scope := day + "/" + d.Region + "/rds-db/aws4_request"
	if q.Get("X-Amz-Credential") != d.AccessKey+"/"+scope || q.Get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256" || q.Get("X-Amz-SignedHeaders") != "host" {
		return fmt.Errorf("signed by %s", q.Get("X-Amz-Credential"))
	}
	signature := q.Get("X-Amz-Signature")
	q.Del("X-Amz-Signature")
	canonical := "GET\n/\n" + strings.ReplaceAll(q.Encode(), "+", "%20") + "\nhost:" + u.Host + "\n\nhost\n" + hash("")
	key := []byte("AWS4" + d.SecretKey)
	for _, part := range []string{day, d.Region, "rds-db", "aws4_request", "AWS4-HMAC-SHA256\n" + q.Get("X-Amz-Date") + "\n" + scope + "\n" + hash(canonical)} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if signature != hex.EncodeToString(key) {
		return errors.New("the signature is wrong")
	}
	return nil
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
