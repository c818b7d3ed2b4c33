package place

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// mostAnswer bounds an answer. A node of Kubernetes, with the names of all its images, is the largest: some ten KiB.
const mostAnswer = 1 << 20

// client asks one platform: without proxies, redirects and idle connections, each request with a deadline.
type client struct {
	http    *http.Client
	timeout time.Duration
}

func newClient(timeout time.Duration, trust *tls.Config) *client {
	return &client{timeout: timeout, http: &http.Client{
		Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true, TLSClientConfig: trust, ForceAttemptHTTP2: false},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// statusError is an answer other than 200.
type statusError struct {
	asked  string
	status int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s answers %d %s", e.asked, e.status, http.StatusText(e.status))
}

// hasStatus tells whether an error is an answer with one of some statuses.
func hasStatus(err error, statuses ...int) bool {
	var answer *statusError
	if !errors.As(err, &answer) {
		return false
	}
	for _, s := range statuses {
		if answer.status == s {
			return true
		}
	}
	return false
}

// do sends a request and returns the body of an answer 200.
func (c *client) do(ctx context.Context, method, url string, header map[string]string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, &lastingError{err}
	}
	for name, text := range header {
		request.Header.Set(name, text)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, err // names method and URL
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, &statusError{method + " " + url, answer.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer to %s %s: %w", method, url, err)
	case len(body) > mostAnswer:
		return nil, fmt.Errorf("the answer to %s %s has more than %d bytes", method, url, mostAnswer)
	}
	return body, nil
}

// text is an answer that is a word.
func (c *client) text(ctx context.Context, url string, header map[string]string) (string, error) {
	body, err := c.do(ctx, http.MethodGet, url, header)
	return strings.TrimSpace(string(body)), err
}
