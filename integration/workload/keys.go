package workload

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

const partitionsPerTopic = 2

// partitionOf maps a key to its partition.
func partitionOf(key int64) history.Partition {
	return history.Partition{Topic: topicName(key / partitionsPerTopic), Number: int32(key % partitionsPerTopic)}
}

// keys are the keys in use: a window that moves on with time, so that topics are made all through a run, and old ones rest, but
// for some that stay in use.
type keys struct {
	start  time.Time
	count  int64
	rotate time.Duration

	mu      sync.Mutex
	created map[string]bool // topics that some client knows to exist
	told    map[string]bool // those of which the history has the settings
}

// oldest is the first key of the window.
func (k *keys) oldest() int64 { return int64(time.Since(k.start) / k.rotate) }

// used are the keys in use, in order.
func (k *keys) used() []int64 {
	var used []int64
	oldest := k.oldest()
	for _, topic := range kept {
		for key := topic * partitionsPerTopic; key < min((topic+1)*partitionsPerTopic, oldest); key++ {
			used = append(used, key)
		}
	}
	for key := oldest; key < oldest+k.count; key++ {
		used = append(used, key)
	}
	return used
}

// active are the partitions in use whose topics exist, in order.
func (k *keys) active() []history.Partition {
	k.mu.Lock()
	defer k.mu.Unlock()
	var active []history.Partition
	for _, key := range k.used() {
		if p := partitionOf(key); k.created[p.Topic] {
			active = append(active, p)
		}
	}
	return active
}

// all are all partitions that were ever used, in order.
func (k *keys) all() []history.Partition {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []history.Partition
	for topic := range k.created {
		for n := range int32(partitionsPerTopic) {
			all = append(all, history.Partition{Topic: topic, Number: n})
		}
	}
	slices.SortFunc(all, comparePartitions)
	return all
}

// of are those of a kind.
func (k *keys) of(kind topicKind) []history.Partition {
	return slices.DeleteFunc(k.all(), func(p history.Partition) bool { return kindOfTopic(p.Topic) != kind })
}

func (k *keys) exists(topic string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.created[topic]
}

// tell calls with the settings of a topic the first time.
func (k *keys) tell(topic string, tell func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.told[topic] {
		k.told[topic] = true
		tell()
	}
}

func (k *keys) add(topic string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.created[topic] = true
}

func comparePartitions(a, b history.Partition) int {
	return cmp.Or(cmp.Compare(len(a.Topic), len(b.Topic)), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Number, b.Number))
}

func sortedOffsets(offsets map[history.Partition]int64) []history.At {
	out := make([]history.At, 0, len(offsets))
	for p, offset := range offsets {
		out = append(out, history.At{Partition: p, Offset: offset})
	}
	slices.SortFunc(out, func(a, b history.At) int { return comparePartitions(a.Partition, b.Partition) })
	return out
}

func sortedPartitions(byTopic map[string][]int32) []history.Partition {
	var out []history.Partition
	for topic, numbers := range byTopic {
		for _, n := range numbers {
			out = append(out, history.Partition{Topic: topic, Number: n})
		}
	}
	slices.SortFunc(out, comparePartitions)
	return out
}
