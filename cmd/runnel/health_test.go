package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// adminAnswers is a server that answers /readyz like a broker: with the statuses in turn, the last for ever.
func adminAnswers(t *testing.T, statuses ...int) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := min(int(asked.Add(1)), len(statuses)) - 1
		switch {
		case r.URL.Path != "/readyz" || statuses[n] == http.StatusNotFound:
			http.NotFound(w, r)
		case statuses[n] == http.StatusOK:
			_, _ = w.Write([]byte("ok\n"))
		default:
			w.WriteHeader(statuses[n])
			_, _ = w.Write([]byte("metastore: connection refused\nobject store: no such bucket\n"))
		}
	}))
	t.Cleanup(s.Close)
	return s, &asked
}

func TestHealthAsksTheBrokerOfTheSameConfiguration(t *testing.T) {
	s, _ := adminAnswers(t, http.StatusOK)
	s.Start()
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "runnel.yaml")
	if err := os.WriteFile(file, []byte("version: 1\nadmin:\n  listen: 0.0.0.0:"+port+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		env  []string
		args []string
	}{
		"flag":                {nil, []string{"--admin", s.URL}},
		"flag without scheme": {nil, []string{"--admin", "127.0.0.1:" + port}},
		"flag with a slash":   {nil, []string{"--admin", s.URL + "/"}},
		"environment":         {[]string{"RUNNEL_ADMIN_LISTEN=0.0.0.0:" + port}, nil},
		"every address":       {[]string{"RUNNEL_ADMIN_LISTEN=:" + port}, nil},
		"file":                {[]string{"RUNNEL_CONFIG=" + file}, nil},
		"half of two keys, whose other half is a flag of the broker": {[]string{"RUNNEL_ADMIN_LISTEN=:" + port,
			"RUNNEL_OBJECT_STORE_ACCESS_KEY=runnel", "RUNNEL_PEER_CERTIFICATE=tls.crt", "RUNNEL_METASTORE_PASSWORD_FILE=/of/the/broker/alone"}, nil},
		"mistakes in other keys": {[]string{"RUNNEL_ADMIN_LISTEN=:" + port, "RUNNEL_LINGER_MAX=1h", "RUNNEL_METASTOR_URL=x"}, nil},
		"beside other keys":      {[]string{"RUNNEL_ADMIN_LISTEN=127.0.0.1:" + port, "RUNNEL_METASTORE_URL=postgres://db/runnel"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if out, errOut, code := run(t, tt.env, append([]string{"health"}, tt.args...)...); code != 0 || out != "ready\n" {
				t.Errorf("exit %d: %s%s", code, out, errOut)
			}
		})
	}
}

func TestHealthSaysWhyNot(t *testing.T) {
	unready, _ := adminAnswers(t, http.StatusServiceUnavailable)
	other, _ := adminAnswers(t, http.StatusNotFound)
	moved := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
	defer moved.Close()
	unready.Start()
	other.Start()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, in the kernel, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, tt := range map[string]struct {
		args []string
		env  []string
		want string
	}{
		"not ready":       {args: []string{"--admin", unready.URL}, want: "not ready: metastore: connection refused; object store: no such bucket"},
		"another server":  {args: []string{"--admin", other.URL}, want: "404 Not Found, which no broker does"},
		"a redirection":   {args: []string{"--admin", moved.URL}, want: "302 Found, which no broker does"},
		"nobody":          {args: []string{"--admin", "http://127.0.0.1:1"}, want: "connection refused"},
		"silence":         {args: []string{"--admin", silent.Addr().String(), "--timeout", "50ms"}, want: "no answer from"},
		"no admin server": {env: []string{"RUNNEL_ADMIN_LISTEN="}, want: "admin.listen is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errOut, code := run(t, tt.env, append([]string{"health"}, tt.args...)...)
			if code != exitError || out != "" || !strings.Contains(errOut, tt.want) {
				t.Errorf("exit %d: %s%s", code, out, errOut)
			}
		})
	}
}

func TestHealthWaits(t *testing.T) {
	s, asked := adminAnswers(t, http.StatusServiceUnavailable, http.StatusServiceUnavailable, http.StatusOK)
	s.Start()
	if out, errOut, code := run(t, nil, "health", "--admin", s.URL, "--wait", "1m"); code != 0 || out != "ready\n" {
		t.Errorf("exit %d: %s%s", code, out, errOut)
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times", n)
	}
	never, asked := adminAnswers(t, http.StatusServiceUnavailable)
	never.Start()
	if _, errOut, code := run(t, nil, "health", "--admin", never.URL, "--wait", "150ms"); code != exitError || !strings.Contains(errOut, "not ready") || asked.Load() != 2 {
		t.Errorf("exit %d after %d looks: %s", code, asked.Load(), errOut)
	}
}

