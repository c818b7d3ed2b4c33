package differential

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// These tests are of the comparison itself: it must see what differs, and no more.

func TestDifferencesAreSeen(t *testing.T) {
	answer := func(errorCode int16, offset int64, partitions ...int32) map[string]string {
		s := (&pair{}).side("", "127.0.0.1:9092", "s")
		resp := kmsg.NewPtrProduceResponse()
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic = "t"
		for _, p := range partitions {
			row := kmsg.NewProduceResponseTopicPartition()
			row.Partition, row.ErrorCode, row.BaseOffset = p, errorCode, offset
			topic.Partitions = append(topic.Partitions, row)
		}
		resp.Topics = append(resp.Topics, topic)
		return s.flatten(resp)
	}
	for name, c := range map[string]struct {
		kafka, runnel map[string]string
		want          []string
	}{
		"alike":             {answer(0, 5, 0, 1), answer(0, 5, 1, 0), nil},
		"offset":            {answer(0, 5, 0), answer(0, 6, 0), []string{`Topics["t"].Partitions[0].BaseOffset: kafka 5, runnel 6`}},
		"error":             {answer(0, 5, 0), answer(3, 5, 0), []string{`Topics["t"].Partitions[0].ErrorCode: kafka NONE, runnel UNKNOWN_TOPIC_OR_PARTITION`}},
		"partition lacking": {answer(0, 5, 0, 1), answer(0, 5, 0), []string{`Topics["t"].Partitions: kafka 2, runnel 1`, `Topics["t"].Partitions[1]: kafka there, runnel absent`}},
		"none at all":       {answer(0, 5, 0), answer(0, 5), []string{`Topics["t"].Partitions: kafka 1, runnel null`}},
		"closed":            {answer(0, 5), map[string]string{"connection": "closed"}, []string{`connection: kafka absent, runnel closed`}},
	} {
		got := (&pair{used: make([]int, len(known))}).differences("produce/v9/"+name, c.kafka, c.runnel)
		if name == "closed" { // and every field
			got = got[len(got)-1:]
		}
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestKnownDifferencesAreNarrow(t *testing.T) {
	d := difference{answer: "produce/*/odd", path: "Topics[*].ErrorCode", kafka: "NONE", runnel: "INVALID_*"}
	for _, c := range []struct {
		answer, path, kafka, runnel string
		want                        bool
	}{
		{"produce/v3/odd", `Topics["t"].ErrorCode`, "NONE", "INVALID_RECORD", true},
		{"produce/v3/odd one", `Topics["t"].ErrorCode`, "NONE", "INVALID_RECORD", false},
		{"fetch/v3/odd", `Topics["t"].ErrorCode`, "NONE", "INVALID_RECORD", false},
		{"produce/v3/odd", `Topics["t"].ErrorCodes`, "NONE", "INVALID_RECORD", false},
		{"produce/v3/odd", `Topics["t"].ErrorCode`, "NONES", "INVALID_RECORD", false},
		{"produce/v3/odd", `Topics["t"].ErrorCode`, "NONE", "CORRUPT_MESSAGE", false},
	} {
		if got := d.covers(c.answer, c.path, c.kafka, c.runnel); got != c.want {
			t.Errorf("covers(%q, %q, %q, %q) = %v", c.answer, c.path, c.kafka, c.runnel, got)
		}
	}
	for pattern, s := range map[string]string{"a*": "a", "*": "", "a*b*c": "a1b2c", "*b": "bb"} {
		if !glob(pattern, s) {
			t.Errorf("%q does not match %q", pattern, s)
		}
	}
	for pattern, s := range map[string]string{"a*b": "a", "ab*ba": "aba", "a": "ab", "a*b*c": "a1c"} {
		if glob(pattern, s) {
			t.Errorf("%q matches %q", pattern, s)
		}
	}
}
