package workload

import (
	"fmt"
	"strconv"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

// topicKind is what may become of a topic's records.
type topicKind int

const (
	plain     topicKind = iota
	compacted           // log compaction
	timed               // retention by age
	sized               // retention by size
	cut                 // clients delete records
)

// kinds are those of the numbered topics, in turn.
var kinds = [...]topicKind{plain, compacted, timed, plain, sized, cut}

// kept are the numbers of the topics that stay in use once they are: they have records that come, go, and come again all
// through a run.
var kept = [...]int64{1, 2}

func kindOf(number int64) topicKind { return kinds[number%int64(len(kinds))] }

// topicName is that of a numbered topic.
func topicName(number int64) string {
	suffix := map[topicKind]string{compacted: "-compacted", timed: "-timed", sized: "-sized", cut: "-cut"}[kindOf(number)]
	return fmt.Sprintf("t%d%s", number, suffix)
}

// kindOfTopic is that of any topic, by its name.
func kindOfTopic(topic string) topicKind {
	var number int64
	if _, err := fmt.Sscanf(topic, "t%d", &number); err == nil && number >= 0 && topicName(number) == topic {
		return kindOf(number)
	}
	return plain
}

// deletable tells whether clients may delete a topic's records.
func (k topicKind) deletable() bool { return k == timed || k == sized || k == cut }

// Records of a partition of a compacted topic have so many keys, of which a few are written again and again, and the others
// hardly ever: their tombstones and last values are what compaction may lose for long.
const (
	keysPerPartition = 40
	hotKeys          = 6
)

// keyIn picks a key for a record of a partition of a compacted topic, given the partition's own.
func (w *worker) keyIn(partition int64) int64 {
	if w.chance(70) {
		return partition*keysPerPartition + w.rand.Int64N(hotKeys)
	}
	return partition*keysPerPartition + w.rand.Int64N(keysPerPartition)
}

// mostBytes is more than a record of the workload takes with its batch, and more than a marker does.
const mostBytes = 160

// settings are those that a topic is made with, and what the history is told of them.
func (r *run) settings(topic string) (map[string]*string, *history.Topic) {
	set, told := map[string]*string{}, &history.Topic{Name: topic}
	of := func(name, value string) { set[name] = &value }
	millis := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	switch kindOfTopic(topic) {
	case compacted:
		of("cleanup.policy", "compact")
		of("delete.retention.ms", millis(r.Tombstones))
		of("min.cleanable.dirty.ratio", "0.1")
		of("segment.ms", "1000") // little waits no longer for more
		told.Compacted, told.Tombstones = true, r.Tombstones
	case timed:
		of("retention.ms", millis(r.Retention))
		told.Retention = r.Retention
	case sized:
		of("retention.bytes", strconv.FormatInt(r.Kept*mostBytes, 10))
		told.Kept = r.Kept
	default:
		return nil, nil
	}
	return set, told
}