// TestHealthAsksTheFirstProcess of a container, which alone has the flags that it was started with.
func TestHealthAsksTheFirstProcess(t *testing.T) {
	s, _ := adminAnswers(t, http.StatusOK)
	s.Start()
	secure, _ := adminAnswers(t, http.StatusOK)
	secure.StartTLS()
	port, securePort := s.Listener.Addr().(*net.TCPAddr).Port, secure.Listener.Addr().(*net.TCPAddr).Port
	listen, nobody := fmt.Sprintf("0.0.0.0:%d", port), "RUNNEL_ADMIN_LISTEN=127.0.0.1:1"
	file := filepath.Join(t.TempDir(), "runnel.yaml")
	if err := os.WriteFile(file, []byte("version: 1\nadmin: {listen: \""+listen+"\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		first []string // words of its command line
		other bool     // it is of another binary
		env   []string
		args  []string
		code  int
	}{
		"its flag":                      {first: []string{"broker", "--metastore-url", "memory://", "--admin-listen=" + listen}, env: []string{nobody}},
		"its file":                      {first: []string{"broker", "-c", file}},
		"its variable, beside a flag":   {first: []string{"broker", "--zone", "a"}, env: []string{"RUNNEL_ADMIN_LISTEN=" + listen}},
		"its flag and its variable":     {first: []string{"broker", fmt.Sprintf("--admin-listen=:%d", securePort)}, env: []string{"RUNNEL_ADMIN_CERTIFICATE=tls.crt"}},
		"dev":                           {first: []string{"dev", "--listen", "0.0.0.0:9092", "--admin", listen}, env: []string{nobody}},
		"a flag of one's own is nearer": {first: []string{"broker", "--admin-listen=127.0.0.1:1"}, args: []string{"--admin-listen", listen}},
		"it has no admin server":        {first: []string{"dev", "--admin="}, env: []string{"RUNNEL_ADMIN_LISTEN=" + listen}, code: exitError},
		"another binary":                {first: []string{"broker", "--admin-listen=127.0.0.1:1"}, other: true, env: []string{"RUNNEL_ADMIN_LISTEN=" + listen}},
		"no broker":                     {first: []string{"consume", "orders"}, env: []string{"RUNNEL_ADMIN_LISTEN=" + listen}},
	} {
		t.Run(name, func(t *testing.T) {
			proc := t.TempDir()
			binary := filepath.Join(proc, "runnel")
			for path, data := range map[string]string{binary: "", filepath.Join(proc, "sh"): "", filepath.Join(proc, "1", "cmdline"): "/runnel\x00" + strings.Join(tt.first, "\x00") + "\x00"} {
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(data), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			first := binary
			if tt.other {
				first = filepath.Join(proc, "sh")
			}
			if err := errors.Join(os.Mkdir(filepath.Join(proc, "self"), 0o700), os.Symlink(binary, filepath.Join(proc, "self", "exe")), os.Symlink(first, filepath.Join(proc, "1", "exe"))); err != nil {
				t.Fatal(err)
			}
			out, errOut, code := runBeside(t, proc, tt.env, append([]string{"health"}, tt.args...)...)
			if code != tt.code || (code == 0) != (out == "ready\n") {
				t.Errorf("exit %d: %s%s", code, out, errOut)
			}
		})
	}
}

// TestHealthOfABrokerWithACertificate that nobody vouches for: that is good enough on this machine, and nowhere else.
func TestHealthOfABrokerWithACertificate(t *testing.T) {
	s, _ := adminAnswers(t, http.StatusOK)
	s.StartTLS()
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"RUNNEL_ADMIN_LISTEN=0.0.0.0:" + at.Port(), "RUNNEL_ADMIN_CERTIFICATE=cert.pem", "RUNNEL_ADMIN_KEY=key.pem"}
	for name, args := range map[string][]string{"of the environment": nil, "of a flag": {"--admin", s.URL}, "by name": {"--admin", "https://localhost:" + at.Port()}} {
		if out, errOut, code := run(t, env, append([]string{"health"}, args...)...); code != 0 || out != "ready\n" {
			t.Errorf("%s: exit %d: %s%s", name, code, out, errOut)
		}
	}
	elsewhere := healthClient(&url.URL{Scheme: "https", Host: "broker-1:9644"})
	dial := new(net.Dialer)
	elsewhere.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial.DialContext(ctx, network, at.Host)
	}
	err = askHealth(t.Context(), elsewhere, &url.URL{Scheme: "https", Host: "broker-1:9644", Path: "/readyz"}, time.Minute)
	if unknown := (*tls.CertificateVerificationError)(nil); !errors.As(err, &unknown) {
		t.Errorf("a server of another machine that shows a certificate of nobody's: %v", err)
	}
}

func TestHealthOnTheCommandLine(t *testing.T) {
	for _, wrong := range [][]string{
		{"--admin", "ftp://host"}, {"--admin", "http://"}, {"--timeout", "0s"}, {"--wait", "-1s"}, {"now"},
	} {
		if _, errOut, code := run(t, nil, append([]string{"health"}, wrong...)...); code != exitUsage {
			t.Errorf("%v: exit %d: %s", wrong, code, errOut)
		}
	}
}
