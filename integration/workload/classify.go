package workload

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/history"
)

// refusals are the answers after which what was asked did not happen, and will not. What is not here is unknown.
var refusals = []*kerr.Error{
	kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed,
	kerr.TransactionalIDAuthorizationFailed, kerr.SaslAuthenticationFailed, kerr.SecurityDisabled,

	kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InvalidTopicException, kerr.InvalidPartitions,
	kerr.InvalidReplicationFactor, kerr.InvalidConfig, kerr.PolicyViolation, kerr.TopicAlreadyExists,

	kerr.OffsetOutOfRange, // of DeleteRecords

	kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.CorruptMessage, kerr.InvalidRecord, kerr.InvalidTimestamp,
	kerr.UnsupportedForMessageFormat, kerr.UnsupportedCompressionType, kerr.UnsupportedVersion, kerr.InvalidRequest, kerr.InvalidRequiredAcks,

	kerr.OutOfOrderSequenceNumber, kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.UnknownProducerID,
	kerr.InvalidProducerIDMapping, kerr.InvalidTxnState, kerr.TransactionAbortable, kerr.OperationNotAttempted,
	kerr.InvalidTransactionTimeout,

	kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.FencedInstanceID, kerr.FencedMemberEpoch, kerr.StaleMemberEpoch,
	kerr.RebalanceInProgress, kerr.GroupIDNotFound, kerr.InvalidGroupID, kerr.InconsistentGroupProtocol,
	kerr.OffsetMetadataTooLarge, kerr.InvalidCommitOffsetSize,
}

// classify tells what an error says of a request that left at most once. A client that gave up while it waited, or that
// tried more than once, may have been heard before: see attempts.
func classify(err error) history.Outcome {
	if err == nil {
		return history.OK
	}
	for _, late := range []error{context.Canceled, context.DeadlineExceeded, kgo.ErrClientClosed, kgo.ErrRecordTimeout, kgo.ErrRecordRetries} {
		if errors.Is(err, late) {
			return history.Unknown // also where it wraps the last refusal of several attempts
		}
	}
	for _, refusal := range refusals {
		if errors.Is(err, refusal) {
			return history.Failed
		}
	}
	return history.Unknown
}

// attempts is what is known of the requests of one kind that left a client while an operation waited for its answer.
type attempts struct {
	left int64
	// all: no request can leave after the answer. It cannot be told of a client that was given up.
	all bool
}

// outcome tells what an error says after these attempts: nothing that was asked happened if nothing left; and the one answer
// to the one request is true, while that to a repetition says nothing of what came of the first.
func (a attempts) outcome(err error) history.Outcome {
	switch outcome := classify(err); {
	case err == nil:
		return history.OK
	case !a.all:
		return history.Unknown
	case a.left == 0:
		return history.Failed
	case a.left == 1:
		return outcome
	default:
		return history.Unknown
	}
}
