package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// maxLine bounds a line of input: no broker takes a larger record.
const maxLine = 128 << 20

// recordSource reads records from text.
type recordSource struct {
	in        *bufio.Reader
	parse     func(line []byte) (*kgo.Record, error)
	headers   []kgo.RecordHeader
	timestamp time.Time // zero: the record's own, or now
	partition int32     // -1: the record's own, or by key
	byKey     bool
}

func newRecordSource(in io.Reader, o *produceOptions) (*recordSource, error) {
	s := &recordSource{in: bufio.NewReaderSize(in, 1<<16), partition: o.partition, byKey: o.byKey}
	var err error
	if s.headers, err = parseHeaderFlags(o.headers); err != nil {
		return nil, err
	}
	if o.timestamp != "" {
		if s.timestamp, err = parseTimestamp(o.timestamp); err != nil {
			return nil, usagef("--timestamp %w", err)
		}
	}
	switch o.format {
	case "lines":
		separator := strings.ReplaceAll(o.keySeparator, `\t`, "\t")
		s.parse = func(line []byte) (*kgo.Record, error) { return parseLine(line, separator, o.nullValue) }
	case "json":
		if o.keySeparator != "" || o.nullValue != "" {
			return nil, usagef("--key-separator and --null-value are for --format lines")
		}
		s.parse = parseRecordJSON
	default:
		return nil, usagef("--format must be lines or json, not %q", o.format)
	}
	return s, nil
}

// parseLine makes a record of a line: a value, or a key and a value.
func parseLine(line []byte, separator, nullValue string) (*kgo.Record, error) {
	r := &kgo.Record{Value: line, Partition: -1}
	if separator != "" {
		key, value, ok := bytes.Cut(line, []byte(separator))
		if !ok {
			return nil, fmt.Errorf("lacks the key separator %q", separator)
		}
		r.Key, r.Value = key[:len(key):len(key)], value
	}
	if nullValue != "" && string(r.Value) == nullValue {
		r.Value = nil
	}
	return r, nil
}

func parseHeaderFlags(pairs []string) ([]kgo.RecordHeader, error) {
	var headers []kgo.RecordHeader
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usagef("--header %q is not of the form name=value", pair)
		}
		headers = append(headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	return headers, nil
}

// parseTimestamp reads ms since 1970 or an RFC 3339 time.
func parseTimestamp(s string) (time.Time, error) {
	t, err := parseJSONTime(json.RawMessage(s))
	if err != nil {
		t, err = parseJSONTime(quoteJSON(s))
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("%q: %w", s, err)
	}
	return t, nil
}

// each calls yield with every record, until there are no more or one of the two fails. Records own their bytes.
func (s *recordSource) each(yield func(*kgo.Record) error) error {
	for n := 1; ; n++ {
		line, err := readLine(s.in)
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("line %d: %w", n, err)
		}
		r, err := s.parse(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		s.complete(r)
		if err := yield(r); err != nil {
			return err
		}
	}
}

// complete applies the flags that concern every record.
func (s *recordSource) complete(r *kgo.Record) {
	r.Headers = append(r.Headers, s.headers...)
	if s.byKey {
		r.Partition = -1
	}
	if s.partition >= 0 {
		r.Partition = s.partition
	}
	if !s.timestamp.IsZero() {
		r.Timestamp = s.timestamp
	}
}

// readLine reads up to a newline, without it; a carriage return is data. With io.EOF the line may hold what followed
// the last newline. The result is the caller's.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("longer than %d MiB", maxLine>>20)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
}
