package broker

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sessionRig plays requests against sessions without fetching anything: rows are what the test says.
type sessionRig struct {
	t        *testing.T
	sessions *fetchSessions
	now      time.Time
	version  int16
	state    map[int32]fetchedPartition // by partition of topic "t"
}

func newSessionRig(t *testing.T, slots int) *sessionRig {
	return &sessionRig{t: t, sessions: newFetchSessions(slots), now: time.Unix(1e9, 0), version: 12, state: make(map[int32]fetchedPartition)}
}

type sessionRequest struct {
	id, epoch int32
	want      []int32 // partitions to add or change
	forget    []int32
}

// play returns the partitions that the answer holds, the session id and the error.
func (r *sessionRig) play(q sessionRequest) (told []int32, id int32, failed *kerr.Error) {
	r.t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.SessionID, req.SessionEpoch = r.version, q.id, q.epoch
	for _, p := range q.want {
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = "t"
		row := kmsg.NewFetchRequestTopicPartition()
		row.Partition = p
		topic.Partitions = append(topic.Partitions, row)
		req.Topics = append(req.Topics, topic)
	}
	if len(q.forget) > 0 {
		req.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "t", Partitions: q.forget}}
	}
	ctx, failed := r.sessions.begin(req, r.now)
	if failed != nil {
		return nil, 0, failed
	}
	rows := make([]fetchedPartition, 0, len(ctx.partitions))
	for _, p := range ctx.partitions {
		row := r.state[p.partition]
		row.fetchPartition = p
		rows = append(rows, row)
	}
	answer, id, failed := ctx.answer(rows)
	for _, row := range answer {
		told = append(told, row.partition)
	}
	return told, id, failed
}

func (r *sessionRig) want(q sessionRequest, want ...int32) int32 {
	r.t.Helper()
	told, id, failed := r.play(q)
	if failed != nil {
		r.t.Fatalf("session %d epoch %d: %v", q.id, q.epoch, failed)
	}
	if !slices.Equal(told, want) {
		r.t.Fatalf("session %d epoch %d: answer has partitions %v, want %v", q.id, q.epoch, told, want)
	}
	return id
}

func (r *sessionRig) wantError(q sessionRequest, want *kerr.Error) {
	r.t.Helper()
	if _, _, failed := r.play(q); failed != want {
		r.t.Fatalf("session %d epoch %d: %v, want %v", q.id, q.epoch, failed, want)
	}
}

func TestSessionAnswersWhatMoved(t *testing.T) {
	r := newSessionRig(t, 10)
	id := r.want(sessionRequest{want: []int32{0, 1, 2}}, 0, 1, 2)
	if id <= 0 {
		t.Fatalf("session id %d", id)
	}
	r.want(sessionRequest{id: id, epoch: 1})
	r.state[1] = fetchedPartition{highWatermark: 5, stable: 5}
	r.want(sessionRequest{id: id, epoch: 2}, 1)
	r.want(sessionRequest{id: id, epoch: 3})
	r.state[1] = fetchedPartition{highWatermark: 5, stable: 4}
	r.want(sessionRequest{id: id, epoch: 4}) // the last stable offset alone is no news
	r.state[2] = fetchedPartition{logStart: 3}
	r.want(sessionRequest{id: id, epoch: 5}, 2)
	r.state[0] = fetchedPartition{size: 10}
	r.want(sessionRequest{id: id, epoch: 6}, 0)
	r.want(sessionRequest{id: id, epoch: 7}, 0) // records are always told
}

func TestSessionRepeatsErrorsAndWhatFollowsThem(t *testing.T) {
	r := newSessionRig(t, 10)
	r.state[0] = fetchPartition{}.failed(kerr.UnknownTopicOrPartition)
	id := r.want(sessionRequest{want: []int32{0, 1}}, 0, 1)
	r.want(sessionRequest{id: id, epoch: 1}, 0)
	r.want(sessionRequest{id: id, epoch: 2}, 0)
	r.state[0] = fetchedPartition{}
	r.want(sessionRequest{id: id, epoch: 3}, 0)
	r.want(sessionRequest{id: id, epoch: 4})
	end := int64(0)
	r.state[1] = fetchedPartition{diverging: &end}
	r.want(sessionRequest{id: id, epoch: 5}, 1)
	r.want(sessionRequest{id: id, epoch: 6}, 1)
}

