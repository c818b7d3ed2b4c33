package s3

import (
	"fmt"
	"testing"
)

// FuzzContentRange looks for headers that are read as a range which is none.
func FuzzContentRange(f *testing.F) {
	f.Add("bytes 0-9/10")
	f.Add("bytes */10")
	f.Add("bytes -1-9223372036854775807/9223372036854775808")
	f.Fuzz(func(t *testing.T, header string) {
		first, last, size, ok := parseContentRange(header)
		if !ok {
			return
		}
		again := fmt.Sprintf("bytes %d-%d/%d", first, last, size)
		if f, l, s, ok := parseContentRange(again); first < 0 || last < first || size <= last || !ok || f != first || l != last || s != size {
			t.Errorf("%q is %d to %d of %d, which is %q", header, first, last, size, again)
		}
	})
}
