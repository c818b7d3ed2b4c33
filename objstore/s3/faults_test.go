package s3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/s3"
)

// What a real server does not do on demand: these tests script the answers, one per request, the last for all after.

type answer func(http.ResponseWriter, *http.Request)

type script struct {
	requests atomic.Int64 // without those by which a store learns what the server can
	answers  []answer
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.URL.Path, "-probe-") {
		accept(w, r)
		return
	}
	n := s.requests.Add(1)
	s.answers[min(int(n), len(s.answers))-1](w, r)
}

// serve returns a store whose server follows the script. A request is tried three times.
func serve(t *testing.T, answers ...answer) (*s3.Store, *script) {
	t.Helper()
	return serveWith(t, 200*time.Millisecond, answers...)
}

// serveWith is serve with a time without a byte after which a request is given up.
func serveWith(t *testing.T, stall time.Duration, answers ...answer) (*s3.Store, *script) {
	t.Helper()
	sc := &script{answers: answers}
	server := httptest.NewServer(sc)
	t.Cleanup(server.Close)
	return open(t, s3.Options{
		Bucket: "bucket", Endpoint: server.URL, PathStyle: true, AccessKey: "key", SecretKey: "secret",
		Attempts: 3, MaxBackoff: time.Millisecond, StallTimeout: stall,
	}), sc
}

func refuse(status int, code string) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // the client may be gone
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>scripted</Message></Error>", code)
	}
}

func accept(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) //nolint:errcheck // the client may be gone
}

// partial answers a GET with a range header, a body and what it claims the body's length to be.
func partial(contentRange, body string, length int) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentRange != "" {
			w.Header().Set("Content-Range", contentRange)
		}
		w.Header().Set("Content-Length", strconv.Itoa(length))
		if contentRange != "" {
			w.WriteHeader(http.StatusPartialContent)
		}
		io.WriteString(w, body) //nolint:errcheck // the client may be gone
	}
}

// hang sends what has been written and then nothing, until the client goes.
func hang(before answer) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // only then is the client's going noticed
		if before != nil {
			before(w, r)
			http.NewResponseController(w).Flush() //nolint:errcheck // the client may be gone
		}
		<-r.Context().Done()
	}
}

// drop closes the connection without an answer.
func drop(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestPutAnswers(t *testing.T) {
	other := errors.New("no sentinel")
	for _, tc := range []struct {
		name     string
		answers  []answer
		want     error
		requests int64
	}{
		{"created", []answer{accept}, nil, 1},
		{"unavailable once", []answer{refuse(503, "SlowDown"), accept}, nil, 2},
		{"overloaded or starting", []answer{refuse(503, "SlowDownWrite"), refuse(503, "XMinioServerNotInitialized"), accept}, nil, 3}, // MinIO
		{"disk full", []answer{refuse(507, "XMinioStorageFull")}, other, 1},                                                           // MinIO
		{"internal error once", []answer{refuse(500, "InternalError"), accept}, nil, 2},
		{"conflict with a Put under way", []answer{refuse(409, "ConditionalRequestConflict"), accept}, nil, 2},
		{"conflict with the winner", []answer{refuse(409, "ConditionalRequestConflict"), refuse(412, "PreconditionFailed")}, objstore.ErrExists, 2},
		{"connection lost once", []answer{drop, accept}, nil, 2},
		{"answer lost, object stored", []answer{drop, refuse(412, "PreconditionFailed")}, objstore.ErrExists, 2},
		{"no answer, then one", []answer{hang(nil), accept}, nil, 2},
		{"exists", []answer{refuse(412, "PreconditionFailed")}, objstore.ErrExists, 1},
		{"unavailable", []answer{refuse(503, "SlowDown")}, other, 3},
		{"forbidden", []answer{refuse(403, "AccessDenied")}, other, 1},
		{"conditions unknown", []answer{refuse(501, "NotImplemented")}, other, 1},
		{"no bucket", []answer{refuse(404, "NoSuchBucket")}, other, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, sc := serve(t, tc.answers...)
			err := s.Put(t.Context(), "a/b", [][]byte{[]byte("ab"), []byte("c")})
			if !matches(err, tc.want, other) || sc.requests.Load() != tc.requests {
				t.Fatalf("%v after %d requests, want %v after %d", err, sc.requests.Load(), tc.want, tc.requests)
			}
		})
	}
}

