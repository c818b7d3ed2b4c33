package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

func readAll(t *testing.T, input string, o produceOptions) []*kgo.Record {
	t.Helper()
	s, err := newRecordSource(strings.NewReader(input), &o)
	if err != nil {
		t.Fatal(err)
	}
	var records []*kgo.Record
	if err := s.each(func(r *kgo.Record) error { records = append(records, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return records
}

func show(b []byte) string {
	if b == nil {
		return "null"
	}
	return fmt.Sprintf("%q", b)
}

func TestReadLines(t *testing.T) {
	tests := []struct {
		name, input string
		options     produceOptions
		want        string // key=value, a record each
	}{
		{"values", "a\nb\n", produceOptions{}, `null="a" null="b"`},
		{"no newline at the end", "a\nb", produceOptions{}, `null="a" null="b"`},
		{"empty values", "\n\nx", produceOptions{}, `null="" null="" null="x"`},
		{"nothing", "", produceOptions{}, ``},
		{"carriage returns are data", "a\r\n", produceOptions{}, `null="a\r"`},
		{"longer than the buffer", strings.Repeat("x", 200_000), produceOptions{}, `null="` + strings.Repeat("x", 200_000) + `"`},
		{"keys", "k:v\n:v\nk:\nk:v:w\n", produceOptions{keySeparator: ":"}, `"k"="v" ""="v" "k"="" "k"="v:w"`},
		{"tab", "k\tv\n", produceOptions{keySeparator: `\t`}, `"k"="v"`},
		{"tombstone", "k:NULL\nk:null\n", produceOptions{keySeparator: ":", nullValue: "NULL"}, `"k"=null "k"="null"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.format, tt.options.partition = "lines", -1
			var got []string
			for _, r := range readAll(t, tt.input, tt.options) {
				got = append(got, show(r.Key)+"="+show(r.Value))
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %.200s, want %.200s", s, tt.want)
			}
		})
	}
}

func TestFlagsConcernEveryRecord(t *testing.T) {
	o := produceOptions{format: "json", headers: []string{"a=1", "b=x=y"}, timestamp: "2026-01-02T03:04:05Z", partition: 2}
	r := readAll(t, `{"value":"v","partition":1,"headers":{"own":"h"}}`, o)[0]
	if r.Partition != 2 || r.Timestamp.Unix() != 1767323045 || len(r.Headers) != 3 || r.Headers[0].Key != "own" || string(r.Headers[2].Value) != "x=y" {
		t.Errorf("%+v", r)
	}
}

func TestPartitionOfARecord(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options produceOptions
		want    int32
	}{
		{"its own", produceOptions{partition: -1}, 3},
		{"chosen by key", produceOptions{partition: -1, byKey: true}, -1},
		{"given for all", produceOptions{partition: 1}, 1},
	} {
		tt.options.format = "json"
		if r := readAll(t, `{"value":"v","partition":3}`, tt.options)[0]; r.Partition != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, r.Partition, tt.want)
		}
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	for _, tt := range []struct{ format, separator, input, want string }{
		{"lines", ":", "a:b\nc\n", "line 2: lacks the key separator"},
		{"json", "", "{\"value\":1}\n{\"valeu\":1}\n", `line 2: json: unknown field "valeu"`},
		{"json", "", "{} {}\n", "line 1: more than one JSON value"},
		{"json", "", "{\"timestamp\":\"now\"}\n", "line 1: timestamp: must be"},
	} {
		s, err := newRecordSource(strings.NewReader(tt.input), &produceOptions{format: tt.format, keySeparator: tt.separator})
		if err != nil {
			t.Fatal(err)
		}
		err = s.each(func(*kgo.Record) error { return nil })
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %s", tt.input, err, tt.want)
		}
	}
}

func TestJSONForms(t *testing.T) {
	tests := []struct{ name, line, key, value, headers string }{
		{"texts", `{"key":"k","value":"v"}`, `"k"`, `"v"`, ``},
		{"nothing", `{}`, `null`, `null`, ``},
		{"nulls", `{"key":null,"value":null}`, `null`, `null`, ``},
		{"empty", `{"key":"","value":""}`, `""`, `""`, ``},
		{"value is JSON", `{"value": {"a": [1, 2]} }`, `null`, `"{\"a\":[1,2]}"`, ``},
		{"bytes", `{"key_base64":"/w==","value_base64":"AAE="}`, `"\xff"`, `"\x00\x01"`, ``},
		{"header list", `{"headers":[{"key":"a","value":"1"},{"key":"a","value":null}]}`, `null`, `null`, `a="1" a=null `},
		{"header object in order", `{"headers":{"z":"1","a":2}}`, `null`, `null`, `z="1" a="2" `},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := parseRecordJSON([]byte(tt.line))
			if err != nil {
				t.Fatal(err)
			}
			headers := ""
			for _, h := range r.Headers {
				headers += h.Key + "=" + show(h.Value) + " "
			}
			if show(r.Key) != tt.key || show(r.Value) != tt.value || headers != tt.headers || r.Partition != -1 {
				t.Errorf("%s %s %q %d", show(r.Key), show(r.Value), headers, r.Partition)
			}
		})
	}
}

// What consume writes as JSON, produce reads back as the same record, whatever its bytes.
func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		field := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }))
		want := &kgo.Record{Topic: "t", Partition: 3, Offset: 4, Key: field.Draw(rt, "key"), Value: field.Draw(rt, "value"),
			Timestamp: time.UnixMilli(rapid.Int64Range(0, 1<<44).Draw(rt, "time"))}
		for range rapid.IntRange(0, 3).Draw(rt, "headers") {
			want.Headers = append(want.Headers, kgo.RecordHeader{Key: rapid.String().Draw(rt, "name"), Value: field.Draw(rt, "header")})
		}
		line, err := appendRecordJSON(nil, want)
		if err != nil {
			rt.Fatal(err)
		}
		if bytes.Count(line, []byte("\n")) != 1 {
			rt.Fatalf("not one line: %q", line)
		}
		got, err := parseRecordJSON(line)
		if err != nil {
			rt.Fatalf("%s: %v", line, err)
		}
		if show(got.Key) != show(want.Key) || show(got.Value) != show(want.Value) || !got.Timestamp.Equal(want.Timestamp) || len(got.Headers) != len(want.Headers) {
			rt.Fatalf("%s became %+v", line, got)
		}
		for i, h := range want.Headers {
			if got.Headers[i].Key != h.Key || show(got.Headers[i].Value) != show(h.Value) {
				rt.Fatalf("header %d of %s became %+v", i, line, got.Headers[i])
			}
		}
	})
}

func TestTemplate(t *testing.T) {
	r := &kgo.Record{Topic: "t", Partition: 2, Offset: 7, Key: []byte("key"), Timestamp: time.UnixMilli(1700000000123),
		Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b"}}}
	for template, want := range map[string]string{
		`%t/%p/%o %k\n`: "t/2/7 key\n",
		`[%s] %S %K`:    "[] -1 3",
		`%T|%h`:         "1700000000123|a=1,b=NULL",
		`100%%\t\x41\0`: "100%\tA\x00",
		`\\%`:           `\%`,
		"text":          "\n",
	} {
		f, err := newFormat(template)
		if err != nil {
			t.Error(err)
			continue
		}
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		if err := f(w, r); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("%s: got %q, want %q", template, b.String(), want)
		}
	}
	for _, template := range []string{`%z`, `\q%s`, `\x4%s`, `xml`} {
		if _, err := newFormat(template); err == nil {
			t.Errorf("%s is taken", template)
		}
	}
}

func TestSourceStopsWhenItsReaderDoes(t *testing.T) {
	s, err := newRecordSource(io.MultiReader(strings.NewReader("a\nb\n")), &produceOptions{format: "lines"})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = s.each(func(*kgo.Record) error { n++; return context.Canceled })
	if n != 1 || err == nil {
		t.Errorf("%d records, %v", n, err)
	}
}
