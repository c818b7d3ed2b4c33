package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/history"
)

// worker does one operation after the other, as long as the load lasts. Its clients live together: a crash ends all of them
// but the administrator's, and what comes after has a new name.
type worker struct {
	*run
	number int
	rand   *rand.Rand
	values int64

	admin  *client
	lives  int
	life   string // name of the present producer and consumer: history's Client
	sender *producer
	reader *consumer // nil: none could be made yet

	ghost *ghost                      // of a member that lost partitions; guarded by reader.mu while there is a reader
	known map[history.Partition]int64 // where this worker's reading was last, by whichever consumer
	asked map[history.Partition]int64 // the furthest offset it asked to be committed for the group where it is alone
}

func (r *run) newWorker(number int) *worker {
	return &worker{
		run: r, number: number, rand: rand.New(rand.NewPCG(r.Seed, uint64(number))),
		known: map[history.Partition]int64{}, asked: map[history.Partition]int64{},
	}
}

// value returns one that no other send of the run has.
func (w *worker) value() int64 {
	w.values++
	return int64(w.number+1)*1_000_000 + w.values
}

func (w *worker) chance(percent int) bool { return w.rand.IntN(100) < percent }

// think waits between two operations. It is false once the load is over.
func (w *worker) think(ctx context.Context) bool {
	return pause(ctx, w.MinThink+time.Duration(w.rand.Int64N(int64(w.MaxThink-w.MinThink))))
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// work runs until load ends. Operations that have begun by then are brought to their end, which ctx bounds.
func (w *worker) work(ctx, load context.Context) error {
	admin, err := w.newClient(ctx, fmt.Sprintf("w%d-admin", w.number), kgo.MaxVersions(byNames()))
	if err != nil {
		return err
	}
	w.admin = admin
	defer admin.close()
	if err := w.renew(ctx); err != nil {
		return err
	}
	defer func() { w.end((*client).close) }()
	for w.think(load) {
		if err := w.operate(ctx); err != nil {
			return err
		}
	}
	return nil
}

// renew makes the clients of a new life.
func (w *worker) renew(ctx context.Context) error {
	w.lives++
	w.life = fmt.Sprintf("w%d-%d", w.number, w.lives)
	var err error
	if w.sender, err = w.newProducer(ctx); err != nil {
		return err
	}
	return w.consume(ctx)
}

// end ends the clients of this life, one way or the other.
func (w *worker) end(how func(*client)) {
	if w.reader != nil {
		w.reader.end(how)
		w.reader = nil
	}
	how(w.sender.client)
}

// crash ends the clients without a goodbye, and makes new ones.
func (w *worker) crash(ctx context.Context, why string) error {
	w.Recorder.Happened(history.Operation{Kind: history.Admin, Worker: w.number, Client: w.life, Text: "crash: " + why})
	w.end((*client).abandon)
	return w.renew(ctx)
}

// operate does one operation. An error is one of the workload itself, not of the cluster.
func (w *worker) operate(ctx context.Context) error {
	if w.reader == nil {
		return w.consume(ctx)
	}
	defer w.allowRebalance()
	switch n := w.rand.IntN(100); {
	case n < 45:
		if w.sender.transactional() {
			return w.transact(ctx)
		}
		return w.produce(ctx)
	case n < 78:
		w.poll(ctx)
		return nil
	case n < 84:
		w.commitOffsets(ctx)
		return nil
	case n < 88:
		w.fetchOffsets(ctx)
		return nil
	case n < 90:
		w.rewindSome()
		return nil
	case n < 93:
		return w.deleteSome(ctx)
	case n < 97:
		w.reader.end((*client).close)
		w.reader = nil
		return w.consume(ctx)
	case n < 99:
		w.reader.end((*client).abandon)
		w.reader = nil
		return w.consume(ctx)
	default:
		return w.crash(ctx, "as chance has it")
	}
}

// allowRebalance lets the group go on, which waits while a member is about to commit what it has read.
func (w *worker) allowRebalance() {
	if w.reader != nil {
		w.reader.AllowRebalance()
	}
}

// pickKeys picks keys in use and makes their topics, where nobody has yet. Those whose topic cannot be made, or is another's to write
// to, are left out.
func (w *worker) pickKeys(ctx context.Context, n int) []int64 {
	var picked []int64
	used := w.keys.used()
	for range n {
		key := used[w.rand.IntN(len(used))]
		if topic := partitionOf(key).Topic; !w.left(topic) && w.topicExists(ctx, topic) {
			picked = append(picked, key)
		}
	}
	return picked
}

// pickTopics picks one or two neighbouring topics of the window, and makes them where nobody has yet.
func (w *worker) pickTopics(ctx context.Context) (first int64, topics []string) {
	first = w.keys.oldest() / partitionsPerTopic
	if w.chance(20) {
		first = min(first, kept[0])
	}
	for n := first; n < first+2; n++ {
		if topic := topicName(n); w.topicExists(ctx, topic) {
			topics = append(topics, topic)
		}
	}
	return first, topics
}

// pickPartitions picks some of the active partitions.
func (w *worker) pickPartitions() []history.Partition {
	active := w.keys.active()
	w.rand.Shuffle(len(active), func(i, j int) { active[i], active[j] = active[j], active[i] })
	if len(active) > 1 {
		active = active[:1+w.rand.IntN(len(active))]
	}
	slices.SortFunc(active, comparePartitions)
	return active
}

// topicExists makes a topic unless some worker has. Another may do so at the same time.
func (w *worker) topicExists(ctx context.Context, topic string) bool {
	return w.keys.exists(topic) || w.createTopic(ctx, topic)
}

func (w *worker) createTopic(ctx context.Context, topic string) bool {
	ctx, cancel := context.WithTimeout(ctx, w.Operation)
	defer cancel()
	settings, told := w.settings(topic)
	if told != nil {
		w.keys.tell(topic, func() { w.Recorder.Topic(*told) })
	}
	op := w.Recorder.Begin(history.Operation{Kind: history.Admin, Worker: w.number, Text: "create topic " + topic})
	_, err := kadm.NewClient(w.admin.Client).CreateTopic(ctx, partitionsPerTopic, -1, settings, topic)
	exists := err == nil || errors.Is(err, kerr.TopicAlreadyExists)
	outcome := classify(err)
	if exists {
		w.keys.add(topic)
		outcome = history.OK // whoever made it
	}
	w.Recorder.End(op, outcome, err)
	return exists
}