// matches tells whether err is want, where other stands for any error that is no sentinel.
func matches(err, want, other error) bool {
	if want != other {
		return errors.Is(err, want)
	}
	for _, sentinel := range []error{objstore.ErrExists, objstore.ErrNotFound, objstore.ErrRange, objstore.ErrInvalidKey} {
		if errors.Is(err, sentinel) {
			return false
		}
	}
	return err != nil
}

func TestEveryPutAttemptSendsTheWholeObject(t *testing.T) {
	var bodies []string // of one request after the other
	read := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies = append(bodies, string(body))
		if r.Header.Get("If-None-Match") != "*" || r.ContentLength != int64(len(body)) || r.Header.Get("Expect") != "" {
			t.Errorf("headers %v, length %d", r.Header, r.ContentLength)
		}
		if len(bodies) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	s, _ := serveWith(t, time.Minute, read) // a server that is held up is not asked again
	want := strings.Repeat("runnel", 1<<20)
	if err := s.Put(t.Context(), "a", [][]byte{[]byte(want[:1000]), []byte(want[1000:])}); err != nil {
		t.Fatal(err)
	}
	if len(bodies) != 3 || bodies[0] != want || bodies[1] != want || bodies[2] != want {
		t.Fatalf("%d bodies", len(bodies))
	}
}

func TestCancelledPutKeepsNoReferenceToItsParts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	written := make(chan struct{})
	defer close(written)
	s, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		r.Body.Read(make([]byte, 1)) //nolint:errcheck // the upload is under way, which is all that matters
		cancel()
		<-written // with the body unread, so that the client's buffers are full
	})
	part := make([]byte, 32<<20) // more than the buffers between the two
	if err := s.Put(ctx, "a", [][]byte{part}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for i := range part { // the race detector is the assertion
		part[i] = 1
	}
}

func TestGetAnswers(t *testing.T) {
	other := errors.New("no sentinel")
	whole := partial("bytes 2-5/10", "2345", 4)
	for _, tc := range []struct {
		name     string
		answers  []answer
		data     string
		want     error
		requests int64
	}{
		{"the range", []answer{whole}, "2345", nil, 1},
		{"an object that ends before", []answer{partial("bytes 2-3/4", "23", 2)}, "23", nil, 1},
		{"unavailable once", []answer{refuse(503, "SlowDown"), whole}, "2345", nil, 2},
		{"body cut short once", []answer{partial("bytes 2-5/10", "23", 4), whole}, "2345", nil, 2},
		{"body cut short", []answer{partial("bytes 2-5/10", "23", 4)}, "", other, 3},
		{"body stalls once", []answer{hang(partial("bytes 2-5/10", "23", 4)), whole}, "2345", nil, 2},
		{"a shorter range than asked for", []answer{partial("bytes 2-3/10", "23", 2)}, "", other, 3},
		{"another range", []answer{partial("bytes 3-6/10", "3456", 4)}, "", other, 3},
		{"length and range differ", []answer{partial("bytes 2-5/10", "234", 3)}, "", other, 3},
		{"an empty object as a range of nothing", []answer{partial("bytes 0--1/0", "", 0)}, "", objstore.ErrRange, 1},
		{"range of nonsense", []answer{partial("bytes five-six/10", "2345", 4)}, "", other, 3},
		{"range ignored", []answer{partial("", "0123456789", 10)}, "", other, 3},
		{"range ignored, offset past the end", []answer{partial("", "0", 1)}, "", objstore.ErrRange, 1},
		{"not satisfiable", []answer{refuse(416, "InvalidRange")}, "", objstore.ErrRange, 1},
		{"no such key", []answer{refuse(404, "NoSuchKey")}, "", objstore.ErrNotFound, 1},
		{"no such bucket", []answer{refuse(404, "NoSuchBucket")}, "", other, 1},
		{"forbidden", []answer{refuse(403, "AccessDenied")}, "", other, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, sc := serve(t, tc.answers...)
			data, err := s.Get(t.Context(), "a/b", 2, 4)
			if !matches(err, tc.want, other) || string(data) != tc.data || sc.requests.Load() != tc.requests {
				t.Fatalf("%q, %v after %d requests; want %q, %v after %d",
					data, err, sc.requests.Load(), tc.data, tc.want, tc.requests)
			}
		})
	}
}

