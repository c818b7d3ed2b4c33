package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordJSON is a record as `consume --format json` writes it and `produce --format json` reads it, one a line. A key
// or value that is no UTF-8 text stands in base64 in the other field; null is none.
type recordJSON struct {
	Topic     string          `json:"topic,omitempty"`
	Partition *int32          `json:"partition,omitempty"`
	Offset    *int64          `json:"offset,omitempty"`
	Timestamp json.RawMessage `json:"timestamp,omitempty"` // ms since the epoch, or RFC 3339
	Key       json.RawMessage `json:"key"`
	KeyBase64 []byte          `json:"key_base64,omitempty"`
	Value     json.RawMessage `json:"value"`
	ValBase64 []byte          `json:"value_base64,omitempty"`
	Headers   json.RawMessage `json:"headers,omitempty"` // list of headerJSON; produce takes an object of strings, too
}

type headerJSON struct {
	Key       string          `json:"key"`
	Value     json.RawMessage `json:"value"`
	ValBase64 []byte          `json:"value_base64,omitempty"`
}

var null = json.RawMessage("null")

// encodeBytes returns the two fields that carry b.
func encodeBytes(b []byte) (asText json.RawMessage, asBase64 []byte) {
	if b == nil {
		return null, nil
	}
	if !utf8.Valid(b) {
		return null, b
	}
	return quoteJSON(string(b)), nil
}

func quoteJSON(s string) json.RawMessage {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return null // a string is always encoded
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// decodeBytes is the inverse of encodeBytes. A JSON value that is no string is taken as it stands: a producer of JSON
// records need not quote them.
func decodeBytes(asText json.RawMessage, asBase64 []byte) ([]byte, error) {
	if asBase64 != nil {
		return asBase64, nil
	}
	if len(asText) == 0 || bytes.Equal(asText, null) {
		return nil, nil
	}
	if asText[0] != '"' {
		var b bytes.Buffer
		if err := json.Compact(&b, asText); err != nil {
			return nil, err
		}
		return b.Bytes(), nil
	}
	var s string
	if err := json.Unmarshal(asText, &s); err != nil {
		return nil, err
	}
	return []byte(s), nil
}

// appendRecordJSON appends the record as one line.
func appendRecordJSON(dst []byte, r *kgo.Record) ([]byte, error) {
	j := recordJSON{Topic: r.Topic, Partition: &r.Partition, Offset: &r.Offset}
	j.Timestamp = fmt.Append(nil, r.Timestamp.UnixMilli())
	j.Key, j.KeyBase64 = encodeBytes(r.Key)
	j.Value, j.ValBase64 = encodeBytes(r.Value)
	if len(r.Headers) > 0 {
		headers := make([]headerJSON, len(r.Headers))
		for i, h := range r.Headers {
			headers[i].Key = h.Key
			headers[i].Value, headers[i].ValBase64 = encodeBytes(h.Value)
		}
		raw, err := marshalPlain(headers)
		if err != nil {
			return nil, err
		}
		j.Headers = raw
	}
	line, err := marshalPlain(j)
	return append(append(dst, line...), '\n'), err
}

// marshalPlain is json.Marshal that leaves <, > and & as they are.
func marshalPlain(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// parseRecordJSON reads one line. Topic and offset are ignored: the one is given on the command line, the other by the
// broker. The partition is -1 if the line names none.
func parseRecordJSON(line []byte) (*kgo.Record, error) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	var j recordJSON
	if err := decoder.Decode(&j); err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, errors.New("more than one JSON value in a line")
	}
	r := &kgo.Record{Partition: -1}
	if j.Partition != nil {
		r.Partition = *j.Partition
	}
	var err error
	if r.Key, err = decodeBytes(j.Key, j.KeyBase64); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if r.Value, err = decodeBytes(j.Value, j.ValBase64); err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	if r.Timestamp, err = parseJSONTime(j.Timestamp); err != nil {
		return nil, fmt.Errorf("timestamp: %w", err)
	}
	if r.Headers, err = parseJSONHeaders(j.Headers); err != nil {
		return nil, fmt.Errorf("headers: %w", err)
	}
	return r, nil
}

func parseJSONTime(raw json.RawMessage) (time.Time, error) {
	if len(raw) == 0 || bytes.Equal(raw, null) {
		return time.Time{}, nil
	}
	var ms int64
	if json.Unmarshal(raw, &ms) == nil {
		return time.UnixMilli(ms), nil
	}
	var t time.Time
	if err := json.Unmarshal(raw, &t); err != nil {
		return time.Time{}, errors.New("must be milliseconds since 1970 or an RFC 3339 time")
	}
	return t, nil
}

func parseJSONHeaders(raw json.RawMessage) ([]kgo.RecordHeader, error) {
	if len(raw) == 0 || bytes.Equal(raw, null) {
		return nil, nil
	}
	var list []headerJSON
	if raw[0] == '{' {
		var err error
		if list, err = headersOfObject(raw); err != nil {
			return nil, err
		}
	} else if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	headers := make([]kgo.RecordHeader, len(list))
	for i, h := range list {
		value, err := decodeBytes(h.Value, h.ValBase64)
		if err != nil {
			return nil, err
		}
		headers[i] = kgo.RecordHeader{Key: h.Key, Value: value}
	}
	return headers, nil
}

// headersOfObject reads {"name": value, ...} in the order of the text.
func headersOfObject(raw json.RawMessage) ([]headerJSON, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	var list []headerJSON
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		h := headerJSON{Key: fmt.Sprint(name)}
		if err := decoder.Decode(&h.Value); err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, nil
}
