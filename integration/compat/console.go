package compat

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
)

// console is Kafka's own console producer and consumer. The producer takes lines of text and sets no timestamps; a
// word stands for null.
type console struct{ java javaTools }

const (
	consoleNull    = "<:null:>"
	consoleField   = "<:field:>"
	consoleRecord  = "<:record:>"
	headersBetween = ";"
	headerEquals   = "="
)

func (console) Name() string { return "kafka-console" }

func (console) Abilities() Abilities {
	return Abilities{AllNull: true, EmptyKey: true, EmptyValue: true, NullHeader: true}
}

func (c console) Produce(ctx context.Context, bootstrap, topic, codec string, records []Record) error {
	var in bytes.Buffer
	for _, r := range records {
		fmt.Fprintf(&in, "%s\t%s\t%s\n", consoleHeaders(r.Headers), orNull(r.Key), orNull(r.Value))
	}
	args := []string{"--bootstrap-server", bootstrap, "--topic", topic, "--compression-codec", codec}
	for _, property := range []string{
		"parse.headers=true", "parse.key=true", "headers.delimiter=\t", "key.separator=\t", "null.marker=" + consoleNull,
		"headers.separator=" + headersBetween, "headers.key.separator=" + headerEquals,
	} {
		args = append(args, "--reader-property", property)
	}
	_, err := c.java.run(ctx, &in, consoleProducer, args...)
	return err
}

func consoleHeaders(headers []Header) string {
	if len(headers) == 0 {
		return consoleNull
	}
	parts := make([]string, len(headers))
	for i, h := range headers {
		parts[i] = h.Key + headerEquals + orNull(h.Value)
	}
	return strings.Join(parts, headersBetween)
}

func orNull(b []byte) string {
	if b == nil {
		return consoleNull
	}
	return string(b)
}

func (c console) Consume(ctx context.Context, bootstrap, topic, group string, count int) ([]Line, error) {
	args := []string{
		"--bootstrap-server", bootstrap, "--topic", topic, "--group", group, "--from-beginning",
		"--max-messages", strconv.Itoa(count),
	}
	for _, property := range []string{
		"print.timestamp=true", "print.partition=true", "print.offset=true", "print.headers=true", "print.key=true",
		"key.separator=" + consoleField, "line.separator=" + consoleRecord, "null.literal=" + consoleNull,
		"headers.separator=" + headersBetween,
	} {
		args = append(args, "--formatter-property", property)
	}
	out, err := c.java.run(ctx, nil, consoleConsumer, args...)
	if err != nil {
		return nil, err
	}
	var lines []Line
	for record := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte(consoleRecord)), []byte(consoleRecord)) {
		fields := strings.SplitN(string(record), consoleField, 4)
		if len(fields) != 4 {
			return nil, fmt.Errorf("record %d of the console consumer's output: %.200q", len(lines), record)
		}
		partition, err1 := strconv.ParseInt(strings.TrimPrefix(fields[1], "Partition:"), 10, 32)
		offset, err2 := strconv.ParseInt(strings.TrimPrefix(fields[2], "Offset:"), 10, 64)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("record %d of the console consumer's output: %.200q", len(lines), record)
		}
		lines = append(lines, Line{int32(partition), offset, fields[0] + consoleField + fields[3]})
	}
	return lines, nil
}

func (console) Render(r Record) string {
	headers := "NO_HEADERS"
	if len(r.Headers) > 0 {
		parts := make([]string, len(r.Headers))
		for i, h := range r.Headers {
			parts[i] = h.Key + ":" + orNull(h.Value)
		}
		headers = strings.Join(parts, headersBetween)
	}
	return strings.Join([]string{
		fmt.Sprintf("CreateTime:%d", r.Timestamp), headers, orNull(r.Key), orNull(r.Value),
	}, consoleField)
}
