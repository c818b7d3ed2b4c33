package broker

import (
	"context"
	"errors"
	"math/bits"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/planted"
)

// Fetch (1), versions 4 to 18. Whole batches, as producers made them; the first may begin before the offset asked for.
// A request waits until min bytes are there, an error is, or max wait is over; a waiting one does no I/O and is woken
// by its own partitions alone. Sizes as in KIP-74: the bounds of request, partition and fetch.max.bytes hold but for the
// first batch of the first partition that has any; in a session, partitions that had records go to the end of the line.
//
// v5 brings the log start offset; v7 sessions (fetch_session.go); v9 the leader epoch, which is 0 here for ever; v11
// the rack of the client, for which another broker may be preferred (fetch_nearer.go); v12 the epoch last fetched: a client
// that is past the end of epoch 0 is told of a diverging epoch; v13 topic ids.
//
// A consumer that comes from another broker may know of more than this one. An offset beyond the high watermark is
// looked for in the commit log before it is OFFSET_OUT_OF_RANGE, on which consumers reset their position, or a diverging
// epoch. If the log cannot be read it is OFFSET_NOT_AVAILABLE (KIP-392), or NOT_LEADER_OR_FOLLOWER before v11: the consumer
// keeps its position, reads the metadata anew, and tries again. Who waits at the end of a broker that is cut off for longer
// than its lease is sent away (fetch_away.go). A broker that has handed its partitions over answers NOT_LEADER_OR_FOLLOWER,
// also those who wait.
//
// With read_committed an answer ends before the last stable offset and names the aborted transactions that overlap it, from
// one state of the log. A consumer that has read that far waits until an open transaction ends.
//
// Different from Kafka: waits may end a little early (untilTogether). Min bytes are judged by the runs of the partitions,
// of which the first may begin before the offset, and the last stable offset may lie inside the last, so that an answer
// may hold less, or where log compaction left gaps more. A follower's request is answered as a consumer's.

// Partitions is what the commit log says of records, as of the last commit that the broker knows of. No method waits.
type Partitions interface {
	Runs(tp metastore.TopicPartition, from metastore.Offset, maxBytes int) (metastore.Watermarks, []metastore.Run, error)
	CommittedRuns(tp metastore.TopicPartition, from metastore.Offset, maxBytes int) (metastore.Watermarks, []metastore.Run, []metastore.AbortedTxn, error)
	Watch(tps []metastore.TopicPartition) *metastore.Watch
	// PartitionProducers are by id; false if there is no such partition.
	PartitionProducers(tp metastore.TopicPartition) ([]metastore.PartitionProducer, bool)
	// Position moves with everything that the methods tell.
	Position() metastore.Position
}

// fetch is a Fetch request under way.
type fetch struct {
	*Broker
	partitions []fetchPartition
	byIDs      bool // topics are named by id
	isolation  reader.Isolation
	nearer     *cluster.Placement // of the client's rack; nil: this broker is as near as any
	minBytes   int
	maxBytes   int
	deadline   time.Duration // from now
	scan       *reader.Scan
	toll       *toll
	looked     bool        // the commit log was, because of an offset beyond a high watermark
	fresh      bool        // and it could be read
	unknownYet *kerr.Error // for an offset beyond a high watermark, while not fresh
	reads      *readable
}

// fetchFrom is the Handler of Fetch.
func (b *Broker) fetchFrom(_ context.Context, c *wire.Conn, req kmsg.Request) wire.Pending {
	scan := &attached(c).scan
	return func(ctx context.Context) kmsg.Response {
		asked := req.(*kmsg.FetchRequest)
		return b.fetch(ctx, c, b.readable(c, asked), scan, asked)
	}
}

// readable tells what a client may fetch: topics that it may read, or all or nothing if it fetches as a follower.
type readable struct {
	permits
	follower, all bool
}

