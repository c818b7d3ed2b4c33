package s3_test

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/objstore/s3"
	"github.com/runnel-io/runnel/objstore/s3/s3test"
)

// keeper is a server that stores what it is sent, and may look at checksums.
type keeper struct {
	checks, mindsUnsigned, mindsChecksum bool
	silent                               bool // says nothing of checksums

	mu       sync.Mutex
	objects  map[string]string
	unsigned int  // Puts without a signature of the body
	garble   bool // the next body
}

func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.Method == http.MethodDelete {
		delete(k.objects, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	body, _ := io.ReadAll(r.Body)
	if k.garble {
		body[0]++
		k.garble = false
	}
	sum, unsigned := r.Header.Get("X-Amz-Checksum-Crc32c"), r.Header.Get("X-Amz-Content-Sha256") == "UNSIGNED-PAYLOAD"
	own := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))))
	switch {
	case k.mindsUnsigned && unsigned:
		refuse(http.StatusForbidden, "AccessDenied")(w, r)
		return
	case k.mindsChecksum && sum != "":
		refuse(http.StatusBadRequest, "InvalidArgument")(w, r)
		return
	case k.checks && sum != "" && sum != own:
		refuse(http.StatusBadRequest, "BadDigest")(w, r)
		return
	}
	if unsigned {
		k.unsigned++
	}
	k.objects[r.URL.Path] = string(body)
	if k.checks && !k.silent && sum != "" {
		w.Header().Set("X-Amz-Checksum-Crc32c", sum)
	}
}

// put stores "abc" under the key and tells whether the body was not signed.
func (k *keeper) put(t *testing.T, s *s3.Store, key string) (unsigned bool) {
	t.Helper()
	before := k.unsigned
	if err := s.Put(t.Context(), key, [][]byte{[]byte("ab"), []byte("c")}); err != nil {
		t.Fatal(err)
	}
	if got := k.objects["/bucket/"+key]; got != "abc" {
		t.Fatalf("%s is %q", key, got)
	}
	return k.unsigned > before
}

func serveKeeper(t *testing.T, k *keeper) *s3.Store {
	t.Helper()
	k.objects = map[string]string{}
	server := httptest.NewServer(k)
	t.Cleanup(server.Close)
	return open(t, s3.Options{
		Bucket: "bucket", Endpoint: server.URL, PathStyle: true, AccessKey: "key", SecretKey: "secret", Attempts: 3, MaxBackoff: time.Millisecond,
	})
}

// TestBodiesAreSignedUnlessTheServerChecksThem: what a server does not check by itself is checked with the signature.
func TestBodiesAreSignedUnlessTheServerChecksThem(t *testing.T) {
	for name, tc := range map[string]struct {
		server   *keeper
		unsigned bool
	}{
		"checks":                   {&keeper{checks: true}, true},
		"passes over checksums":    {&keeper{}, false},
		"minds checksums":          {&keeper{mindsChecksum: true}, false},
		"minds unsigned bodies":    {&keeper{checks: true, mindsUnsigned: true}, false},
		"minds what is not signed": {&keeper{mindsUnsigned: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := tc.server
			s := serveKeeper(t, k)
			k.put(t, s, "first")
			for _, key := range []string{"second", "third"} {
				if got := k.put(t, s, key); got != tc.unsigned {
					t.Errorf("%s: unsigned %v, want %v", key, got, tc.unsigned)
				}
			}
			for path := range k.objects {
				if strings.Contains(path, "-probe-") {
					t.Errorf("%s is left", path)
				}
			}
		})
	}
}

// TestABodyThatArrivesChangedIsNotStored, and one that a server no longer wants without a signature is sent with it.
func TestABodyThatArrivesChangedIsNotStored(t *testing.T) {
	k := &keeper{checks: true}
	s := serveKeeper(t, k)
	k.put(t, s, "first")
	k.garble = true
	k.put(t, s, "garbled") // is sent again, and what is stored is right
	k.checks, k.mindsUnsigned = false, true
	for _, key := range []string{"other-server", "and-again"} {
		if k.put(t, s, key) {
			t.Errorf("%s: not signed", key)
		}
	}
}

// TestBodiesAreSignedAgainWhenAnotherServerPassesOverChecksums: one that does not say the checksum again has not looked at it.
func TestBodiesAreSignedAgainWhenAnotherServerPassesOverChecksums(t *testing.T) {
	k := &keeper{checks: true}
	s := serveKeeper(t, k)
	k.put(t, s, "first")
	if !k.put(t, s, "second") {
		t.Error("signed, although the server checks")
	}
	k.silent, k.checks = true, false
	k.put(t, s, "third")
	if k.put(t, s, "fourth") {
		t.Error("not signed")
	}
}

// TestALookAtWhatTheServerCanIsMadeAgainAndNotForEver, if its answer does not tell.
func TestALookAtWhatTheServerCanIsMadeAgainAndNotForEver(t *testing.T) {
	k := &keeper{checks: true, objects: map[string]string{}}
	probes := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "-probe-") {
			probes++
			refuse(http.StatusServiceUnavailable, "SlowDown")(w, r)
			return
		}
		k.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s := open(t, s3.Options{Bucket: "bucket", Endpoint: server.URL, PathStyle: true, AccessKey: "key", SecretKey: "secret"})
	for i := range 10 {
		if k.put(t, s, string(rune('a'+i))) {
			t.Error("not signed")
		}
	}
	if probes != 5 {
		t.Errorf("%d looks, want 5", probes)
	}
}

// TestRealServersCheckBodies: the servers of the test suite are not sent signed bodies for long.
func TestRealServersCheckBodies(t *testing.T) {
	s := s3test.Open(t)
	for _, key := range []string{"a", "b"} {
		if err := s.Put(t.Context(), key, [][]byte{[]byte("abc")}); err != nil {
			t.Fatal(err)
		}
		if !s3.SendsChecksums(s) {
			t.Errorf("after %s bodies are signed: the server does not check checksums, refuses them, or does not say them again", key)
		}
	}
	if all := keys(t, s); len(all) != 2 {
		t.Errorf("the bucket has %q", all)
	}
}
