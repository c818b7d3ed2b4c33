package broker

import (
	"container/list"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fetch sessions (KIP-227): the broker remembers which partitions a consumer follows and what it was last told of them,
// so that requests carry changes only and answers only what moved. A session is (id, epoch):
//
//	request (0, 0)   begins a session: all partitions, all answered
//	request (0, -1)  without a session
//	request (id, -1) ends it, and goes on without
//	request (id, 0)  ends it and begins another
//	request (id, n)  changes; n must be one more than in the request before, from 2^31-1 it goes to 1
//
// Sessions live in one broker's memory. A client that comes to another broker gets FETCH_SESSION_ID_NOT_FOUND and
// begins a new one.

// sessionIdle is how long a session must go unused, or be old, before another may take its place (Kafka's
// min.incremental.fetch.session.eviction.ms).
const sessionIdle = 2 * time.Minute

// sessionPartitions bounds the partitions of all sessions, which take some 350 bytes each: 90 MiB. Kafka bounds sessions
// alone, so that a client that makes up partitions can fill any memory. Who finds no room goes on without a session.
const sessionPartitions = 1 << 18

// fetchKey names a partition the way the request did: by topic id from v13 on, by name before.
type fetchKey struct {
	topic     string
	id        [16]byte
	partition int32
}

// fetchPartition is what a client wants of a partition.
type fetchPartition struct {
	fetchKey
	offset           int64
	maxBytes         int32
	leaderEpoch      int32 // -1: not checked
	lastFetchedEpoch int32 // -1: not checked
}

// sessionPartition is a fetchPartition with what the client was last told.
type sessionPartition struct {
	fetchPartition
	highWatermark, logStart int64 // -1: tell it next time
}

// fetchSessions is the sessions of a broker.
type fetchSessions struct {
	slots int
	room  int // partitions of all sessions

	mu   sync.Mutex
	byID map[int32]*fetchSession
	size int // partitions of all, as of their last requests
	vain vainSearch
}

// vainSearch notes that no session gives way to one of so many partitions. Clients that get no session ask for one with
// every request, and looking through all of them each time would cost more than the fetch.
type vainSearch struct {
	partitions int
	until      time.Time
}

// vainFor is how long a search that found nothing is not repeated.
const vainFor = time.Second

type fetchSession struct {
	id      int32
	byIDs   bool // partitions are named by topic id
	created time.Time
	used    time.Time // guarded by fetchSessions.mu
	size    int       // partitions, as of the last request; guarded by fetchSessions.mu

	mu         sync.Mutex
	epoch      int32                      // that the next request must have
	partitions map[fetchKey]*list.Element // of *sessionPartition
	order      list.List                  // in which they are answered: those that had records come last
}

func newFetchSessions(slots int) *fetchSessions {
	return &fetchSessions{slots: slots, room: sessionPartitions, byID: make(map[int32]*fetchSession)}
}

// fetchContext is how one request is to be answered.
type fetchContext struct {
	sessions   *fetchSessions
	now        time.Time
	byIDs      bool
	session    *fetchSession    // nil without one, and for one that begins
	epoch      int32            // of the session after this request
	begin      bool             // a session is wanted
	partitions []fetchPartition // to be fetched, in order
}

// begin makes the context of a request, or says with what error to answer it.
func (s *fetchSessions) begin(req *kmsg.FetchRequest, now time.Time) (*fetchContext, *kerr.Error) {
	ctx := &fetchContext{sessions: s, now: now, byIDs: req.Version >= 13}
	if req.Version < 7 || req.SessionEpoch == 0 || req.SessionEpoch == -1 {
		if req.Version >= 7 && req.SessionID != 0 {
			s.remove(req.SessionID)
		}
		ctx.begin = req.Version >= 7 && req.SessionEpoch == 0
		ctx.partitions = requestedPartitions(req)
		return ctx, nil
	}
	return ctx, ctx.resume(req)
}

// resume applies a request to its session.
func (ctx *fetchContext) resume(req *kmsg.FetchRequest) *kerr.Error {
	s := ctx.sessions.use(req.SessionID, ctx.now)
	if s == nil {
		return kerr.FetchSessionIDNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if req.SessionEpoch != s.epoch {
		return kerr.InvalidFetchSessionEpoch
	}
	if s.byIDs != ctx.byIDs {
		return kerr.FetchSessionTopicIDError
	}
	s.update(req)
	if len(s.partitions) == 0 { // as Kafka: a session of nothing ends
		ctx.sessions.remove(s.id)
		return nil
	}
	s.epoch = nextSessionEpoch(s.epoch)
	ctx.session, ctx.epoch = s, s.epoch
	ctx.partitions = make([]fetchPartition, 0, len(s.partitions))
	for e := s.order.Front(); e != nil; e = e.Next() {
		ctx.partitions = append(ctx.partitions, e.Value.(*sessionPartition).fetchPartition)
	}
	if !ctx.sessions.resized(s, len(s.partitions)) {
		return kerr.FetchSessionIDNotFound
	}
	return nil
}

// update adds, changes and removes partitions. Caller holds mu.
func (s *fetchSession) update(req *kmsg.FetchRequest) {
	for _, p := range requestedPartitions(req) {
		if e, ok := s.partitions[p.fetchKey]; ok {
			e.Value.(*sessionPartition).fetchPartition = p
			continue
		}
		s.add(&sessionPartition{fetchPartition: p, highWatermark: -1, logStart: -1})
	}
	for i := range req.ForgottenTopics {
		t := &req.ForgottenTopics[i]
		for _, partition := range t.Partitions {
			key := fetchKey{topic: t.Topic, id: t.TopicID, partition: partition}
			if e, ok := s.partitions[key]; ok {
				s.order.Remove(e)
				delete(s.partitions, key)
			}
		}
	}
}

func (s *fetchSession) add(p *sessionPartition) { s.partitions[p.fetchKey] = s.order.PushBack(p) }

// answer turns what was fetched for ctx.partitions, row by row, into what the client is told, and the id of the session.
func (ctx *fetchContext) answer(rows []fetchedPartition) (told []fetchedPartition, id int32, err *kerr.Error) {
	switch {
	case ctx.session != nil:
		told, err = ctx.session.tell(rows, ctx.epoch)
		return told, ctx.session.id, err
	case ctx.begin:
		return rows, ctx.sessions.create(rows, ctx.byIDs, ctx.now), nil
	}
	return rows, 0, nil
}

// throttled is the answer to a client that is to wait: the session is as it was, and none begins, as in Kafka.
func (ctx *fetchContext) throttled() (id int32, err *kerr.Error) {
	if ctx.session == nil {
		return 0, nil
	}
	ctx.session.mu.Lock()
	defer ctx.session.mu.Unlock()
	if ctx.session.epoch != ctx.epoch {
		return 0, kerr.InvalidFetchSessionEpoch
	}
	return ctx.session.id, nil
}

// tell picks the rows with news and remembers them. An error says that another request of the session came in between.
func (s *fetchSession) tell(rows []fetchedPartition, epoch int32) (told []fetchedPartition, err *kerr.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		return nil, kerr.InvalidFetchSessionEpoch
	}
	for i := range rows {
		row := &rows[i]
		e, ok := s.partitions[row.fetchKey]
		if !ok || !e.Value.(*sessionPartition).tell(row) {
			continue
		}
		told = append(told, *row)
		if row.size > 0 {
			s.order.MoveToBack(e)
		}
	}
	return told, nil
}

// tell decides whether the client must see the row, and notes that it did.
func (p *sessionPartition) tell(row *fetchedPartition) bool {
	news := row.size > 0 || row.highWatermark != p.highWatermark || row.logStart != p.logStart ||
		row.err != nil || row.diverging != nil || row.nearer != nil
	p.highWatermark, p.logStart = row.highWatermark, row.logStart
	if row.err != nil || row.diverging != nil {
		p.highWatermark = -1 // and again next time, also when the error is gone
	}
	return news
}

// create makes a session of what was fetched and returns its id, 0 if there is no room.
func (s *fetchSessions) create(rows []fetchedPartition, byIDs bool, now time.Time) int32 {
	if len(rows) > s.room {
		return 0
	}
	session := &fetchSession{byIDs: byIDs, created: now, used: now, epoch: 1,
		partitions: make(map[fetchKey]*list.Element, len(rows))}
	for _, records := range []bool{false, true} { // those with records come last
		for i := range rows {
			if (rows[i].size > 0) != records {
				continue
			}
			if _, twice := session.partitions[rows[i].fetchKey]; twice {
				continue
			}
			p := &sessionPartition{fetchPartition: rows[i].fetchPartition}
			p.tell(&rows[i])
			session.add(p)
		}
	}
	session.size = len(session.partitions)
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.byID) >= s.slots || s.size+session.size > s.room {
		if !s.evict(session.size, now) {
			return 0
		}
	}
	for session.id == 0 || s.byID[session.id] != nil {
		session.id = rand.Int32()
	}
	s.byID[session.id] = session
	s.size += session.size
	return session.id
}

