package faulty

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestEachWayFailsAsItSays: what a client sees of a server that answers "0123456789", and whether the server did it.
func TestEachWayFailsAsItSays(t *testing.T) {
	for _, c := range []struct {
		name   string
		way    Way
		done   int
		status int // 0: no answer
		body   string
		err    error // of reading the body
		count  func(*S3) int64
	}{
		{"SlowDown", SlowDown, 0, http.StatusServiceUnavailable, slowDown, nil, func(s *S3) int64 { return s.Slow.Load() }},
		{"CutOff", CutOff, 0, 0, "", nil, func(s *S3) int64 { return s.Cut.Load() }},
		{"Unheard", Unheard, 1, 0, "", nil, func(s *S3) int64 { return s.Lost.Load() }},
		{"Short", Short, 1, http.StatusOK, "01234", io.ErrUnexpectedEOF, func(s *S3) int64 { return s.Truncated.Load() }},
		{"Slowly", Slowly, 1, http.StatusOK, "0123456789", nil, func(s *S3) int64 { return s.Late.Load() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			done := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				done++
				w.Header().Set("Content-Length", "10")
				_, _ = io.WriteString(w, "0123456789")
			}))
			defer server.Close()
			s := NewS3(t, server.URL, 1)
			s.FailIn(1, c.way)
			resp, err := http.Post(s.URL, "text/plain", strings.NewReader("x"))
			if c.status == 0 {
				if err == nil {
					t.Fatalf("an answer came: %s", resp.Status)
				}
			} else {
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if resp.StatusCode != c.status || string(body) != c.body || !errors.Is(err, c.err) {
					t.Errorf("status %d, body %q, %v", resp.StatusCode, body, err)
				}
				_ = resp.Body.Close()
			}
			server.Close() // waits until it has answered
			if done != c.done || c.count(s) != 1 {
				t.Errorf("the server did it %d times, want %d; counted: %d", done, c.done, c.count(s))
			}
		})
	}
}