func (b *Broker) readable(c *wire.Conn, req *kmsg.FetchRequest) *readable {
	r := &readable{permits: *b.permits(c, acl.Read, acl.Topic)}
	replica := req.ReplicaID
	if req.Version >= 15 {
		replica = req.ReplicaState.ID
	}
	if replica >= 0 {
		r.follower, r.all = true, b.mayOnCluster(c, acl.ClusterAction)
	}
	return r
}

// forget lets everything be asked for anew.
func (r *readable) forget() {
	if r.open {
		return
	}
	r.known = nil
	if r.follower {
		r.all = r.broker.mayOnCluster(r.conn, acl.ClusterAction)
	}
}

func (r *readable) allow(topic string) bool {
	if r.follower {
		return r.all
	}
	return r.permits.allow(topic)
}

func (b *Broker) fetch(ctx context.Context, c consumer, reads *readable, scan *reader.Scan, req *kmsg.FetchRequest) *fetchResponse {
	resp := &fetchResponse{FetchResponse: respond[*kmsg.FetchResponse](req), committed: req.IsolationLevel == 1}
	session, failed := b.sessions.begin(req, b.Now())
	if failed == nil {
		f := &fetch{
			Broker: b, partitions: session.partitions, byIDs: session.byIDs, nearer: b.nearer(c, req.Version, req.Rack),
			minBytes: int(req.MinBytes), maxBytes: int(min(req.MaxBytes, b.Settings.Load().FetchMaxBytes)),
			deadline: time.Duration(req.MaxWaitMillis) * time.Millisecond, unknownYet: kerr.OffsetNotAvailable,
			scan: scan, reads: reads, toll: tollOf(ctx),
		}
		if req.Version < 11 {
			f.unknownYet = kerr.NotLeaderForPartition
		}
		if resp.committed {
			f.isolation = reader.ReadCommitted
		}
		rows, fetched, allowed := f.run(ctx, c)
		resp.fetched = fetched
		if allowed {
			resp.rows, resp.SessionID, failed = session.answer(rows)
		} else {
			resp.SessionID, failed = session.throttled()
		}
	}
	if failed != nil {
		resp.ErrorCode, resp.rows, resp.SessionID = failed.Code, nil, 0
	}
	return resp
}

// run waits and reads. Not allowed: the client's quota does not have room for records now, or not any more.
func (f *fetch) run(ctx context.Context, c holder) (rows []fetchedPartition, fetched *reader.Fetched, allowed bool) {
	room, ok := f.toll.room()
	if !ok {
		return nil, nil, false
	}
	f.maxBytes = min(f.maxBytes, room)
	f.minBytes = min(f.minBytes, f.maxBytes)
	resume, begun := f.toll.pause(), time.Now()
	plan := f.wait(ctx)
	f.sendAway(ctx, plan)
	plan.hold(ctx, c)
	resume()
	if time.Since(begun) >= staleRights {
		f.withhold(plan)
	}
	if f.toll != nil && len(plan.reads) > 0 { // others of the client's have not waited
		if room, ok = f.toll.room(); !ok {
			return nil, nil, false
		}
		plan.shorten(room)
	}
	f.toll.reserve(plan.bytes)
	resume = f.toll.pause()
	fetched = f.read(ctx, plan)
	resume()
	f.toll.fetch(answerSize(plan.rows) - plan.bytes)
	return plan.rows, fetched, true
}

// staleRights is how old the answer may be to whether a client may read. Clients choose how long they wait.
const staleRights = 500 * time.Millisecond

// withhold takes out of a plan what the client may not read any more.
func (f *fetch) withhold(plan *fetchPlan) {
	f.reads.forget()
	plan.reads = slices.DeleteFunc(plan.reads, func(r fetchRead) bool {
		row := &plan.rows[r.row]
		topic, _ := f.topicByNameOrID(row.topic, row.id, f.byIDs)
		if name := nameOf(topic, row.topic); name == "" || f.reads.allow(name) {
			return false
		}
		plan.bytes -= min(r.there, max(r.bytes, 1))
		*row = row.failed(kerr.TopicAuthorizationFailed)
		return true
	})
	plan.bytes = max(plan.bytes, 0)
}

