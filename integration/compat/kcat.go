package compat

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// kcat is the command line client on librdkafka, as Debian packages it. It sets no timestamps, sends one set of
// headers per run, and cannot tell an empty key or value from a null.
type kcat struct{}

// openKcat fails if kcat is not installed.
func openKcat() (kcat, error) {
	if _, err := exec.LookPath("kcat"); err != nil {
		return kcat{}, fmt.Errorf("%w (apt-get install kcat)", err)
	}
	return kcat{}, nil
}

// No record of ours holds these.
const (
	kcatKeyEnd    = "<:key:>"
	kcatRecordEnd = "<:record:>"
)

func (kcat) Name() string { return "kcat" }

func (kcat) Abilities() Abilities {
	return Abilities{AllNull: true, Binary: true, Headers: HeadersPerRun}
}

func (kcat) Produce(ctx context.Context, bootstrap, topic, codec string, records []Record) error {
	command := []string{
		"kcat", "-P", "-b", bootstrap, "-t", topic, "-z", codec, "-K", kcatKeyEnd, "-D", kcatRecordEnd,
		"-Z", "-X", "enable.idempotence=true",
	}
	for _, h := range records[0].Headers {
		command = append(command, "-H", h.Key+"="+string(h.Value))
	}
	var in bytes.Buffer
	for _, r := range records {
		in.Write(r.Key)
		in.WriteString(kcatKeyEnd)
		in.Write(r.Value)
		in.WriteString(kcatRecordEnd)
	}
	_, err := runCommand(ctx, nil, &in, command...)
	return err
}

func (kcat) Consume(ctx context.Context, bootstrap, topic, group string, count int) ([]Line, error) {
	out, err := runCommand(ctx, nil, nil, "kcat", "-q", "-b", bootstrap, "-G", group, "-X", "auto.offset.reset=earliest",
		"-c", fmt.Sprint(count), "-f", `%p %o %T %K %S\n%k%s%h`+kcatRecordEnd, topic)
	if err != nil {
		return nil, err
	}
	var lines []Line
	for len(out) > 0 {
		head, rest, _ := bytes.Cut(out, []byte("\n"))
		var l Line
		var timestamp int64
		var keyLen, valueLen int
		if _, err := fmt.Sscan(string(head), &l.Partition, &l.Offset, &timestamp, &keyLen, &valueLen); err != nil {
			return nil, fmt.Errorf("record %d of kcat's output: %w", len(lines), err)
		}
		n := max(keyLen, 0) + max(valueLen, 0)
		if n > len(rest) {
			return nil, fmt.Errorf("record %d of kcat's output ends early", len(lines))
		}
		headers, next, _ := bytes.Cut(rest[n:], []byte(kcatRecordEnd))
		l.Text = kcatText(timestamp, keyLen, valueLen, rest[:n], string(headers))
		lines, out = append(lines, l), next
	}
	return lines, nil
}

func (kcat) Render(r Record) string {
	var headers []string
	for _, h := range r.Headers {
		value := string(h.Value)
		if h.Value == nil {
			value = "NULL"
		}
		headers = append(headers, h.Key+"="+value)
	}
	length := func(b []byte) int {
		if b == nil {
			return -1
		}
		return len(b)
	}
	body := append(bytes.Clone(r.Key), r.Value...)
	return kcatText(r.Timestamp, length(r.Key), length(r.Value), body, strings.Join(headers, ","))
}

func kcatText(timestamp int64, keyLen, valueLen int, body []byte, headers string) string {
	return fmt.Sprintf("%d %d %d %q %q", timestamp, keyLen, valueLen, body, headers)
}