func TestGetSuffixAnswers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer answer
		want   string
		fails  bool
	}{
		{"the suffix", partial("bytes 6-9/10", "6789", 4), "6789", false},
		{"a shorter object as a range", partial("bytes 0-1/2", "01", 2), "01", false},
		{"a shorter object whole", partial("", "01", 2), "01", false},
		{"an empty object", refuse(416, "InvalidRange"), "", false},
		{"an empty object whole", partial("", "", 0), "", false},
		{"an empty object as a range of nothing", partial("bytes 0--1/0", "", 0), "", false}, // MinIO
		{"a range of nothing of an object that is not empty", partial("bytes 0--1/5", "", 0), "", true},
		{"not the end", partial("bytes 5-8/10", "5678", 4), "", true},
		{"range ignored", partial("", "0123456789", 10), "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := serve(t, tc.answer)
			data, err := s.GetSuffix(t.Context(), "a/b", 4)
			if string(data) != tc.want || (err != nil) != tc.fails {
				t.Fatalf("%q, %v; want %q", data, err, tc.want)
			}
		})
	}
}

func TestCancelledWhileTheBodyStalls(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stall := hang(partial("bytes 2-5/10", "23", 4))
	s, sc := serve(t, func(w http.ResponseWriter, r *http.Request) {
		go cancel()
		stall(w, r)
	})
	if _, err := s.Get(ctx, "a", 2, 4); !errors.Is(err, context.Canceled) || sc.requests.Load() > 1 {
		t.Fatalf("%v after %d requests", err, sc.requests.Load())
	}
}

func TestDeleteFallsBackToSingleObjects(t *testing.T) {
	partly := func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<DeleteResult>`+
			`<Error><Key>b</Key><Code>InternalError</Code></Error>`+
			`<Error><Key>c</Key><Code>NoSuchKey</Code></Error></DeleteResult>`)
	}
	gone := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	for _, tc := range []struct {
		name     string
		answers  []answer
		fails    bool
		requests int64
	}{
		{"some failed", []answer{partly, gone}, false, 2},
		{"some failed again", []answer{partly, refuse(403, "AccessDenied")}, true, 2},
		{"request unknown", []answer{refuse(501, "NotImplemented"), gone}, false, 4},
		{"request unknown, objects gone", []answer{refuse(501, "NotImplemented"), refuse(404, "NoSuchKey")}, false, 4},
		{"no such bucket", []answer{refuse(404, "NoSuchBucket")}, true, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, sc := serve(t, tc.answers...)
			err := s.Delete(t.Context(), []string{"a", "b", "c"})
			if (err != nil) != tc.fails || sc.requests.Load() != tc.requests {
				t.Fatalf("%v after %d requests, want %d", err, sc.requests.Load(), tc.requests)
			}
		})
	}
}

// TestObjectsThatAreLockedAreNamedAndTheOthersGo: so that who deletes can go on without them.
func TestObjectsThatAreLockedAreNamedAndTheOthersGo(t *testing.T) {
	partly := func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<DeleteResult>`+
			`<Error><Key>b</Key><Code>AccessDenied</Code><Message>legal hold</Message></Error>`+
			`<Error><Key>c</Key><Code>InternalError</Code></Error></DeleteResult>`)
	}
	gone := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	for _, tc := range []struct {
		name     string
		answers  []answer
		refused  []string // nil: it is another error
		requests int64
	}{
		{"one", []answer{partly, gone}, []string{"b"}, 2},
		{"another is when asked for alone", []answer{partly, refuse(403, "AccessDenied")}, []string{"b", "c"}, 2},
		{"one by one", []answer{refuse(501, "NotImplemented"), gone, refuse(403, "AccessDenied"), gone}, []string{"b"}, 4},
		{"another fails", []answer{partly, refuse(400, "Odd")}, nil, 2},
		{"the credentials are wrong", []answer{refuse(403, "InvalidAccessKeyId")}, nil, 1},
		{"the whole request is refused", []answer{refuse(403, "AccessDenied")}, nil, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, sc := serve(t, tc.answers...)
			err := s.Delete(t.Context(), []string{"a", "b", "c"})
			var refused *objstore.RefusedError
			if errors.As(err, &refused) != (tc.refused != nil) || err == nil || sc.requests.Load() != tc.requests {
				t.Fatalf("%v after %d requests, want %d", err, sc.requests.Load(), tc.requests)
			}
			if refused != nil && !slices.Equal(refused.Keys, tc.refused) {
				t.Errorf("%q were refused, want %q", refused.Keys, tc.refused)
			}
		})
	}
}

