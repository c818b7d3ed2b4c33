package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/history"
)

// TestClassify: what is not known to have failed is unknown, and that includes every code that is not listed here.
func TestClassify(t *testing.T) {
	t.Parallel()
	const ok, failed, unknown = history.OK, history.Failed, history.Unknown
	for _, test := range []struct {
		err  error
		want history.Outcome
	}{
		{nil, ok},
		{kerr.TopicAuthorizationFailed, failed},
		{kerr.GroupAuthorizationFailed, failed},
		{kerr.TransactionalIDAuthorizationFailed, failed},
		{kerr.UnknownTopicOrPartition, failed},
		{kerr.UnknownTopicID, failed},
		{kerr.MessageTooLarge, failed},
		{kerr.CorruptMessage, failed},
		{kerr.OutOfOrderSequenceNumber, failed},
		{kerr.InvalidProducerEpoch, failed},
		{kerr.ProducerFenced, failed},
		{kerr.InvalidTxnState, failed},
		{kerr.TransactionAbortable, failed},
		{kerr.IllegalGeneration, failed},
		{kerr.StaleMemberEpoch, failed},
		{kerr.UnknownMemberID, failed},
		{kerr.RebalanceInProgress, failed},
		{kerr.TopicAlreadyExists, failed},
		{fmt.Errorf("wrapped: %w", kerr.ProducerFenced), failed},
		{errors.Join(kerr.IllegalGeneration, kerr.IllegalGeneration), failed},

		{kerr.RequestTimedOut, unknown},
		{kerr.NotLeaderForPartition, unknown},
		{kerr.LeaderNotAvailable, unknown},
		{kerr.FencedLeaderEpoch, unknown},
		{kerr.NotEnoughReplicas, unknown},
		{kerr.NotEnoughReplicasAfterAppend, unknown},
		{kerr.NetworkException, unknown},
		{kerr.UnknownServerError, unknown},
		{kerr.KafkaStorageError, unknown},
		{kerr.NotCoordinator, unknown},
		{kerr.CoordinatorNotAvailable, unknown},
		{kerr.CoordinatorLoadInProgress, unknown},
		{kerr.ConcurrentTransactions, unknown},
		{kerr.UnstableOffsetCommit, unknown},
		{kerr.DuplicateSequenceNumber, unknown}, // it is there: from whom, is another question
		{io.EOF, unknown},
		{context.Canceled, unknown},
		{context.DeadlineExceeded, unknown},
		{kgo.ErrClientClosed, unknown},
		{kgo.ErrRecordRetries, unknown},
		{kgo.ErrAborting, unknown},
		{fmt.Errorf("%w, last err: %w", kgo.ErrRecordTimeout, kerr.UnknownTopicOrPartition), unknown},
		{errors.New("anything else"), unknown},
	} {
		if got := classify(test.err); got != test.want {
			t.Errorf("%v is %s, want %s", test.err, got, test.want)
		}
	}
	listed := 0
	for code := range int16(200) {
		if err := kerr.ErrorForCode(code); err != nil && classify(err) == failed {
			listed++
		}
	}
	if listed != len(refusals) {
		t.Errorf("%d codes are failures, %d are listed", listed, len(refusals))
	}
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		tries attempts
		err   error
		want  history.Outcome
	}{
		{"answered well, however often asked", attempts{left: 3}, nil, history.OK},
		{"refused once", attempts{left: 1, all: true}, kerr.ProducerFenced, history.Failed},
		{"refused when asked again", attempts{left: 2, all: true}, kerr.ProducerFenced, history.Unknown},
		{"refused, but the client was given up", attempts{left: 1}, kerr.ProducerFenced, history.Unknown},
		{"no answer", attempts{left: 1, all: true}, kgo.ErrRecordTimeout, history.Unknown},
		{"never asked", attempts{all: true}, kgo.ErrRecordTimeout, history.Failed},
		{"never asked so far, but may be yet", attempts{}, kgo.ErrRecordTimeout, history.Unknown},
	} {
		if got := test.tries.outcome(test.err); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}
