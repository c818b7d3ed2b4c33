package s3_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/objstoretest"
	"github.com/runnel-io/runnel/objstore/s3"
	"github.com/runnel-io/runnel/objstore/s3/s3test"
)

func open(t testing.TB, opts s3.Options) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	s3test.Options(t) // skip once, not per case
	objstoretest.Run(t, func(t *testing.T) objstore.Store { return s3test.Open(t) })
}

func TestStoreSeesItsPrefixOnly(t *testing.T) {
	opts := s3test.Options(t)
	opts.Prefix += "/cluster-1"
	one := open(t, opts)
	opts.Prefix = strings.TrimSuffix(opts.Prefix, "1") + "10/" // a slash at the end changes nothing
	ten := open(t, opts)
	for _, s := range []*s3.Store{one, ten} {
		if err := s.Put(t.Context(), "a/b", [][]byte{[]byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := one.Delete(t.Context(), []string{"a/b"}); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, one); len(got) != 0 {
		t.Fatalf("cluster-1 lists %q", got)
	}
	if got := keys(t, ten); !slices.Equal(got, []string{"a/b"}) {
		t.Fatalf("cluster-10 lists %q", got)
	}
	if err := ten.Delete(t.Context(), []string{"a/b"}); err != nil {
		t.Fatal(err)
	}
}

func TestCheckSaysWhyNot(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*s3.Options)
		want   string
	}{
		"no such bucket": {func(o *s3.Options) { o.Bucket = "there-is-no-such-bucket" }, "NoSuchBucket"},
		"wrong secret":   {func(o *s3.Options) { o.SecretKey += "x" }, "SignatureDoesNotMatch"},
		"nobody there":   {func(o *s3.Options) { o.Endpoint = "http://127.0.0.1:1" }, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := s3test.Options(t)
			tc.change(&opts)
			s := open(t, opts)
			if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %q", err, tc.want)
			} else if again := s.Check(t.Context()); again == nil || again.Error() != err.Error() {
				t.Fatalf("got %v, then %v: readiness would log it each time", err, again)
			}
			opts.Attempts = 1
			_, err := open(t, opts).Get(t.Context(), "a", 0, 1)
			if err == nil || errors.Is(err, objstore.ErrNotFound) {
				t.Fatalf("Get: %v, want an error that does not say that the object is gone", err)
			}
		})
	}
}

// TestMakeBucket: one of many who make it at once does, and then it is there.
func TestMakeBucket(t *testing.T) {
	opts := s3test.Options(t)
	opts.Bucket = "made-" + strings.ToLower(rand.Text())
	s := open(t, opts)
	const makers = 4
	var made atomic.Int64
	var group sync.WaitGroup
	for range makers {
		group.Go(func() {
			mine, err := s.MakeBucket(t.Context())
			if err != nil {
				t.Error(err)
			}
			if mine {
				made.Add(1)
			}
		})
	}
	group.Wait()
	if again, err := s.MakeBucket(t.Context()); again || err != nil || made.Load() < 1 {
		t.Errorf("%d made it; then once more: %v, %v", made.Load(), again, err)
	}
	if err := s.Put(t.Context(), "a", [][]byte{[]byte("x")}); err != nil {
		t.Error(err)
	}
	if err := s.Delete(t.Context(), []string{"a"}); err != nil {
		t.Error(err)
	}
	opts.SecretKey += "x"
	if made, err := open(t, opts).MakeBucket(t.Context()); made || err == nil || !strings.Contains(err.Error(), "SignatureDoesNotMatch") {
		t.Errorf("with a wrong secret: %v, %v", made, err)
	}
}

func TestOpenRefusesBadOptions(t *testing.T) {
	for name, opts := range map[string]s3.Options{
		"no bucket":            {},
		"endpoint, no scheme":  {Bucket: "b", Endpoint: "127.0.0.1:9000"},
		"endpoint, no host":    {Bucket: "b", Endpoint: "http://"},
		"prefix":               {Bucket: "b", Prefix: "/a"},
		"half of credentials":  {Bucket: "b", AccessKey: "a"},
		"token without a key":  {Bucket: "b", SessionToken: "a"},
		"negative connections": {Bucket: "b", MaxConnections: -1},
	} {
		if _, err := s3.Open(t.Context(), opts); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func keys(t *testing.T, s objstore.Store) (keys []string) {
	t.Helper()
	for o, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

func BenchmarkPut(b *testing.B) {
	s := s3test.Open(b)
	parts := [][]byte{bytes.Repeat([]byte("r"), 4<<20), bytes.Repeat([]byte("s"), 4<<20)}
	b.SetBytes(8 << 20)
	for i := 0; b.Loop(); i++ {
		if err := s.Put(b.Context(), "b/"+strings.Repeat("x", i%200+1)+"/"+string(rune('a'+i/200)), parts); err != nil {
			b.Fatal(err)
		}
	}
}
