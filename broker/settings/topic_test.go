package settings

import (
	"errors"
	"strings"
	"testing"
)

func TestValidateTopic(t *testing.T) {
	tests := []struct {
		name, setting, value string
		reason               string // "" if the value is taken
	}{
		{"long", "retention.ms", "86400000", ""},
		{"forever", "retention.ms", "-1", ""},
		{"below minimum", "retention.ms", "-2", "must be at least -1"},
		{"not a number", "retention.ms", "1d", "must be a whole number of 64 bits"},
		{"int overflow", "max.message.bytes", "2147483648", "must be a whole number between"},
		{"negative size", "max.message.bytes", "-1", "must be at least 0"},
		{"boolean in capitals", "preallocate", "TRUE", ""},
		{"boolean", "preallocate", "1", "must be true or false"},
		{"ratio", "min.cleanable.dirty.ratio", "0.01", ""},
		{"ratio too high", "min.cleanable.dirty.ratio", "1.5", "must be between 0 and 1"},
		{"ratio not a number", "min.cleanable.dirty.ratio", "NaN", "must be between 0 and 1"},
		{"compact", "cleanup.policy", "compact", ""},
		{"both policies", "cleanup.policy", "compact, delete", ""},
		{"unknown policy", "cleanup.policy", "compact,shred", `"shred" is not one of compact, delete`},
		{"policy twice", "cleanup.policy", "delete,delete", `"delete" stands twice`},
		{"recompression", "compression.type", "lz4", ""},
		{"unknown codec", "compression.type", "brotli", "must be one of uncompressed, zstd"},
		{"tiered storage", "remote.storage.enable", "true", "tiered storage does not exist here"},
		{"tiered storage off", "remote.storage.enable", "false", ""},
		{"append time", "message.timestamp.type", "LogAppendTime", ""},
		{"timestamp type in small letters", "message.timestamp.type", "logappendtime", "must be one of CreateTime"},
		{"gzip level 0", "compression.gzip.level", "0", "must be between 1 and 9, or -1"},
		{"linger", "runnel.linger.max.ms", "0", ""},
		{"the broker's linger", "runnel.linger.max.ms", "-1", ""},
		{"long linger", "runnel.linger.max.ms", "60001", "must be between -1 and 60000"},
		{"small segment", "segment.bytes", "1024", "must be at least 1048576"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := ValidateTopic(map[string]string{tt.setting: tt.value})
			if tt.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var value *ValueError
			if !errors.As(err, &value) || value.Name != tt.setting || !strings.Contains(value.Reason, tt.reason) {
				t.Fatalf("got %v, want %q", err, tt.reason)
			}
		})
	}
}

func TestValidateTopicNamesUnknownSettings(t *testing.T) {
	err := ValidateTopic(map[string]string{"retention.msec": "5", "log.retention.hours": "1"})
	var unknown *UnknownError
	if !errors.As(err, &unknown) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{`"retention.msec" (did you mean "retention.ms"?)`, `"log.retention.hours" (did you mean "retention.ms"?)`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %s in %v", want, err)
		}
	}
}

func TestCompactionLagsMustBeOrdered(t *testing.T) {
	if ValidateTopic(map[string]string{"min.compaction.lag.ms": "9", "max.compaction.lag.ms": "8"}) == nil {
		t.Error("taken")
	}
}

func TestTopicOverridesClusterDefaults(t *testing.T) {
	c := mustCluster(t, map[string]string{"message.max.bytes": "500", "log.cleanup.policy": "compact,delete", "log.message.timestamp.type": "LogAppendTime"})
	plain := c.Topic(nil)
	if plain.MaxMessageBytes != 500 || !plain.Compacted || !plain.Deleted || plain.TimestampType != LogAppendTime {
		t.Errorf("cluster defaults: %+v", plain)
	}
	own := c.Topic(map[string]string{"max.message.bytes": "900", "cleanup.policy": "delete"})
	if own.MaxMessageBytes != 900 || own.Compacted || own.TimestampType != LogAppendTime {
		t.Errorf("topic: %+v", own)
	}
	if again := c.Topic(nil); again != plain {
		t.Errorf("a topic's settings leaked into the defaults: %+v", again)
	}
	if odd := c.Topic(map[string]string{"max.message.bytes": "many", "setting.of.the.future": "1"}); odd != plain {
		t.Errorf("values of a later version: %+v", odd)
	}
}

