package secure

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// tokens is where clients of all tests get their tokens, by the name with which they ask.
var tokens tokenEndpoint

type tokenEndpoint struct {
	server *httptest.Server

	mu     sync.Mutex
	makers map[string]func() string
}

func (e *tokenEndpoint) open() {
	e.makers = make(map[string]func() string)
	e.server = httptest.NewServer(http.HandlerFunc(e.serve))
}

func (e *tokenEndpoint) close()      { e.server.Close() }
func (e *tokenEndpoint) url() string { return e.server.URL + "/token" }

// give has tokens made for a client id until the test ends.
func (e *tokenEndpoint) give(t *testing.T, id string, make func() string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.makers[id] = make
	t.Cleanup(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.makers, id)
	})
}

// serve answers grants of client credentials (RFC 6749, 4.4).
func (e *tokenEndpoint) serve(w http.ResponseWriter, r *http.Request) {
	id, _, _ := r.BasicAuth()
	e.mu.Lock()
	make := e.makers[id]
	e.mu.Unlock()
	if make == nil {
		http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": make(), "token_type": "Bearer", "expires_in": 3600})
}