func TestSessionAddsAndForgetsPartitions(t *testing.T) {
	r := newSessionRig(t, 10)
	id := r.want(sessionRequest{want: []int32{0, 1}}, 0, 1)
	r.want(sessionRequest{id: id, epoch: 1, want: []int32{5}, forget: []int32{0, 9}}, 5)
	for p := range int32(6) {
		r.state[p] = fetchedPartition{size: 1}
	}
	r.want(sessionRequest{id: id, epoch: 2}, 1, 5)
	r.want(sessionRequest{id: id, epoch: 3, forget: []int32{1, 5}})
	r.wantError(sessionRequest{id: id, epoch: 4}, kerr.FetchSessionIDNotFound)
}

func TestSessionPutsPartitionsWithRecordsLast(t *testing.T) {
	r := newSessionRig(t, 10)
	r.state[0] = fetchedPartition{size: 1}
	id := r.want(sessionRequest{want: []int32{0, 1, 2}}, 0, 1, 2)
	for p := range int32(3) {
		r.state[p] = fetchedPartition{highWatermark: 1}
	}
	r.want(sessionRequest{id: id, epoch: 1}, 1, 2, 0)
	r.state[1] = fetchedPartition{highWatermark: 1, size: 1}
	r.want(sessionRequest{id: id, epoch: 2}, 1)
	r.state[1] = fetchedPartition{}
	r.state[0], r.state[2] = r.state[1], r.state[1]
	r.want(sessionRequest{id: id, epoch: 3}, 2, 0, 1)
}

func TestSessionErrors(t *testing.T) {
	r := newSessionRig(t, 10)
	id := r.want(sessionRequest{want: []int32{0}}, 0)
	r.wantError(sessionRequest{id: id + 1, epoch: 1}, kerr.FetchSessionIDNotFound)
	r.wantError(sessionRequest{id: id, epoch: 2}, kerr.InvalidFetchSessionEpoch)
	r.wantError(sessionRequest{id: id, epoch: -7}, kerr.InvalidFetchSessionEpoch)
	r.want(sessionRequest{id: id, epoch: 1})
	r.wantError(sessionRequest{id: id, epoch: 1}, kerr.InvalidFetchSessionEpoch)
	r.version = 13
	r.wantError(sessionRequest{id: id, epoch: 2}, kerr.FetchSessionTopicIDError)
	r.version = 12
	r.want(sessionRequest{id: id, epoch: 2})
}

func TestSessionEndsOnDemand(t *testing.T) {
	r := newSessionRig(t, 10)
	id := r.want(sessionRequest{want: []int32{0}}, 0)
	if after := r.want(sessionRequest{id: id, epoch: -1, want: []int32{3}}, 3); after != 0 {
		t.Fatalf("session id %d without a session", after)
	}
	r.wantError(sessionRequest{id: id, epoch: 1}, kerr.FetchSessionIDNotFound)

	id = r.want(sessionRequest{want: []int32{0}}, 0)
	other := r.want(sessionRequest{id: id, epoch: 0, want: []int32{4}}, 4)
	if other == 0 || other == id {
		t.Fatalf("session id %d after %d", other, id)
	}
	r.wantError(sessionRequest{id: id, epoch: 1}, kerr.FetchSessionIDNotFound)
	r.want(sessionRequest{id: other, epoch: 1})
	nothing := r.want(sessionRequest{})
	if nothing == 0 {
		t.Fatal("no session of nothing yet, as Kafka begins")
	}
	r.want(sessionRequest{id: nothing, epoch: 1, want: []int32{0}}, 0)
}

func TestOldVersionsHaveNoSessions(t *testing.T) {
	r := newSessionRig(t, 10)
	r.version = 6
	if id := r.want(sessionRequest{want: []int32{0}}, 0); id != 0 || len(r.sessions.byID) != 0 {
		t.Fatalf("session %d", id)
	}
}

func TestSessionEpochWraps(t *testing.T) {
	r := newSessionRig(t, 10)
	id := r.want(sessionRequest{want: []int32{0}}, 0)
	r.sessions.byID[id].epoch = 1<<31 - 1
	r.want(sessionRequest{id: id, epoch: 1<<31 - 1})
	r.want(sessionRequest{id: id, epoch: 1})
}