func TestACompactedTopicsSettings(t *testing.T) {
	c := mustCluster(t, map[string]string{
		"log.cleaner.delete.retention.ms": "1", "log.cleaner.min.compaction.lag.ms": "2", "log.cleaner.max.compaction.lag.ms": "3", "log.cleaner.min.cleanable.ratio": "0.25",
	})
	if got := c.Topic(nil); got.DeleteRetentionMs != 1 || got.MinCompactionLagMs != 2 || got.MaxCompactionLagMs != 3 || got.MinCleanableRatio != 0.25 {
		t.Errorf("cluster defaults: %+v", got)
	}
	got := c.Topic(map[string]string{
		"segment.ms": "7", "delete.retention.ms": "4", "min.compaction.lag.ms": "5", "max.compaction.lag.ms": "6", "min.cleanable.dirty.ratio": "0.75", "cleanup.policy": "",
	})
	if got.DeleteRetentionMs != 4 || got.MinCompactionLagMs != 5 || got.MaxCompactionLagMs != 6 || got.MinCleanableRatio != 0.75 || got.SegmentMs != 7 || got.Compacted || got.Deleted {
		t.Errorf("topic: %+v", got)
	}
}

func entry(t *testing.T, entries []Entry, name string) Entry {
	t.Helper()
	for _, e := range entries {
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("no entry %s", name)
	return Entry{}
}

func TestDescribeTopicTellsWhereValuesComeFrom(t *testing.T) {
	c := mustCluster(t, map[string]string{"log.retention.hours": "2"})
	got := entry(t, c.DescribeTopic(map[string]string{"retention.ms": "5"}), "retention.ms")
	if *got.Value != "5" || got.Source != FromTopic || got.Default || got.ReadOnly || got.Type != Long {
		t.Errorf("set on the topic: %+v", got)
	}
	want := []struct {
		name, value string
		source      Source
	}{{"retention.ms", "5", FromTopic}, {"log.retention.hours", "2", FromCluster}}
	if len(got.Synonyms) != len(want) {
		t.Fatalf("synonyms %+v", got.Synonyms)
	}
	for i, w := range want {
		if s := got.Synonyms[i]; s.Name != w.name || *s.Value != w.value || s.Source != w.source {
			t.Errorf("synonym %d: %s=%s from %d, want %+v", i, s.Name, *s.Value, s.Source, w)
		}
	}
	if got := entry(t, c.DescribeTopic(nil), "retention.ms"); *got.Value != "7200000" || got.Source != FromCluster || got.Default {
		t.Errorf("set for the cluster: %+v", got)
	}
	if got := entry(t, c.DescribeTopic(nil), "max.message.bytes"); *got.Value != "1048588" || got.Source != FromDefault || !got.Default || len(got.Synonyms) != 1 {
		t.Errorf("default: %+v", got)
	}
}

func TestDescribeBroker(t *testing.T) {
	c := mustCluster(t, map[string]string{"num.partitions": "6"})
	entries := c.DescribeBroker(map[string]string{"node.id": "3"})
	if e := entry(t, entries, "num.partitions"); *e.Value != "6" || e.Source != FromCluster || e.Default || len(e.Synonyms) != 2 {
		t.Errorf("set: %+v", e)
	}
	if e := entry(t, entries, "node.id"); *e.Value != "3" || !e.ReadOnly {
		t.Errorf("extra: %+v", e)
	}
	if e := entry(t, entries, "log.retention.ms"); e.Value != nil {
		t.Errorf("log.retention.ms has no default of its own: %+v", e)
	}
	if e := entry(t, entries, "log.retention.hours"); *e.Value != "168" || !e.Default {
		t.Errorf("log.retention.hours: %+v", e)
	}
}

func TestValidTopicName(t *testing.T) {
	for _, name := range []string{"a", "orders.v1_x-Y9", "__consumer_offsets", strings.Repeat("a", 249), "..."} {
		if err := ValidTopicName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", ".", "..", strings.Repeat("a", 250), "a b", "a/b", "naïve", "a\x00"} {
		if ValidTopicName(name) == nil {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestCollidesWith(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"a.b", "a_b", true}, {"a_b.c", "a.b_c", true}, {"._", "_.", true},
		{"a.b", "a.b", false}, {"a-b", "a_b", false}, {"a.b", "a.bc", false}, {"a.b", "x_b", false}, {"", "", false},
	} {
		if CollidesWith(tc.a, tc.b) != tc.want || CollidesWith(tc.b, tc.a) != tc.want {
			t.Errorf("%q and %q: want %v", tc.a, tc.b, tc.want)
		}
	}
}