// evict makes room for a session of so many partitions: the one idle for longest goes, if it is idle for long, or else
// the smallest of the old ones that are smaller. Caller holds mu.
func (s *fetchSessions) evict(size int, now time.Time) bool {
	if size <= s.vain.partitions && now.Before(s.vain.until) {
		return false
	}
	var idle, small *fetchSession
	for _, x := range s.byID {
		if idle == nil || x.used.Before(idle.used) {
			idle = x
		}
		if x.size < size && now.Sub(x.created) > sessionIdle && (small == nil || x.size < small.size) {
			small = x
		}
	}
	switch {
	case idle != nil && now.Sub(idle.used) > sessionIdle:
		s.drop(idle)
	case small != nil:
		s.drop(small)
	default:
		s.vain = vainSearch{size, now.Add(vainFor)}
		return false
	}
	return true
}

func (s *fetchSessions) use(id int32, now time.Time) *fetchSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.byID[id]
	if session != nil {
		session.used = now
	}
	return session
}

// resized notes how many partitions a session has. False: it is gone, perhaps because it has become too large.
func (s *fetchSessions) resized(session *fetchSession, size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[session.id] != session {
		return false
	}
	s.size += size - session.size
	session.size = size
	if s.size > s.room {
		s.drop(session)
		return false
	}
	return true
}

func (s *fetchSessions) remove(id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if session := s.byID[id]; session != nil {
		s.drop(session)
	}
}

// drop forgets a session. Caller holds mu.
func (s *fetchSessions) drop(session *fetchSession) {
	delete(s.byID, session.id)
	s.size -= session.size
}

// requestedPartitions flattens a request.
func requestedPartitions(req *kmsg.FetchRequest) []fetchPartition {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	partitions := make([]fetchPartition, 0, n)
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			partitions = append(partitions, fetchPartition{
				fetchKey: fetchKey{topic: t.Topic, id: t.TopicID, partition: p.Partition},
				offset:   p.FetchOffset, maxBytes: p.PartitionMaxBytes,
				leaderEpoch: p.CurrentLeaderEpoch, lastFetchedEpoch: p.LastFetchedEpoch,
			})
		}
	}
	return partitions
}

func nextSessionEpoch(epoch int32) int32 {
	if epoch == 1<<31-1 {
		return 1
	}
	return epoch + 1
}
