package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// writeJSON writes one indented JSON value.
func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// writeDescribed writes what could be described, one after the other with an empty line between, and returns err, which is of the rest.
func writeDescribed[T interface{ write(env *environment) error }](env *environment, all []T, err error) error {
	if env.json {
		return errors.Join(err, writeJSON(env.out, all))
	}
	for i, one := range all {
		if i > 0 {
			fmt.Fprintln(env.out)
		}
		if werr := one.write(env); werr != nil {
			return werr
		}
	}
	return err
}

// table writes aligned columns. Cells must not hold tabs.
type table struct {
	w       *tabwriter.Writer
	aligned bytes.Buffer
	out     io.Writer
}

func newTable(w io.Writer, head ...string) *table {
	t := &table{out: w}
	t.w = tabwriter.NewWriter(&t.aligned, 0, 0, 2, ' ', 0)
	if len(head) > 0 {
		fmt.Fprintln(t.w, strings.Join(head, "\t"))
	}
	return t
}

func (t *table) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = fmt.Sprint(c)
	}
	fmt.Fprintln(t.w, strings.Join(texts, "\t"))
}

// flush writes the table, without the spaces that fill the last column.
func (t *table) flush() error {
	if err := t.w.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(t.out, trimLines(t.aligned.String()))
	return err
}

// trimLines drops the spaces at the ends of lines.
func trimLines(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimRight(line, " \n"))
		b.WriteByte('\n')
	}
	return b.String()
}

// grouped writes a number with commas: 12,345.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// bytesText writes a size for people: 12.3 MiB.
func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// rate is a number per second.
func rate(n int64, elapsed time.Duration) string {
	seconds := max(elapsed.Seconds(), 0.001)
	return grouped(int64(float64(n)/seconds)) + "/s"
}

// plural picks the word for a number.
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

func joinInts(numbers []int32) string {
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = strconv.Itoa(int(n))
	}
	return strings.Join(texts, ",")
}

// orDash shows that a column has no value.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
