package compat

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
)

// Record is one record as it was sent or read. Nil keys, values and header values are Kafka's nulls.
type Record struct {
	Partition int32
	Offset    int64
	Timestamp int64 // milliseconds since 1970; 0 in a record to send leaves it to the client
	Key       []byte
	Value     []byte
	Headers   []Header
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Content renders everything a producer decides, unambiguously: two records have equal contents if and only if
// key, value, headers and (if asked for) timestamp are equal.
func (r Record) Content(timestamp bool) string {
	var b bytes.Buffer
	if timestamp {
		b.WriteString(strconv.FormatInt(r.Timestamp, 10))
	}
	b.WriteString(" k=")
	quote(&b, r.Key)
	b.WriteString(" v=")
	quote(&b, r.Value)
	for _, h := range r.Headers {
		fmt.Fprintf(&b, " %q=", h.Key)
		quote(&b, h.Value)
	}
	return b.String()
}

func quote(b *bytes.Buffer, v []byte) {
	if v == nil {
		b.WriteString("null")
		return
	}
	b.Write(strconv.AppendQuote(b.AvailableBuffer(), string(v)))
}

// Line is one record as a consumer printed it: where it stood, and a text that depends on nothing but its content.
type Line struct {
	Partition int32
	Offset    int64
	Text      string
}

// jsonRecord is a record on the pipe to a client program. Byte slices travel in base64.
type jsonRecord struct {
	Partition int32    `json:"p,omitempty"`
	Offset    int64    `json:"o,omitempty"`
	Timestamp int64    `json:"t,omitempty"`
	Key       []byte   `json:"k"`
	Value     []byte   `json:"v"`
	Headers   [][2]any `json:"h"`
}

func writeJSON(w io.Writer, records []Record) error {
	buf := bufio.NewWriterSize(w, 1<<16)
	enc := json.NewEncoder(buf)
	for _, r := range records {
		headers := make([][2]any, len(r.Headers))
		for i, h := range r.Headers {
			headers[i] = [2]any{h.Key, h.Value}
		}
		err := enc.Encode(jsonRecord{Timestamp: r.Timestamp, Key: r.Key, Value: r.Value, Headers: headers})
		if err != nil {
			return err
		}
	}
	return buf.Flush()
}

func readJSON(out []byte) ([]Line, error) {
	var lines []Line
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var r struct {
			jsonRecord
			Headers []jsonHeader `json:"h"`
		}
		if err := dec.Decode(&r); err == io.EOF {
			return lines, nil
		} else if err != nil {
			return nil, fmt.Errorf("line %d of the client's output: %w", len(lines)+1, err)
		}
		record := Record{Timestamp: r.Timestamp, Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			record.Headers = append(record.Headers, Header(h))
		}
		lines = append(lines, Line{Partition: r.Partition, Offset: r.Offset, Text: record.Content(true)})
	}
}

// jsonHeader reads ["key", "base64"] and ["key", null].
type jsonHeader Header

// UnmarshalJSON implements json.Unmarshaler.
func (h *jsonHeader) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&h.Key, &h.Value})
}
