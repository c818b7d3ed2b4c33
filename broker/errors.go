package broker

import (
	"context"
	"errors"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/quota"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/telemetry"
	"github.com/runnel-io/runnel/metastore"
)

// A refusal is an answer that a handler decided on, with a text for people.
type refusal struct {
	kafka *kerr.Error
	text  string
}

func (r *refusal) Error() string { return r.text }

func refuse(kafka *kerr.Error, text string) error { return &refusal{kafka, text} }

// causes maps the errors of the domain to Kafka's. The first match counts.
var causes = []struct {
	err   error
	kafka *kerr.Error
}{
	{metastore.ErrTopicExists, kerr.TopicAlreadyExists},
	{metastore.ErrUnknownTopic, kerr.UnknownTopicOrPartition},
	{metastore.ErrUnknownPartition, kerr.UnknownTopicOrPartition},
	{metastore.ErrOffsetOutOfRange, kerr.OffsetOutOfRange},
	{metastore.ErrPartitionCount, kerr.InvalidPartitions},
	{metastore.ErrTooManyConfigs, kerr.PolicyViolation},
	{metastore.ErrNoRoom, kerr.PolicyViolation},
	{metastore.ErrFenced, kerr.NotCoordinator},
	{metastore.ErrTxnFenced, kerr.ProducerFenced},
	{metastore.ErrTxnMapping, kerr.InvalidProducerIDMapping},
	{metastore.ErrTxnState, kerr.InvalidTxnState},
	{metastore.ErrTxnMoved, kerr.ConcurrentTransactions}, // which producers retry
	{metastore.ErrTxnTooLarge, kerr.UnknownServerError},  // as Kafka's log of transactions, when an entry is too large for it
	{group.ErrInvalidGroupID, kerr.InvalidGroupID},
	{group.ErrNotCoordinator, kerr.NotCoordinator},
	{group.ErrCoordinatorLoading, kerr.CoordinatorLoadInProgress},
	{group.ErrCoordinatorUnavailable, kerr.CoordinatorNotAvailable},
	{group.ErrUnknownMember, kerr.UnknownMemberID},
	{group.ErrMemberIDRequired, kerr.MemberIDRequired},
	{group.ErrFencedInstance, kerr.FencedInstanceID},
	{group.ErrIllegalGeneration, kerr.IllegalGeneration},
	{group.ErrRebalanceInProgress, kerr.RebalanceInProgress},
	{group.ErrInconsistentProtocol, kerr.InconsistentGroupProtocol},
	{group.ErrInvalidSessionTimeout, kerr.InvalidSessionTimeout},
	{group.ErrGroupMaxSize, kerr.GroupMaxSizeReached},
	{group.ErrTooManyGroups, kerr.GroupMaxSizeReached},
	{group.ErrGroupNotFound, kerr.GroupIDNotFound},
	{group.ErrNonEmptyGroup, kerr.NonEmptyGroup},
	{group.ErrSubscribedToTopic, kerr.GroupSubscribedToTopic},
	{group.ErrFencedMemberEpoch, kerr.FencedMemberEpoch},
	{group.ErrStaleMemberEpoch, kerr.StaleMemberEpoch},
	{group.ErrUnreleasedInstance, kerr.UnreleasedInstanceID},
	{group.ErrUnsupportedAssignor, kerr.UnsupportedAssignor},
	{group.ErrInvalidRegex, kerr.InvalidRegularExpression},
	{group.ErrUnsupportedVersion, kerr.UnsupportedVersion},
	{group.ErrUnreadableSubscription, kerr.UnknownServerError}, // as Kafka
	{group.ErrOffsetMetadataTooLarge, kerr.OffsetMetadataTooLarge},
	{quota.ErrInvalid, kerr.InvalidRequest},
	{telemetry.ErrTooEarly, kerr.ThrottlingQuotaExceeded},
	{telemetry.ErrUnknownSubscription, kerr.UnknownSubscriptionID},
	{telemetry.ErrTerminated, kerr.InvalidRequest},
	{telemetry.ErrReservedInstance, kerr.InvalidRequest},
	{telemetry.ErrUnsupportedCodec, kerr.UnsupportedCompressionType},
	{telemetry.ErrTooLarge, kerr.TelemetryTooLarge},
	{telemetry.ErrCorrupt, kerr.InvalidRecord},
	{context.DeadlineExceeded, kerr.RequestTimedOut},
	{context.Canceled, kerr.RequestTimedOut},
}

// kafkaError is the error of Kafka's for an error of the domain, nil for nil. What has no error of its own is the
// metastore in trouble: REQUEST_TIMED_OUT, which clients retry, where Kafka's UNKNOWN_SERVER_ERROR would end them. An
// entry that was appended without our hearing of it then makes the retry fail with "exists already", as a timeout of
// Kafka's own does.
func kafkaError(err error) *kerr.Error {
	if err == nil {
		return nil
	}
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.kafka
	}
	if _, ok := errors.AsType[*settings.ValueError](err); ok {
		return kerr.InvalidConfig
	}
	if _, ok := errors.AsType[*settings.ReadOnlyError](err); ok {
		return kerr.InvalidRequest
	}
	if _, ok := errors.AsType[*settings.UnknownError](err); ok {
		return kerr.InvalidConfig
	}
	for _, c := range causes {
		if errors.Is(err, c.err) {
			return c.kafka
		}
	}
	if errors.Is(err, metastore.ErrRegressed) || errors.Is(err, metastore.ErrCorrupt) || errors.Is(err, metastore.ErrNewerFormat) {
		return kerr.UnknownServerError // a retry does not help
	}
	return kerr.RequestTimedOut
}

// code is the error code of err, 0 for nil.
func code(err error) int16 {
	if k := kafkaError(err); k != nil {
		return k.Code
	}
	return 0
}

// failure is the error code and the error message of err.
func failure(err error) (int16, *string) {
	if err == nil {
		return 0, nil
	}
	text := brief(err.Error())
	return code(err), &text
}

// mostText is how long the text of an error is that a client is told.
const mostText = 1000

// brief is the beginning of a text that is long because it repeats what the client sent. A name can have 32,767 bytes, and in
// versions that are not flexible so can the text, no more; and a name stands in the request once, but its text in each
// row of the answer.
func brief(text string) string {
	if len(text) <= mostText {
		return text
	}
	return strings.ToValidUTF8(text[:mostText], "") + "..."
}
