package main

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// format writes one record.
type format func(w *bufio.Writer, r *kgo.Record) error

// newFormat reads --format: text, json, or a template.
func newFormat(s string) (format, error) {
	switch s {
	case "text":
		s = `%s\n`
	case "json":
		return writeRecordJSON, nil
	}
	if !strings.ContainsAny(s, `%\`) {
		return nil, usagef("--format must be text, json or a template with %% in it, not %q", s)
	}
	return parseTemplate(s)
}

func writeRecordJSON(w *bufio.Writer, r *kgo.Record) error {
	line, err := appendRecordJSON(w.AvailableBuffer(), r)
	if err != nil {
		return err
	}
	_, err = w.Write(line)
	return err
}

// piece appends one part of a template.
type piece func(dst []byte, r *kgo.Record) []byte

// parseTemplate reads a template in kcat's letters.
func parseTemplate(s string) (format, error) {
	var pieces []piece
	var literal []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			c, used, err := parseEscape(s[i+1:])
			if err != nil {
				return nil, err
			}
			literal = append(literal, c)
			i += used
		case s[i] == '%' && i+1 < len(s):
			i++
			if s[i] == '%' {
				literal = append(literal, '%')
				continue
			}
			p := placeholder(s[i])
			if p == nil {
				return nil, usagef("--format: %%%c is not known; see runnel consume --help", s[i])
			}
			pieces, literal = append(pieces, text(literal), p), nil
		default:
			literal = append(literal, s[i])
		}
	}
	pieces = append(pieces, text(literal))
	return func(w *bufio.Writer, r *kgo.Record) error {
		line := w.AvailableBuffer()
		for _, p := range pieces {
			line = p(line, r)
		}
		_, err := w.Write(line)
		return err
	}, nil
}

func text(literal []byte) piece {
	return func(dst []byte, _ *kgo.Record) []byte { return append(dst, literal...) }
}

// parseEscape reads what follows a backslash and tells how many bytes it took.
func parseEscape(s string) (c byte, used int, err error) {
	switch s[0] {
	case 'n':
		return '\n', 1, nil
	case 'r':
		return '\r', 1, nil
	case 't':
		return '\t', 1, nil
	case '0':
		return 0, 1, nil
	case '\\':
		return '\\', 1, nil
	case 'x':
		if len(s) >= 3 {
			if n, err := strconv.ParseUint(s[1:3], 16, 8); err == nil {
				return byte(n), 3, nil
			}
		}
		return 0, 0, usagef("--format: \\x needs two hexadecimal digits")
	}
	return 0, 0, usagef("--format: \\%c is not known; there are \\n \\r \\t \\0 \\\\ and \\xHH", s[0])
}

func placeholder(letter byte) piece {
	switch letter {
	case 's':
		return func(dst []byte, r *kgo.Record) []byte { return append(dst, r.Value...) }
	case 'k':
		return func(dst []byte, r *kgo.Record) []byte { return append(dst, r.Key...) }
	case 'S':
		return func(dst []byte, r *kgo.Record) []byte { return appendLength(dst, r.Value) }
	case 'K':
		return func(dst []byte, r *kgo.Record) []byte { return appendLength(dst, r.Key) }
	case 't':
		return func(dst []byte, r *kgo.Record) []byte { return append(dst, r.Topic...) }
	case 'p':
		return func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, int64(r.Partition), 10) }
	case 'o':
		return func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, r.Offset, 10) }
	case 'T':
		return func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, r.Timestamp.UnixMilli(), 10) }
	case 'h':
		return appendHeaders
	}
	return nil
}

// appendLength appends the number of bytes, -1 for none at all.
func appendLength(dst, b []byte) []byte {
	if b == nil {
		return append(dst, "-1"...)
	}
	return strconv.AppendInt(dst, int64(len(b)), 10)
}

// appendHeaders appends name=value pairs with commas between, as kcat does.
func appendHeaders(dst []byte, r *kgo.Record) []byte {
	for i, h := range r.Headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		value := string(h.Value)
		if h.Value == nil {
			value = "NULL"
		}
		dst = fmt.Appendf(dst, "%s=%s", h.Key, value)
	}
	return dst
}
