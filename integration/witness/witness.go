// Package witness remembers what the brokers of a cluster answered to readers and producers, and says which answers
// contradict each other: a high watermark that went back, a gap, two records at one offset, a record that was
// acknowledged and is not there, or is there twice.
package witness

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// mostContradictions is how many are told; the first is the one to look into.
const mostContradictions = 10

// Partition names a partition.
type Partition struct {
	Topic  string
	Number int32
}

func (p Partition) String() string { return fmt.Sprintf("%s/%d", p.Topic, p.Number) }

// Marks are the borders of a partition as a broker tells them.
type Marks struct{ High, Stable, LogStart int64 }

// Witness may be told of answers by many at once.
type Witness struct {
	mu             sync.Mutex
	told           map[string]map[Partition]Marks // by broker: the highest it answered, over all its lives
	partitions     map[Partition]*partition
	refused        map[string]map[string]int // by broker and error
	contradictions []error
	more           int // that are not kept
}

// partition is what was said of a partition by anybody.
type partition struct {
	high     int64 // the highest that any broker answered
	records  map[int64]sighting
	acked    map[int64]ack
	logStart int64
	begun    bool
}

// sighting is the record at an offset, and who gave it first.
type sighting struct {
	sum    uint64
	broker string
}

type ack struct {
	sum      uint64
	producer *Producer
	seq      int
}

// New makes a witness that has heard of nothing.
func New() *Witness {
	return &Witness{
		told: make(map[string]map[Partition]Marks), partitions: make(map[Partition]*partition),
		refused: make(map[string]map[string]int),
	}
}

// Err is what does not go together so far, nil if all does.
func (w *Witness) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := errors.Join(w.contradictions...)
	if w.more > 0 {
		err = fmt.Errorf("%w\nand %d more", err, w.more)
	}
	return err
}

// High is the highest high watermark that any broker told of a partition.
func (w *Witness) High(p Partition) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.partition(p).high
}

// Partitions are those that were asked for.
func (w *Witness) Partitions() []Partition {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]Partition, 0, len(w.partitions))
	for p := range w.partitions {
		all = append(all, p)
	}
	return all
}

// Refusals counts the errors of a broker by their names.
func (w *Witness) Refusals(broker string) map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	counts := make(map[string]int)
	for name, n := range w.refused[broker] {
		counts[name] = n
	}
	return counts
}

// contradict is called with mu held.
func (w *Witness) contradict(format string, args ...any) {
	if len(w.contradictions) == mostContradictions {
		w.more++
		return
	}
	w.contradictions = append(w.contradictions, fmt.Errorf(format, args...))
}

// partition is called with mu held.
func (w *Witness) partition(p Partition) *partition {
	known, ok := w.partitions[p]
	if !ok {
		known = &partition{records: make(map[int64]sighting), acked: make(map[int64]ack)}
		w.partitions[p] = known
	}
	return known
}

// Question is a request for a partition that is about to be sent. What was answered before it binds its answer; what is
// answered while it is under way does not.
type Question struct {
	w         *Witness
	broker    string
	partition Partition
	floor     Marks // what this broker answered before
	high      int64 // what any broker answered before
}

// Ask is called before a request is sent.
func (w *Witness) Ask(broker string, p Partition) Question {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Question{w: w, broker: broker, partition: p, floor: w.told[broker][p], high: w.partition(p).high}
}

