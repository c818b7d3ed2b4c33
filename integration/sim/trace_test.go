package sim

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestATraceIsItsLines: times and checksums are written as fmt would, and no line is lost where a piece ends or a line is
// longer than what is left of it.
func TestATraceIsItsLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trace, began, want := NewTrace(), time.Now(), ""
		for i, pause := range []time.Duration{0, 1, 999_999_999, 1, 8 * time.Second, time.Second - 1, 1, 89_999_999_999, 1, time.Hour} {
			time.Sleep(pause)
			at := time.Since(began).Seconds()
			for j := range 100 {
				sum := uint32(i*j) * 2654435761
				text := strings.Repeat("x", j*j)
				trace.note(func(line []byte) []byte { return append(append(appendSum(line, sum), ' '), text...) })
				trace.notef("%d", j)
				want += fmt.Sprintf("%13.9f %08x %s\n%13.9f %d\n", at, sum, text, at, j)
			}
		}
		if is := string(trace.Text()); is != want {
			t.Errorf("it has %d bytes, not the %d of its lines", len(is), len(want))
		}
		whole := &Trace{text: [][]byte{[]byte(want)}}
		sum, lines := trace.Sum()
		if of, _ := whole.Sum(); sum != of || lines != 2000 {
			t.Errorf("%d lines have the checksum %s, not %s", lines, sum, of)
		}
	})
}
