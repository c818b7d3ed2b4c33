package workload

import (
	"fmt"
	"math/rand/v2"
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
	both                // log compaction, and retention by age
	altered             // its settings change
)

// kinds are those of the numbered topics, in turn.
var kinds = [...]topicKind{plain, compacted, timed, altered, sized, cut, both}

// kept are the numbers of the topics that stay in use once they are: they have records that come, go, and come again all
// through a run.
var kept = [...]int64{1, 2, 3}

// alteredTopic is that whose settings change.
var alteredTopic = topicName(3)

func kindOf(number int64) topicKind { return kinds[number%int64(len(kinds))] }

// topicName is that of a numbered topic.
func topicName(number int64) string {
	suffix := map[topicKind]string{
		compacted: "-compacted", timed: "-timed", sized: "-sized", cut: "-cut", both: "-both", altered: "-altered",
	}[kindOf(number)]
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

// keyed tells whether records of a topic have keys that others have, and tombstones.
func (k topicKind) keyed() bool { return k == compacted || k == both || k == altered }

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

// variant is what is not the same in all runs.
type variant struct {
	untimed bool // records of topics that lose them by age have no times, and are of no transaction
	unaged  bool // some records of compacted topics have none, either
	lag     bool // compacted topics have min.compaction.lag.ms
}

func variantOf(seed uint64) variant {
	chance := rand.New(rand.NewPCG(seed, 1<<40))
	third := func() bool { return chance.IntN(3) == 0 }
	return variant{untimed: third(), unaged: third(), lag: third()}
}

// untimed tells whether a topic has records without times.
func (r *run) untimed(topic string) bool {
	switch kindOfTopic(topic) {
	case timed:
		return r.variant.untimed
	case compacted:
		return r.variant.unaged
	}
	return false
}

// left tells whether a topic is left to who writes records without times. By the times of others, and of the ends of transactions, records
// without any would go, too.
func (r *run) left(topic string) bool { return kindOfTopic(topic) == timed && r.variant.untimed }

// settings are those that a topic is made with, and what the history is told of them.
func (r *run) settings(topic string) (map[string]*string, *history.Topic) {
	s := topicSettings{set: map[string]*string{}, told: &history.Topic{Name: topic}}
	switch kindOfTopic(topic) {
	case compacted:
		lag := time.Duration(0)
		if r.variant.lag {
			lag = r.Tombstones / 4
		}
		s.compact(r.Tombstones, lag)
	case timed:
		s.retain(r.Retention)
	case sized:
		s.of("retention.bytes", strconv.FormatInt(r.Kept*mostBytes, 10))
		s.told.Kept = r.Kept
	case both:
		s.compact(r.Tombstones, 0)
		s.retain(2 * r.Retention)
		s.of("cleanup.policy", "compact,delete")
	case altered:
		s = r.alteration(0)
	default:
		return nil, nil
	}
	return s.set, s.told
}

// topicSettings are those of a topic, and what the history is told of them.
type topicSettings struct {
	set  map[string]*string
	told *history.Topic
}

func (s *topicSettings) of(name, value string) { s.set[name] = &value }

func (s *topicSettings) millis(name string, d time.Duration) {
	s.of(name, strconv.FormatInt(d.Milliseconds(), 10))
}

func (s *topicSettings) compact(tombstones, lag time.Duration) {
	s.of("cleanup.policy", "compact")
	s.millis("delete.retention.ms", tombstones)
	s.of("min.cleanable.dirty.ratio", "0.1")
	s.of("segment.ms", "1000") // little waits no longer for more
	s.told.Compacted, s.told.Tombstones = true, tombstones
	if lag > 0 {
		s.millis("min.compaction.lag.ms", lag)
		s.told.Lag = lag
	}
}

func (s *topicSettings) retain(d time.Duration) {
	s.millis("retention.ms", d)
	s.told.Retention = d
}

// alteration are the settings that the topic whose settings change is given for the time of that number; it is made with those of number 0. All
// that ever change are named each time.
func (r *run) alteration(number int) topicSettings {
	chance := rand.New(rand.NewPCG(r.Seed, 1<<41+uint64(number)))
	s := topicSettings{set: map[string]*string{}, told: &history.Topic{Name: alteredTopic}}
	policy := [...]string{"delete", "compact", "compact,delete"}[chance.IntN(3)]
	lag := time.Duration(0)
	if chance.IntN(2) == 0 {
		lag = r.Tombstones / 4
	}
	s.millis("min.compaction.lag.ms", lag)
	s.of("retention.ms", "-1")
	s.compact(r.Tombstones, lag)
	if policy == "delete" {
		s.told = &history.Topic{Name: alteredTopic}
	}
	if retention := [...]time.Duration{0, r.Retention, 3 * r.Retention}[chance.IntN(3)]; policy != "compact" && retention > 0 {
		s.retain(retention)
	}
	s.of("cleanup.policy", policy)
	return s
}
