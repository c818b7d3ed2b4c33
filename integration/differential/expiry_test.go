package differential

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
)

// expiryScript commits offsets in groups of every kind to brokers that keep them for a minute, the shortest that Kafka can
// be told, and looks at what is left while the first go, and the last.
var expiryScript = script{"expiry", func(s *side) {
	s.topic("expiry-one", 2)
	s.topic("expiry-two", 2)
	began := time.Now()
	commit := func(group, member string, generation int32, topic string, partition int32) {
		ask[*kmsg.OffsetCommitResponse](s, "commit to "+group, 8, commitRequest(group, member, generation, topic, partition, 5))
	}
	member := func(group, protocolType string, topics ...string) string {
		req := joinRequest(group, "", "a")
		req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = protocolType, 300_000, 300_000
		req.Protocols[0].Metadata = subscription(topics...)
		m := s.main.join("join "+group, 3, req) // in one step: between two, Kafka may take the group for one that has expired
		ask[*kmsg.SyncGroupResponse](s, "sync "+group, 3, syncRequest(group, m.MemberID, m.Generation, m.MemberID))
		for p := range int32(2) {
			commit(group, m.MemberID, m.Generation, "expiry-one", p)
			commit(group, m.MemberID, m.Generation, "expiry-two", p)
		}
		return m.MemberID
	}
	leave := func(group, id string) {
		ask[*kmsg.LeaveGroupResponse](s, "leave "+group, 3, leaveRequest(group, id))
	}
	groups := []string{"expiry-simple", "expiry-renewed", "expiry-subscribed", "expiry-both", "expiry-workers", "expiry-left", "expiry-left-later", "expiry-reset"}
	look := func(when string) {
		for _, group := range groups {
			ask[*kmsg.OffsetFetchResponse](s, when+": offsets of "+group, 7, fetchOffsets(group, "", [16]byte{}))
			s.state(when+": "+group, group)
		}
	}
	offsets := func(group string) int {
		return len(quiet[*kmsg.OffsetFetchResponse](s, 7, fetchOffsets(group, "", [16]byte{})).Topics)
	}
	after := func(d time.Duration, what string, done func() bool) {
		for !done() || time.Since(began) < d {
			if time.Since(began) > d+40*time.Second {
				s.fatalf("waited in vain for %s", what)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}

	commit("expiry-simple", "", -1, "expiry-one", 0)
	commit("expiry-renewed", "", -1, "expiry-one", 0)
	commit("expiry-renewed", "", -1, "expiry-one", 1)
	member("expiry-subscribed", "consumer", "expiry-one")
	member("expiry-both", "consumer", "expiry-two", "expiry-one")
	member("expiry-workers", "connect", "expiry-one")
	leave("expiry-left", member("expiry-left", "consumer", "expiry-one"))
	leave("expiry-reset", member("expiry-reset", "consumer", "expiry-one"))
	later := member("expiry-left-later", "consumer", "expiry-one")
	look("at first")

	after(20*time.Second, "time to pass", func() bool { return true })
	leave("expiry-left-later", later)
	commit("expiry-renewed", "", -1, "expiry-one", 1)
	commit("expiry-reset", "", -1, "expiry-two", 1) // by an administrator: it goes with the rest
	look("before the minute is over")

	gone := func() bool {
		return offsets("expiry-simple") == 0 && offsets("expiry-left") == 0 && offsets("expiry-subscribed") == 1 && offsets("expiry-reset") == 0
	}
	after(62*time.Second, "the first offsets to expire", gone)
	look("after a minute")

	after(82*time.Second, "the last offsets to expire", func() bool { return offsets("expiry-left-later") == 0 && offsets("expiry-renewed") == 0 })
	look("in the end")
}}

// TestOffsetsExpireAsInKafka takes a minute and a half.
func TestOffsetsExpireAsInKafka(t *testing.T) {
	t.Parallel()
	set := map[string]string{"offsets.retention.minutes": "1", "offsets.retention.check.interval.ms": "300"}
	p := &pair{
		start: time.Now(), kafka: openKafka(t, servers.KafkaOptions{Set: set}),
		runnel: harness.Dev(t, harness.DevOptions{Set: set}).Addr, used: make([]int, len(known)),
	}
	if err := p.learnVersions(); err != nil {
		t.Fatal(err)
	}
	if err := p.awaitCoordinators(); err != nil {
		t.Fatal(err)
	}
	p.compare(t, expiryScript)
	t.Logf("%d answers compared, %d fields", p.answers, p.fields)
}
