package settings

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// The values of message.timestamp.type.
const (
	CreateTime    = "CreateTime"
	LogAppendTime = "LogAppendTime"
)

// Values of compression.type that are no codec.
const (
	AsProduced   = "producer"
	Uncompressed = "uncompressed"
)

// Topic is the resolved settings of a topic, those that Runnel acts on.
type Topic struct {
	MaxMessageBytes    int32  // of a batch
	SegmentBytes       int32  // of a batch, too: Kafka's RECORD_LIST_TOO_LARGE
	TimestampType      string // CreateTime or LogAppendTime
	TimestampBeforeMax int64  // ms that a record's time may lie behind the broker's clock
	TimestampAfterMax  int64  // ms that it may lie ahead
	CompressionType    string // AsProduced, Uncompressed or the name of a codec
	GzipLevel          int    // if the broker compresses
	LZ4Level           int
	ZstdLevel          int
	Compacted          bool  // cleanup.policy has compact: records need keys
	Deleted            bool  // cleanup.policy has delete: retention applies
	RetentionMs        int64 // -1: for ever
	RetentionBytes     int64 // -1: without limit
	DeleteRetentionMs  int64 // that compaction keeps tombstones
	MinCompactionLagMs int64
	MaxCompactionLagMs int64
	MinCleanableRatio  float64 // 0 to 1
	SegmentMs          int64
	MinInsyncReplicas  int32
	LingerMaxMs        int32 // that a batch waits for company; -1: the broker's
}

// apply sets what values name. A value that does not fit its setting is left out: it was refused when it was set, so
// that it can only come from a later version of Runnel, and reads must not fail for it.
func (t *Topic) apply(values map[string]string) {
	for name, value := range values {
		d, ok := LookupTopic(name)
		if !ok || d.checkValue(value) != nil {
			continue
		}
		switch name {
		case "max.message.bytes":
			t.MaxMessageBytes = int32(parseLong(value))
		case "segment.bytes":
			t.SegmentBytes = int32(parseLong(value))
		case "message.timestamp.type":
			t.TimestampType = value
		case "message.timestamp.before.max.ms":
			t.TimestampBeforeMax = parseLong(value)
		case "message.timestamp.after.max.ms":
			t.TimestampAfterMax = parseLong(value)
		case "compression.type":
			t.CompressionType = value
		case "compression.gzip.level":
			t.GzipLevel = int(parseLong(value))
		case "compression.lz4.level":
			t.LZ4Level = int(parseLong(value))
		case "compression.zstd.level":
			t.ZstdLevel = int(parseLong(value))
		case "cleanup.policy":
			policies := splitList(value)
			t.Compacted = slices.Contains(policies, "compact")
			t.Deleted = slices.Contains(policies, "delete")
		case "retention.ms":
			t.RetentionMs = parseLong(value)
		case "retention.bytes":
			t.RetentionBytes = parseLong(value)
		case "delete.retention.ms":
			t.DeleteRetentionMs = parseLong(value)
		case "min.compaction.lag.ms":
			t.MinCompactionLagMs = parseLong(value)
		case "max.compaction.lag.ms":
			t.MaxCompactionLagMs = parseLong(value)
		case "min.cleanable.dirty.ratio":
			t.MinCleanableRatio = parseDouble(value)
		case "segment.ms":
			t.SegmentMs = parseLong(value)
		case "min.insync.replicas":
			t.MinInsyncReplicas = int32(parseLong(value))
		case LingerMax:
			t.LingerMaxMs = int32(parseLong(value))
		}
	}
}

// Topic resolves the settings of a topic that has the overrides. It costs little without any.
func (c *Cluster) Topic(overrides map[string]string) Topic {
	t := c.topic
	t.apply(overrides)
	return t
}

// ValidateTopic tells whether a topic may have the overrides. The error joins an *UnknownError or *ValueError for each
// that is wrong, by name; Kafka's error code for all of them is INVALID_CONFIG.
func ValidateTopic(overrides map[string]string) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		d, ok := LookupTopic(name)
		if !ok {
			errs = append(errs, &UnknownError{Name: name, Suggestion: nearestTopic(name)})
			continue
		}
		if err := d.checkValue(overrides[name]); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return CheckTopic(overrides)
}

// CheckTopic tells whether overrides, each of which is valid, go together: the least time before compaction must not be
// longer than the greatest.
func CheckTopic(overrides map[string]string) error {
	low, ok := overrides["min.compaction.lag.ms"]
	high, both := overrides["max.compaction.lag.ms"]
	if ok && both && parseLong(low) > parseLong(high) {
		return &ValueError{Name: "min.compaction.lag.ms", Value: low,
			Reason: fmt.Sprintf("must not be above max.compaction.lag.ms (%s)", high)}
	}
	return nil
}

func nearestTopic(name string) string {
	names := make([]string, len(topicTable))
	for i := range topicTable {
		for _, alias := range topicTable[i].Cluster {
			if alias.Name == name {
				return topicTable[i].Name
			}
		}
		names[i] = topicTable[i].Name
	}
	return Nearest(name, names)
}
