package objstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/objstore"
)

func TestValidKey(t *testing.T) {
	long := strings.Repeat("a", 255)
	for name, tc := range map[string]struct {
		key   string
		valid bool
	}{
		"one letter":            {"a", true},
		"segment name":          {"cluster-1/t0/3f/01920f3a-7c1e-7bbb-8000-0123456789ab", true},
		"every byte allowed":    {"azAZ09._-/x", true},
		"hidden file":           {".hidden", true},
		"dots within a name":    {"a..b", true},
		"longest element":       {long, true},
		"two longest elements":  {long + "/" + long, true},
		"empty":                 {"", false},
		"leading slash":         {"/a", false},
		"trailing slash":        {"a/", false},
		"empty element":         {"a//b", false},
		"dot":                   {".", false},
		"dot dot":               {"a/../b", false},
		"three dots":            {"a/...", false},
		"space":                 {"a b", false},
		"percent":               {"a%2Fb", false},
		"backslash":             {`a\b`, false},
		"nul":                   {"a\x00b", false},
		"not ascii":             {"ä", false},
		"invalid utf-8":         {"a\xff", false},
		"newline":               {"a\n", false},
		"tilde of our own":      {"tmp~/x", false},
		"element of 256 bytes":  {long + "a", false},
		"more than 512 bytes":   {strings.Repeat("abc/", 128) + "abc", false},
		"exactly 512 bytes":     {strings.Repeat("abc/", 127) + "abcd", true},
		"exactly 513 bytes":     {strings.Repeat("abc/", 127) + "abcde", false},
		"slash alone":           {"/", false},
		"plus, at and colon":    {"a+b@c:d", false},
		"element ends with dot": {"a./b", true},
	} {
		t.Run(name, func(t *testing.T) {
			err := objstore.ValidKey(tc.key)
			if tc.valid && err != nil {
				t.Fatalf("refused: %v", err)
			}
			if !tc.valid && !errors.Is(err, objstore.ErrInvalidKey) {
				t.Fatalf("got %v, want ErrInvalidKey", err)
			}
		})
	}
}
