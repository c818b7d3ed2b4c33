package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// tally counts what was produced.
type tally struct {
	topic string
	start time.Time

	mu         sync.Mutex
	records    int64
	bytes      int64 // of keys and values
	failed     int64
	first      error
	waiting    int64     // records sent and not answered
	since      time.Time // of the last answer, or of the first record that waits
	partitions map[int32]*spanJSON
}

// spanJSON is what was written to one partition.
type spanJSON struct {
	Partition int32 `json:"partition"`
	Records   int64 `json:"records"`
	First     int64 `json:"first_offset"` // -1 with acks=0
	Last      int64 `json:"last_offset"`
}

func newTally(topic string) *tally {
	return &tally{topic: topic, start: time.Now(), partitions: make(map[int32]*spanJSON)}
}

// sent counts a record under way.
func (t *tally) sent() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting == 0 {
		t.since = time.Now()
	}
	t.waiting++
}

// watch calls stalled, once, if records wait and none was answered for longer than a user should wait.
func (t *tally) watch(ctx context.Context, stalled func()) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		t.mu.Lock()
		late := t.waiting > 0 && time.Since(t.since) >= patience
		t.mu.Unlock()
		if late {
			stalled()
			return
		}
	}
}

// add counts an answer and tells whether it is the first failure.
func (t *tally) add(r *kgo.Record, err error) (failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting--
	t.since = time.Now()
	if err != nil {
		t.failed++
		if t.first == nil {
			t.first = err
			return true
		}
		return false
	}
	t.records++
	t.bytes += int64(len(r.Key) + len(r.Value))
	span := t.partitions[r.Partition]
	if span == nil {
		span = &spanJSON{Partition: r.Partition, First: r.Offset}
		t.partitions[r.Partition] = span
	}
	span.Records++
	span.Last = r.Offset
	return false
}

// failure says why records were not written; nil if all were.
func (t *tally) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first == nil {
		return nil
	}
	return withDetail(fmt.Sprintf("produce to %s: %s not written", t.topic, plural(t.failed, "record", "records")), t.first, "")
}

func (t *tally) line() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%s records, %s, %s", grouped(t.records), bytesText(t.bytes), rate(t.records, time.Since(t.start)))
}

// summary is "" if nothing was written.
func (t *tally) summary() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.records == 0 {
		return ""
	}
	elapsed := time.Since(t.start)
	return fmt.Sprintf("produced %s, %s, to %s of %s in %s (%s)", plural(t.records, "record", "records"), bytesText(t.bytes),
		plural(int64(len(t.partitions)), "partition", "partitions"), t.topic, elapsed.Round(time.Millisecond), rate(t.records, elapsed))
}

type producedJSON struct {
	Topic      string      `json:"topic"`
	Records    int64       `json:"records"`
	Bytes      int64       `json:"bytes"`
	Failed     int64       `json:"failed"`
	Seconds    float64     `json:"seconds"`
	Partitions []*spanJSON `json:"partitions"`
}

func (t *tally) json() producedJSON {
	t.mu.Lock()
	defer t.mu.Unlock()
	j := producedJSON{Topic: t.topic, Records: t.records, Bytes: t.bytes, Failed: t.failed,
		Seconds: time.Since(t.start).Seconds(), Partitions: []*spanJSON{}}
	for _, span := range t.partitions {
		j.Partitions = append(j.Partitions, span)
	}
	slices.SortFunc(j.Partitions, func(a, b *spanJSON) int { return int(a.Partition - b.Partition) })
	return j
}
