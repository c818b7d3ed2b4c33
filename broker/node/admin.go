package node

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/runnel-io/runnel/broker/certs"
	"github.com/runnel-io/runnel/broker/config"
)

// adminServer answers probes and metrics:
//
//	/livez    200 while the process can answer at all
//	/readyz   200 when clients can be served, else 503, with the reasons, a line each, for who may see them
//	/metrics  in Prometheus' text format, for who may see them
//
// Callers on this machine may, and who has the token or a certificate of the client authority; or everybody, if so configured.
type adminServer struct {
	http  http.Server
	token *[sha256.Size]byte // of the bearer token; nil: none
	open  bool
}

// listenForAdmin binds the admin server's address, if it has one.
func (n *Node) listenForAdmin(ctx context.Context) (err error) {
	c := &n.opts.Config.Admin
	if c.Listen == "" {
		return nil
	}
	if c.Certificate != "" {
		if n.adminFiles, err = n.certs.Open("admin", certs.Files{Certificate: c.Certificate, Key: c.Key, Authority: c.ClientAuthority}); err != nil {
			return err
		}
	}
	ln, err := n.opts.Network.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen for admin requests: %w", err)
	}
	n.admin = ln
	return nil
}

// newAdminServer makes the server. source has the certificate that it shows, nil: it speaks plain HTTP.
func newAdminServer(c *config.Admin, source *certs.Source, ready *readiness, metrics *prometheus.Registry, log *slog.Logger) *adminServer {
	a := &adminServer{open: c.OpenMetrics}
	if c.Token != "" {
		sum := sha256.Sum256([]byte(c.Token))
		a.token = &sum
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		why := ready.why()
		if why == "" {
			_, _ = io.WriteString(w, "ok\n")
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		if !a.trusts(r) {
			why = "not ready\n"
		}
		_, _ = io.WriteString(w, why)
	})
	mux.Handle("GET /metrics", a.guard(promhttp.HandlerFor(metrics, promhttp.HandlerOpts{})))
	a.http = http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second, // of bodies, too, which nobody asks for: strangers are not to hold connections by them
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // handshakes of strangers
	}
	if source != nil {
		auth := certs.None
		if c.ClientAuthority != "" {
			auth = certs.Requested
		}
		server := source.Server(auth)
		a.http.TLSConfig = &tls.Config{
			MinVersion:         tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return server(), nil },
		}
	}
	return a
}

// guard lets a request through that may see metrics.
func (a *adminServer) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case a.trusts(r):
			next.ServeHTTP(w, r)
		case a.token != nil:
			w.Header().Set("WWW-Authenticate", `Bearer realm="runnel"`)
			http.Error(w, "metrics are for who has the admin token or a certificate", http.StatusUnauthorized)
		default:
			http.Error(w, "metrics are for this machine, and for who has what admin.token or admin.client_authority say, or for everybody by admin.open_metrics",
				http.StatusForbidden)
		}
	})
}

// trusts tells whether a caller may see metrics and reasons.
func (a *adminServer) trusts(r *http.Request) bool {
	return a.open || local(r.RemoteAddr) || a.hasToken(r.Header.Get("Authorization")) || r.TLS != nil && len(r.TLS.VerifiedChains) > 0
}

// local tells whether a caller is on this machine.
func local(address string) bool {
	at, err := netip.ParseAddrPort(address)
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// hasToken compares digests, so that the time it takes tells nothing, the length of the token neither.
func (a *adminServer) hasToken(header string) bool {
	scheme, token, ok := strings.Cut(header, " ")
	if a.token == nil || !ok || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(sum[:], a.token[:]) == 1
}

// run serves until ctx ends, then gives requests in flight a second.
func (a *adminServer) run(ctx context.Context, ln net.Listener) error {
	served := make(chan error, 1)
	go func() {
		if a.http.TLSConfig != nil {
			served <- a.http.ServeTLS(ln, "", "")
			return
		}
		served <- a.http.Serve(ln)
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := a.http.Shutdown(stop); err != nil {
		_ = a.http.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