// fetchPlan is what could be answered now.
type fetchPlan struct {
	rows   []fetchedPartition // one for each partition
	reads  []fetchRead
	bytes  int  // to be read, at most, about
	ready  int  // to be read, about: less where runs are not stable to their end
	urgent bool // an error, a divergence, or a nearer broker, that the client must hear of now
	ahead  bool // a client knows of offsets that this broker does not, or believes so
}

// fetchRead is records to be read for a row.
type fetchRead struct {
	row   int
	tp    metastore.TopicPartition
	bytes int // at most
	there int // at most, about
	ready int // about
}

// wait plans until there is enough to answer, or no more time.
func (f *fetch) wait(ctx context.Context) *fetchPlan {
	planned := f.Partitions.Position()
	plan := f.informedPlan(ctx)
	if f.enough(plan) || f.deadline <= 0 {
		return plan
	}
	timer := time.NewTimer(untilTogether(time.Now(), f.deadline))
	defer timer.Stop()
	watched := f.watched()
	watch := f.Partitions.Watch(watched)
	defer func() { watch.Close() }()
	handedOver := f.Membership.HandedOver()
	stale := f.Partitions.Position() != planned // what moved before Watch went unheard
	for {
		if stale {
			if plan = f.informedPlan(ctx); f.enough(plan) {
				return plan
			}
			if now := f.watched(); !slices.Equal(now, watched) { // a topic was created again under its name
				watch.Close()
				watched, watch = now, f.Partitions.Watch(now)
				continue
			}
		}
		select {
		case <-watch.C:
		case <-handedOver:
			handedOver = nil
		case <-timer.C:
			return plan
		case <-ctx.Done():
			return plan
		}
		stale = true
	}
}

// Waits end together with others, on multiples of a step: to wake up for one at a time costs more than to answer it, and
// thousands of idle consumers are the normal case. A wait is shortened by at most one part in leastSteps.
const (
	leastSteps  = 32
	longestStep = 1 << 26 // ns, 67 ms
)

// untilTogether is how long to wait if the client is ready to wait for d.
func untilTogether(now time.Time, d time.Duration) time.Duration {
	step := min(d/leastSteps, longestStep)
	if step < time.Millisecond {
		return d
	}
	step = 1 << (bits.Len64(uint64(step)) - 1) // a power of two: waits of different lengths meet, too
	end := now.Add(d)
	return d - time.Duration(end.UnixNano())%step
}

// informedPlan is a plan. If a client is ahead of this broker, it is made after a look at the commit log, one a request.
func (f *fetch) informedPlan(ctx context.Context) *fetchPlan {
	plan := f.plan()
	if plan.ahead && !f.looked {
		f.looked, f.fresh = true, f.refreshed(ctx)
		plan = f.plan()
	}
	return plan
}

func (f *fetch) enough(plan *fetchPlan) bool {
	return plan.urgent || plan.ready >= f.minBytes || len(f.partitions) == 0
}

// watched is called after a plan without errors: all partitions exist, or did a moment ago.
func (f *fetch) watched() []metastore.TopicPartition {
	tps := make([]metastore.TopicPartition, 0, len(f.partitions))
	for i := range f.partitions {
		p := &f.partitions[i]
		if topic, err := f.topicByNameOrID(p.topic, p.id, f.byIDs); err == nil {
			tps = append(tps, metastore.TopicPartition{Topic: topic.ID, Partition: p.partition})
		}
	}
	return tps
}

