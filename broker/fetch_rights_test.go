package broker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
)

// TestAWaitingFetchTellsNothingOnceTheRightIsTaken: clients choose how long they wait, and could read what is written days
// later.
func TestAWaitingFetchTellsNothingOnceTheRightIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newVirtualHarness(t, nil, wire.Options{})
		access := new(rules)
		access.deny()
		h.broker.Access = access
		topic := h.topic("events", 1, 1)
		req := fetchRequest(topic, 0)
		req.MaxWaitMillis = 8_000
		answer := make(chan *kmsg.FetchResponse, 1)
		go func() { answer <- ask[*kmsg.FetchResponse](h.harness, 12, req) }()
		time.Sleep(2 * time.Second) // virtual
		access.deny(denial{acl.Read, acl.Topic, "events"})
		h.produce(topic, 0, testBatch(1))
		got := (<-answer).Topics[0].Partitions[0]
		equal(t, "error", kerr.ErrorForCode(got.ErrorCode), error(kerr.TopicAuthorizationFailed))
		equal(t, "bytes", len(got.RecordBatches), 0)
	})
}