func TestMakeBucketAnswers(t *testing.T) {
	missing, taken := refuse(404, "NoSuchBucket"), refuse(409, "BucketAlreadyExists")
	for _, tc := range []struct {
		name    string
		answers []answer
		made    bool
		says    string
	}{
		{"it is there", []answer{accept}, false, ""},
		{"made", []answer{missing, accept}, true, ""},
		{"somebody was quicker", []answer{missing, refuse(409, "BucketAlreadyOwnedByYou"), accept}, false, ""},
		{"somebody else has one of that name", []answer{missing, taken, refuse(403, "AccessDenied")}, false, "AccessDenied"},
		{"one may not look", []answer{refuse(403, "AccessDenied")}, false, "AccessDenied"},
		{"one may not make it", []answer{missing, refuse(403, "AccessDenied")}, false, "make bucket bucket: AccessDenied"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, sc := serve(t, tc.answers...)
			made, err := s.MakeBucket(t.Context())
			if made != tc.made || (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v, %v; want %v and %q", made, err, tc.made, tc.says)
			}
			if sc.requests.Load() != int64(len(tc.answers)) {
				t.Errorf("%d requests, want %d", sc.requests.Load(), len(tc.answers))
			}
		})
	}
}

// TestMakeBucketSaysWhere: S3 wants to be told the region of a bucket, and not if it is us-east-1.
func TestMakeBucketSaysWhere(t *testing.T) {
	for region, want := range map[string]bool{"us-east-1": false, "eu-central-1": true} {
		var said string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPut {
				refuse(404, "NoSuchBucket")(w, r)
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			said = string(body)
		}))
		defer server.Close()
		s := open(t, s3.Options{Bucket: "bucket", Endpoint: server.URL, PathStyle: true, Region: region, AccessKey: "key", SecretKey: "secret"})
		if made, err := s.MakeBucket(t.Context()); !made || err != nil {
			t.Errorf("%s: %v, %v", region, made, err)
		}
		if strings.Contains(said, "<LocationConstraint>"+region+"<") != want || !want && said != "" {
			t.Errorf("%s: the server is told %q", region, said)
		}
	}
}

func TestListOutOfOrderIsAnError(t *testing.T) {
	s, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<ListBucketResult><Contents><Key>b</Key><Size>1</Size></Contents>`+
			`<Contents><Key>marker/</Key><Size>0</Size></Contents><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>`)
	})
	var keys []string
	var last error
	for o, err := range s.List(t.Context(), "", "") {
		if last = err; err == nil {
			keys = append(keys, o.Key)
		}
	}
	if len(keys) != 1 || keys[0] != "b" || last == nil {
		t.Fatalf("%q, %v", keys, last)
	}
}