func TestSessionAnswerIsDroppedIfAnotherRequestCameInBetween(t *testing.T) {
	r := newSessionRig(t, 10)
	id := r.want(sessionRequest{want: []int32{0}}, 0)
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.SessionID, req.SessionEpoch = 12, id, 1
	slow, failed := r.sessions.begin(req, r.now)
	if failed != nil {
		t.Fatal(failed)
	}
	r.want(sessionRequest{id: id, epoch: 2})
	if _, _, failed := slow.answer(nil); failed != kerr.InvalidFetchSessionEpoch {
		t.Fatalf("answer: %v", failed)
	}
}

func TestSessionSlots(t *testing.T) {
	r := newSessionRig(t, 2)
	small := r.want(sessionRequest{want: []int32{0}}, 0)
	middle := r.want(sessionRequest{want: []int32{0, 1}}, 0, 1)
	if id := r.want(sessionRequest{want: []int32{0, 1, 2}}, 0, 1, 2); id != 0 {
		t.Fatal("a session took the place of one that is young and in use")
	}
	// Old ones give way to larger ones.
	r.now = r.now.Add(sessionIdle + time.Second)
	r.want(sessionRequest{id: small, epoch: 1})
	r.want(sessionRequest{id: middle, epoch: 1})
	if id := r.want(sessionRequest{want: []int32{0}}, 0); id != 0 {
		t.Fatal("a session took the place of one that is as large")
	}
	large := r.want(sessionRequest{want: []int32{0, 1, 2}}, 0, 1, 2)
	if large == 0 {
		t.Fatal("no room for a larger session")
	}
	r.wantError(sessionRequest{id: small, epoch: 2}, kerr.FetchSessionIDNotFound)
	// Idle ones give way to any.
	r.now = r.now.Add(sessionIdle + time.Second)
	r.want(sessionRequest{id: large, epoch: 1})
	if id := r.want(sessionRequest{want: []int32{0}}, 0); id == 0 {
		t.Fatal("no room though a session is idle")
	}
	r.wantError(sessionRequest{id: middle, epoch: 2}, kerr.FetchSessionIDNotFound)
	if none := newSessionRig(t, 0).want(sessionRequest{want: []int32{0}}, 0); none != 0 {
		t.Fatal("a session without slots")
	}
}

func TestSearchForRoomIsNotRepeatedAtOnce(t *testing.T) {
	r := newSessionRig(t, 2)
	for range 2 {
		r.want(sessionRequest{want: []int32{0}}, 0)
	}
	r.now = r.now.Add(sessionIdle)
	if id := r.want(sessionRequest{want: []int32{0}}, 0); id != 0 {
		t.Fatal("a session gave way that was used two minutes ago")
	}
	r.now = r.now.Add(vainFor / 2)
	if id := r.want(sessionRequest{want: []int32{0}}, 0); id != 0 {
		t.Fatal("looked again for room for as many partitions")
	}
	if id := r.want(sessionRequest{want: []int32{0, 1}}, 0, 1); id == 0 {
		t.Fatal("no look for room for more partitions, although there is some")
	}
	r.now = r.now.Add(vainFor / 2)
	if id := r.want(sessionRequest{want: []int32{0}}, 0); id == 0 {
		t.Fatal("never looked again")
	}
}

func TestSessionsBoundTheirPartitions(t *testing.T) {
	r := newSessionRig(t, 100)
	r.sessions.room = 5
	first := r.want(sessionRequest{want: []int32{0, 1}}, 0, 1)
	second := r.want(sessionRequest{want: []int32{0, 1}}, 0, 1)
	if id := r.want(sessionRequest{want: []int32{0, 1}}, 0, 1); id != 0 {
		t.Fatal("a session beyond the bound")
	}
	if id := r.want(sessionRequest{want: []int32{0}}, 0); id == 0 {
		t.Fatal("no session within the bound")
	}
	r.wantError(sessionRequest{id: first, epoch: 1, want: []int32{2, 3}}, kerr.FetchSessionIDNotFound)
	r.want(sessionRequest{id: second, epoch: 1, want: []int32{2}}, 2)
	equal(t, "partitions of all sessions", r.sessions.size, 4)
	r.want(sessionRequest{id: second, epoch: -1})
	equal(t, "after one has ended", r.sessions.size, 1)
}