// plan looks at all partitions, in order, and shares out the bytes. No I/O.
func (f *fetch) plan() *fetchPlan {
	plan := &fetchPlan{rows: make([]fetchedPartition, 0, len(f.partitions))}
	for _, p := range f.partitions {
		left := max(f.maxBytes-plan.bytes, 0)
		read := fetchRead{row: len(plan.rows), bytes: max(min(int(p.maxBytes), left), 0)}
		row, there := f.look(p, &read)
		if f.sendNearer(&row, read.tp) {
			there = 0
		}
		plan.rows = append(plan.rows, row)
		if row.err != nil || row.diverging != nil || row.nearer != nil {
			plan.urgent = true
			plan.ahead = plan.ahead || row.err == f.unknownYet
		}
		if there > 0 && (left > 0 || len(plan.reads) == 0) {
			read.there = there
			plan.reads = append(plan.reads, read)
			plan.bytes += min(there, max(read.bytes, 1))
			plan.ready += min(read.ready, max(read.bytes, 1))
		}
	}
	return plan
}

// look finds out where a partition stands, and how many bytes there are for the client, at most.
func (f *fetch) look(p fetchPartition, read *fetchRead) (row fetchedPartition, there int) {
	topic, err := f.topicByNameOrID(p.topic, p.id, f.byIDs)
	if name := nameOf(topic, p.topic); name != "" && !f.reads.allow(name) {
		return p.failed(kerr.TopicAuthorizationFailed), 0
	}
	if moved := f.moved(); moved != nil {
		return p.failed(moved), 0
	}
	if err != nil {
		return p.failed(kafkaError(err)), 0
	}
	read.tp = metastore.TopicPartition{Topic: topic.ID, Partition: p.partition}
	marks, runs, err := f.runs(read.tp, metastore.Offset(p.offset), read.bytes)
	row = fetchedPartition{fetchPartition: p}
	row.at(marks)
	outOfRange := errors.Is(err, metastore.ErrOffsetOutOfRange)
	switch {
	case err != nil && !outOfRange:
		return p.failed(kafkaError(err)), 0
	case p.leaderEpoch > leaderEpoch: // below 0 is none here, and not only -1
		return p.failed(kerr.UnknownLeaderEpoch), 0
	case p.lastFetchedEpoch > leaderEpoch:
		return p.failed(kerr.OffsetOutOfRange), 0 // the log knows nothing of such an epoch
	case p.offset > row.highWatermark && planted.Is(planted.BehindIsOutOfRange):
		return p.failed(kerr.OffsetOutOfRange), 0
	case p.offset > row.highWatermark && !f.fresh:
		return p.failed(f.unknownYet), 0
	case p.lastFetchedEpoch == leaderEpoch && p.offset > row.highWatermark:
		end := row.highWatermark
		row.diverging = &end
		return row, 0
	case outOfRange:
		return p.failed(kerr.OffsetOutOfRange), 0
	}
	below := marks.High
	if f.isolation == reader.ReadCommitted {
		below = marks.Stable
	}
	if metastore.Offset(p.offset) >= below {
		return row, 0
	}
	for i := range runs {
		run := &runs[i]
		if run.Base >= below {
			break
		}
		there += int(run.Length)
		read.ready += readyOf(run, metastore.Offset(p.offset), below)
	}
	return row, there
}

// readyOf is about how many bytes of a run there are below an offset, one at least. What lies before the offset that is asked
// for counts as little in runs of tier 0, and not in those of tier 1, which may be long.
func readyOf(run *metastore.Run, from, below metastore.Offset) int {
	begin, end := run.Base, min(run.End(), below)
	if run.Segment.Tier() == 1 {
		begin = max(begin, from)
	}
	return max(int(int64(run.Length)*int64(end-begin)/int64(run.Records)), 1)
}

// runs are those that the isolation level lets the client see; the last may reach beyond that.
func (f *fetch) runs(tp metastore.TopicPartition, from metastore.Offset, maxBytes int) (metastore.Watermarks, []metastore.Run, error) {
	if f.isolation == reader.ReadCommitted {
		marks, runs, _, err := f.Partitions.CommittedRuns(tp, from, maxBytes)
		return marks, runs, err
	}
	return f.Partitions.Runs(tp, from, maxBytes)
}
