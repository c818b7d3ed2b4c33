package workload

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

// TestKindsOfTopicsAreInTheirNames: whoever finds one again finds its kind.
func TestKindsOfTopicsAreInTheirNames(t *testing.T) {
	t.Parallel()
	seen := map[topicKind]bool{}
	for n := range int64(100) {
		if got := kindOfTopic(topicName(n)); got != kindOf(n) {
			t.Errorf("%s is of the kind %d, want %d", topicName(n), got, kindOf(n))
		}
		seen[kindOf(n)] = true
	}
	if len(seen) != len(kinds) {
		t.Errorf("of %d kinds there are %d", len(kinds), len(seen))
	}
	for _, other := range []string{pipelineFrom, pipelineTo, againTopic, "t1", "t1-compacted-x", "t-1", ""} {
		if kindOfTopic(other) != plain {
			t.Errorf("%q is not plain", other)
		}
	}
	if kindOf(kept[0]) != compacted || kindOf(kept[1]) != timed || kindOf(kept[2]) != altered || kindOfTopic(alteredTopic) != altered {
		t.Errorf("topics that stay in use are of the kinds %d, %d and %d", kindOf(kept[0]), kindOf(kept[1]), kindOf(kept[2]))
	}
}

// TestTheHistoryIsToldWhatSettingsLetGo, and no more than that: a record and its batch fit into what the size of a partition is
// counted in.
func TestTheHistoryIsToldWhatSettingsLetGo(t *testing.T) {
	t.Parallel()
	r := &run{Options: Options{Tombstones: 9 * time.Second, Retention: 7 * time.Second, Kept: 10}}
	for n, want := range map[int64]struct {
		settings string
		told     history.Topic
	}{
		1: {"cleanup.policy=compact delete.retention.ms=9000 min.cleanable.dirty.ratio=0.1 segment.ms=1000", history.Topic{Compacted: true, Tombstones: 9 * time.Second}},
		2: {"retention.ms=7000", history.Topic{Retention: 7 * time.Second}},
		4: {"retention.bytes=1600", history.Topic{Kept: 10}},
		6: {"cleanup.policy=compact,delete delete.retention.ms=9000 retention.ms=14000", history.Topic{Compacted: true, Tombstones: 9 * time.Second, Retention: 14 * time.Second}},
	} {
		set, told := r.settings(topicName(n))
		want.told.Name = topicName(n)
		if told == nil || *told != want.told {
			t.Errorf("of %s the history is told %+v, want %+v", topicName(n), told, want.told)
		}
		for pair := range strings.FieldsSeq(want.settings) {
			name, value, _ := strings.Cut(pair, "=")
			if set[name] == nil || *set[name] != value {
				t.Errorf("%s lacks %s", topicName(n), pair)
			}
		}
	}
	for _, n := range []int64{0, 5} {
		if set, told := r.settings(topicName(n)); set != nil || told != nil {
			t.Errorf("%s has settings %v, and the history is told %+v", topicName(n), set, told)
		}
	}
	for _, isTombstone := range []bool{false, true} {
		largest := encode(history.Record{Key: 9_999_999, Value: 999_999_999, Of: 999_999_999, Tombstone: isTombstone})
		if size := len(batchOf(largest)); size > mostBytes {
			t.Errorf("a record may take %d bytes with its batch, more than %d", size, mostBytes)
		}
	}
}

// TestAlterationsAreToldAsTheyAre: each names all that changes, and the history is told what they let go.
func TestAlterationsAreToldAsTheyAre(t *testing.T) {
	t.Parallel()
	r := &run{Options: Options{Tombstones: 8 * time.Second, Retention: 7 * time.Second}}
	seen := map[history.Topic]bool{}
	for n := range 100 {
		s := r.alteration(n)
		want := history.Topic{Name: alteredTopic}
		if strings.Contains(*s.set["cleanup.policy"], "compact") {
			want.Compacted, want.Tombstones = true, 8*time.Second
			if lag := *s.set["min.compaction.lag.ms"]; lag == "2000" {
				want.Lag = 2 * time.Second
			} else if lag != "0" {
				t.Errorf("a lag of %s", lag)
			}
		}
		if strings.Contains(*s.set["cleanup.policy"], "delete") {
			want.Retention = map[string]time.Duration{"-1": 0, "7000": 7 * time.Second, "21000": 21 * time.Second}[*s.set["retention.ms"]]
		}
		if *s.told != want || len(s.set) != 6 {
			t.Errorf("%v is told as %v", s.set, s.told)
		}
		seen[want] = true
	}
	if len(seen) != 3+2+2*2 { // without a limit, who compacts and deletes only compacts
		t.Errorf("%d settings are different", len(seen))
	}
	if set, told := r.settings(alteredTopic); *set["cleanup.policy"] != *r.alteration(0).set["cleanup.policy"] || *told != *r.alteration(0).told {
		t.Errorf("it is made with %v", told)
	}
}

// TestRecordsWithoutTimesAreAmongThemselvesWhereAgeCounts, in the runs that have such.
func TestRecordsWithoutTimesAreAmongThemselvesWhereAgeCounts(t *testing.T) {
	t.Parallel()
	seen := map[variant]bool{}
	for seed := range uint64(200) {
		r := &run{variant: variantOf(seed)}
		seen[r.variant] = true
		for n := range int64(len(kinds)) {
			topic := topicName(n)
			if r.left(topic) != (r.untimed(topic) && kindOf(n) != compacted) {
				t.Errorf("%+v: %s has records without times: %v, and is left to them: %v", r.variant, topic, r.untimed(topic), r.left(topic))
			}
		}
	}
	if len(seen) != 8 {
		t.Errorf("%d variants of runs", len(seen))
	}
	if b := batchOf(encode(history.Record{Key: 1, Value: 2, Timestamp: -1})); !bytes.Equal(b[35:43], bytes.Repeat([]byte{0xff}, 8)) {
		t.Errorf("the batch has the time %x", b[35:43])
	}
}
