package objstoretest

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/runnel-io/runnel/objstore"
)

func getRanges(t *testing.T, s objstore.Store) {
	const all = "0123456789"
	put(t, s, "digits", []byte(all))
	for _, tc := range []struct {
		name           string
		offset, length int64
		want           string
		err            error
	}{
		{"all", 0, 10, all, nil},
		{"first byte", 0, 1, "0", nil},
		{"last byte", 9, 1, "9", nil},
		{"middle", 3, 4, "3456", nil},
		{"past the end", 7, 100, "789", nil},
		{"one past the end", 0, 11, all, nil},
		{"up to the end", 4, 6, "456789", nil},
		{"largest length", 2, math.MaxInt64, "23456789", nil},
		{"no length", 5, 0, "", nil},
		{"no length at the start", 0, 0, "", nil},
		{"at the end", 10, 1, "", objstore.ErrRange},
		{"at the end without length", 10, 0, "", objstore.ErrRange},
		{"beyond the end", 11, 1, "", objstore.ErrRange},
		{"far beyond the end", math.MaxInt64, 1, "", objstore.ErrRange},
		{"far beyond the end, long", math.MaxInt64, math.MaxInt64, "", objstore.ErrRange},
		{"negative offset", -1, 5, "", objstore.ErrRange},
		{"negative length", 0, -1, "", objstore.ErrRange},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := s.Get(t.Context(), "digits", tc.offset, tc.length)
			if !errors.Is(err, tc.err) || tc.err == nil && err != nil {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if string(got) != tc.want {
				t.Fatalf("got %q, want %q", got, tc.want)
			}
			if tc.length < 0 || tc.length > 1000 {
				return
			}
			buf := make([]byte, tc.length, tc.length+3)
			n, err := objstore.GetInto(t.Context(), s, "digits", tc.offset, buf)
			if !errors.Is(err, tc.err) || tc.err == nil && err != nil || string(buf[:n]) != tc.want {
				t.Fatalf("into memory: %q, %v; want %q, %v", buf[:n], err, tc.want, tc.err)
			}
			if rest := buf[tc.length:cap(buf)]; !bytes.Equal(rest, make([]byte, 3)) {
				t.Fatalf("wrote past the memory: %q", rest)
			}
		})
	}
}

func getSuffix(t *testing.T, s objstore.Store) {
	put(t, s, "digits", []byte("0123456789"))
	for length, want := range map[int64]string{
		0: "", 1: "9", 3: "789", 9: "123456789", 10: "0123456789", 11: "0123456789", math.MaxInt64: "0123456789", -1: "",
	} {
		got, err := s.GetSuffix(t.Context(), "digits", length)
		if err != nil || string(got) != want {
			t.Errorf("GetSuffix(%d) = %q, %v; want %q", length, got, err, want)
		}
	}
}

func getOwnsItsResult(t *testing.T, s objstore.Store) {
	put(t, s, "mine", []byte("immutable"))
	for range 2 {
		got, err := s.Get(t.Context(), "mine", 0, 9)
		if err != nil || !bytes.Equal(got, []byte("immutable")) {
			t.Fatalf("Get: %q, %v", got, err)
		}
		clear(got)
		if got, err = s.GetSuffix(t.Context(), "mine", 9); err != nil || !bytes.Equal(got, []byte("immutable")) {
			t.Fatalf("GetSuffix: %q, %v", got, err)
		}
		clear(got)
	}
}

func notFound(t *testing.T, s objstore.Store) {
	put(t, s, "dir/here", []byte("x"))
	for _, key := range []string{"gone", "dir", "dir/gone", "dir/here2", "dir/her", "other/here"} {
		if _, err := s.Get(t.Context(), key, 0, 1); !errors.Is(err, objstore.ErrNotFound) {
			t.Errorf("Get(%q): %v, want ErrNotFound", key, err)
		}
		if _, err := s.Get(t.Context(), key, 5, 0); !errors.Is(err, objstore.ErrNotFound) {
			t.Errorf("Get(%q) of no bytes: %v, want ErrNotFound", key, err)
		}
		for _, length := range []int64{0, 1} {
			if _, err := s.GetSuffix(t.Context(), key, length); !errors.Is(err, objstore.ErrNotFound) {
				t.Errorf("GetSuffix(%q, %d): %v, want ErrNotFound", key, length, err)
			}
		}
	}
}