// Marks takes the borders that the broker answered.
func (q Question) Marks(m Marks) {
	q.w.mu.Lock()
	defer q.w.mu.Unlock()
	p := q.w.partition(q.partition)
	if m.High < q.floor.High {
		q.w.contradict("broker %s, partition %v: the high watermark went back from %d to %d", q.broker, q.partition, q.floor.High, m.High)
	}
	if m.Stable < q.floor.Stable {
		q.w.contradict("broker %s, partition %v: the last stable offset went back from %d to %d", q.broker, q.partition, q.floor.Stable, m.Stable)
	}
	if m.Stable > m.High || m.LogStart > m.Stable {
		q.w.contradict("broker %s, partition %v: log start %d, last stable offset %d, high watermark %d are not in order",
			q.broker, q.partition, m.LogStart, m.Stable, m.High)
	}
	if p.begun && m.LogStart != p.logStart {
		q.w.contradict("broker %s, partition %v: the log starts at %d, and started at %d", q.broker, q.partition, m.LogStart, p.logStart)
	}
	if !p.begun {
		p.begun, p.logStart = true, m.LogStart
	}
	if q.w.told[q.broker] == nil {
		q.w.told[q.broker] = make(map[Partition]Marks)
	}
	told := q.w.told[q.broker][q.partition]
	q.w.told[q.broker][q.partition] = Marks{High: max(told.High, m.High), Stable: max(told.Stable, m.Stable), LogStart: m.LogStart}
	p.high = max(p.high, m.High)
}

// End takes what the broker answered when it was asked for the end: the latest offset, or that of the leader epoch. It
// is not before what any broker answered.
func (q Question) End(offset int64) {
	q.w.mu.Lock()
	defer q.w.mu.Unlock()
	if offset < q.high {
		q.w.contradict("broker %s, partition %v: it says that the end is %d when another had told of %d", q.broker, q.partition, offset, q.high)
	}
}

// harmless are the errors on which consumers keep their positions and try again.
var harmless = []*kerr.Error{
	kerr.OffsetNotAvailable, kerr.LeaderNotAvailable, kerr.NotLeaderForPartition, kerr.KafkaStorageError,
}

// Refused takes an error, which must be one on which a consumer keeps its position.
func (q Question) Refused(err error, offset int64) {
	q.w.mu.Lock()
	defer q.w.mu.Unlock()
	if !slices.ContainsFunc(harmless, func(k *kerr.Error) bool { return errors.Is(err, k) }) {
		q.w.contradict("broker %s, partition %v, offset %d: %w", q.broker, q.partition, offset, err)
	}
	if q.w.refused[q.broker] == nil {
		q.w.refused[q.broker] = make(map[string]int)
	}
	name := err.Error()
	if known := (*kerr.Error)(nil); errors.As(err, &known) {
		name = known.Message
	}
	q.w.refused[q.broker][name]++
}

// Reader is one consumer.
type Reader struct {
	w    *Witness
	name string
	next map[Partition]int64 // guarded by w.mu
}

// Reader makes one that begins at offset 0 of every partition.
func (w *Witness) Reader(name string) *Reader {
	return &Reader{w: w, name: name, next: make(map[Partition]int64)}
}

func (r *Reader) String() string { return "reader " + r.name }

// Next is the offset that the reader wants next.
func (r *Reader) Next(p Partition) int64 {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	return r.next[p]
}

// Take takes the records of an answer from the reader's position on. below is the border that the answer names: the
// high watermark, or the last stable offset.
func (r *Reader) Take(q Question, below int64, records []*kgo.Record) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	p := r.w.partition(q.partition)
	for _, record := range records {
		if want := r.next[q.partition]; record.Offset != want {
			r.w.contradict("broker %s, partition %v: %v is given offset %d, the next is %d", q.broker, q.partition, r, record.Offset, want)
		}
		if record.Offset >= below {
			r.w.contradict("broker %s, partition %v: %v is given offset %d, the border is %d", q.broker, q.partition, r, record.Offset, below)
		}
		r.next[q.partition] = record.Offset + 1
		sum := Sum(record)
		known, seen := p.records[record.Offset]
		if !seen {
			p.records[record.Offset] = sighting{sum: sum, broker: q.broker}
			continue
		}
		if known.sum != sum {
			r.w.contradict("broker %s, partition %v, offset %d: there is %.40q, broker %s gave another record",
				q.broker, q.partition, record.Offset, record.Value, known.broker)
		}
	}
}

// Sum tells records apart by what clients see of them: key, value, headers, timestamp.
func Sum(r *kgo.Record) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %t %q %t %q", r.Timestamp.UnixMilli(), r.Key == nil, r.Key, r.Value == nil, r.Value)
	for _, header := range r.Headers {
		fmt.Fprintf(h, " %q %q", header.Key, header.Value)
	}
	return h.Sum64()
}
