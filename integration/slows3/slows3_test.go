package slows3

import (
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func quantiles(n int, draw func() time.Duration) (p50, p99 time.Duration) {
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = draw()
	}
	slices.Sort(all)
	return all[n/2], all[n*99/100]
}

func within(t *testing.T, what string, got, want time.Duration, tolerance float64) {
	t.Helper()
	if math.Abs(float64(got)/float64(want)-1) > tolerance {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestDrawsHaveTheProfilesQuantiles(t *testing.T) {
	ms := time.Millisecond
	for _, tt := range []struct {
		profile      Profile
		size         int64
		put50, put99 time.Duration
		get50, get99 time.Duration
	}{
		{Standard, 0, 60 * ms, 250 * ms, 25 * ms, 120 * ms},
		{Standard, 4 << 20, 96 * ms, 400 * ms, 25 * ms, 120 * ms},
		{Express, 4 << 20, 6 * ms, 20 * ms, 6 * ms, 20 * ms},
	} {
		d := NewDraws(tt.profile, 1)
		p50, p99 := quantiles(100_000, func() time.Duration { return d.Put(tt.size) })
		within(t, tt.profile.Name+" PUT p50", p50, tt.put50, 0.02)
		within(t, tt.profile.Name+" PUT p99", p99, tt.put99, 0.05)
		p50, p99 = quantiles(100_000, d.Get)
		within(t, tt.profile.Name+" GET p50", p50, tt.get50, 0.02)
		within(t, tt.profile.Name+" GET p99", p99, tt.get99, 0.05)
	}
}

func TestEqualSeedsDrawEqually(t *testing.T) {
	a, b, other := NewDraws(Standard, 7), NewDraws(Standard, 7), NewDraws(Standard, 8)
	differs := false
	for range 100 {
		b.Get() // GETs between do not change the PUTs
		x, y := a.Put(1), b.Put(1)
		if x != y {
			t.Fatalf("%v and %v", x, y)
		}
		differs = differs || x != other.Put(1)
	}
	if !differs {
		t.Error("another seed draws the same")
	}
}

func TestByName(t *testing.T) {
	if p, err := ByName("express"); err != nil || p.Name != Express.Name {
		t.Errorf("%+v (%v)", p, err)
	}
	if _, err := ByName("glacier"); err == nil {
		t.Error("glacier is known")
	}
}

func TestProxyHoldsAnswersAndChangesNothing(t *testing.T) {
	type seen struct{ method, path, host, body, forwarded string }
	requests := make(chan seen, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- seen{r.Method, r.RequestURI, r.Host, string(body), r.Header.Get("X-Forwarded-For")}
		w.Header().Set("ETag", "e")
		w.WriteHeader(http.StatusPreconditionFailed)
		_, _ = io.WriteString(w, "answer")
	}))
	defer server.Close()
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	fixed := Profile{Put: Distribution{80 * time.Millisecond, 80 * time.Millisecond}, Get: Distribution{40 * time.Millisecond, 40 * time.Millisecond}}
	proxy := New(target, NewDraws(fixed, 1))
	go func() { served <- proxy.Serve(ctx, ln) }()

	for method, least := range map[string]time.Duration{http.MethodPut: 80 * time.Millisecond, http.MethodGet: 40 * time.Millisecond} {
		request, err := http.NewRequest(method, "http://"+ln.Addr().String()+"/bucket/a%2Fb?x=1", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < least {
			t.Errorf("%s took %v, want at least %v", method, took, least)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusPreconditionFailed || string(body) != "answer" || answer.Header.Get("ETag") != "e" {
			t.Errorf("%s: %d %q %v", method, answer.StatusCode, body, answer.Header)
		}
		if got, want := <-requests, (seen{method, "/bucket/a%2Fb?x=1", ln.Addr().String(), "body", ""}); got != want {
			t.Errorf("the server saw %+v, want %+v", got, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if puts := proxy.Puts(); len(puts) != 1 || puts[0] < 80*time.Millisecond || len(proxy.Puts()) != 0 {
		t.Errorf("the proxy saw PUTs of %v, want one, and then none", puts)
	}
	if d := NewDraws(None, 1); d.Put(1<<20) != 0 || d.Get() != 0 {
		t.Error("a profile without delay delays")
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
