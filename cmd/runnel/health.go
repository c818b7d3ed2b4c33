package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/broker/config"
)

func newHealth(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a broker whether it is ready",
		Long: "Ask a broker whether it serves clients, at /readyz of its admin server: the health check of an image without a shell.\n" +
			"It exits with 0 if so, else with 1, and says why. Without --admin it asks the broker on this machine that has the\n" +
			"same configuration file and environment; by default 127.0.0.1:9644. In a container whose first process is a broker it\n" +
			"knows the flags of that one, too.",
		Example: "  runnel health\n" +
			"  runnel health --admin https://broker-1:9644 --wait 60s",
		Args: args(cobra.NoArgs),
	}
	flags := newConfigFlags(cmd)
	flags.show("admin.listen", "admin.certificate")
	admin := cmd.Flags().String("admin", "", "`URL` of the admin server")
	timeout := cmd.Flags().Duration("timeout", 3*time.Second, "how long to wait for an answer")
	wait := cmd.Flags().Duration("wait", 0, "ask again until it is ready, for so long")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *timeout <= 0 || *wait < 0 {
			return usagef("--timeout must be more than 0, and --wait not less")
		}
		at, err := readyURL(env, flags, *admin)
		if err != nil {
			return err
		}
		if err := awaitHealth(cmd.Context(), healthClient(at), at, *timeout, *wait); err != nil {
			return err
		}
		_, err = fmt.Fprintln(env.out, "ready")
		return err
	}
	return cmd
}

// readyURL is what to ask: at the address that the user gave, else at that of the broker with this configuration.
func readyURL(env *environment, flags *configFlags, admin string) (*url.URL, error) {
	if admin == "" {
		c, err := adminOf(env, flags)
		if err != nil {
			return nil, err
		}
		if admin, err = adminURL(c); err != nil {
			return nil, err
		}
	}
	if !strings.Contains(admin, "://") {
		admin = "http://" + admin
	}
	at, err := url.Parse(admin)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, usagef("--admin: %q must be host:port, or a URL of http or https", admin)
	}
	return at.JoinPath("readyz"), nil
}

// adminURL is where a broker on this machine has its admin server.
func adminURL(c *config.Admin) (string, error) {
	if c.Listen == "" {
		return "", errors.New("admin.listen is empty: the broker has no admin server to ask")
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return "", fmt.Errorf("admin.listen: %w", err)
	}
	switch ip, err := netip.ParseAddr(host); {
	case host == "" || err == nil && ip == netip.IPv4Unspecified():
		host = "127.0.0.1"
	case err == nil && ip == netip.IPv6Unspecified():
		host = "localhost" // by whichever of the two there is
	}
	scheme := "http"
	if c.Certificate != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port), nil
}

// healthClient talks to one admin server. On this machine nobody stands between, and its certificate is hardly for
// 127.0.0.1: none is asked for.
func healthClient(at *url.URL) *http.Client {
	ip, err := netip.ParseAddr(at.Hostname())
	here := at.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback()
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: here}, //nolint:gosec // see above
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// healthPause lies between two looks of a command that waits.
const healthPause = 100 * time.Millisecond

// awaitHealth asks until the broker is ready, at least once, and for as long as wait.
func awaitHealth(ctx context.Context, client *http.Client, at *url.URL, timeout, wait time.Duration) error {
	end := time.Now().Add(wait)
	for {
		err := askHealth(ctx, client, at, timeout)
		if err == nil || ctx.Err() != nil || !time.Now().Add(healthPause).Before(end) {
			return err
		}
		select {
		case <-time.After(healthPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// mostReasons bounds what is read of an answer, in bytes.
const mostReasons = 16 << 10

func askHealth(ctx context.Context, client *http.Client, at *url.URL, timeout time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodGet, at.String(), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err == nil {
		defer resp.Body.Close()
		var body []byte
		if body, err = io.ReadAll(io.LimitReader(resp.Body, mostReasons)); err == nil {
			return judgeHealth(at, resp, strings.TrimSpace(string(body)))
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return fmt.Errorf("not ready: no answer from %s within %v", at, timeout)
	}
	return fmt.Errorf("not ready: %w", err) // which has the URL
}

func judgeHealth(at *url.URL, resp *http.Response, body string) error {
	switch {
	case resp.StatusCode == http.StatusOK && body == "ok":
		return nil
	case resp.StatusCode == http.StatusServiceUnavailable && body != "":
		return fmt.Errorf("not ready: %s", strings.TrimPrefix(strings.ReplaceAll(body, "\n", "; "), "not ready"))
	}
	return fmt.Errorf("not ready: %s answers %s, which no broker does", at, resp.Status)
}
