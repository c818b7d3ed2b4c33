package group

import "errors"

// The outcomes of requests that are not successes. Each is one error code of Kafka's.
var (
	// ErrInvalidGroupID: the group id is empty where it must not be, too long, or not text. INVALID_GROUP_ID.
	ErrInvalidGroupID = errors.New("invalid group id")
	// ErrNotCoordinator: another broker coordinates the group. NOT_COORDINATOR.
	ErrNotCoordinator = errors.New("not the coordinator of the group")
	// ErrCoordinatorLoading: the coordinator has not started yet. COORDINATOR_LOAD_IN_PROGRESS.
	ErrCoordinatorLoading = errors.New("coordinator is loading")
	// ErrCoordinatorUnavailable: the metastore could not be read or written, or the group is being deleted.
	// COORDINATOR_NOT_AVAILABLE.
	ErrCoordinatorUnavailable = errors.New("coordinator not available")
	// ErrUnknownMember: the group has no such member (any more). UNKNOWN_MEMBER_ID.
	ErrUnknownMember = errors.New("unknown member id")
	// ErrMemberIDRequired: join again with the member id of the response (KIP-394). MEMBER_ID_REQUIRED.
	ErrMemberIDRequired = errors.New("member id required")
	// ErrFencedInstance: another member took the instance id over (KIP-345). FENCED_INSTANCE_ID.
	ErrFencedInstance = errors.New("instance id fenced by another member")
	// ErrIllegalGeneration: not the group's generation. ILLEGAL_GENERATION.
	ErrIllegalGeneration = errors.New("illegal generation")
	// ErrRebalanceInProgress: the member has to join again. REBALANCE_IN_PROGRESS.
	ErrRebalanceInProgress = errors.New("rebalance in progress")
	// ErrInconsistentProtocol: the member has no protocol in common with the group. INCONSISTENT_GROUP_PROTOCOL.
	ErrInconsistentProtocol = errors.New("inconsistent group protocol")
	// ErrInvalidSessionTimeout: outside of the limits of the broker. INVALID_SESSION_TIMEOUT.
	ErrInvalidSessionTimeout = errors.New("invalid session timeout")
	// ErrGroupMaxSize: the group is full. GROUP_MAX_SIZE_REACHED.
	ErrGroupMaxSize = errors.New("group is at its maximum size")
	// ErrTooManyGroups: there is no such group, and there are to be no more. GROUP_MAX_SIZE_REACHED.
	ErrTooManyGroups = errors.New("the broker coordinates as many groups as it may")
	// ErrGroupNotFound: GROUP_ID_NOT_FOUND; for OffsetCommit before v9 ILLEGAL_GENERATION.
	ErrGroupNotFound = errors.New("group id not found")
	// ErrNonEmptyGroup: the group has members. NON_EMPTY_GROUP.
	ErrNonEmptyGroup = errors.New("group is not empty")
	// ErrSubscribedToTopic: members are subscribed to the topic. GROUP_SUBSCRIBED_TO_TOPIC.
	ErrSubscribedToTopic = errors.New("group is subscribed to the topic")
	// ErrFencedMemberEpoch: the member's epoch is not one that it can have; it has to join anew. FENCED_MEMBER_EPOCH.
	ErrFencedMemberEpoch = errors.New("member epoch fenced")
	// ErrStaleMemberEpoch: the member's epoch is not its present one; it learns that by its heartbeat. STALE_MEMBER_EPOCH.
	ErrStaleMemberEpoch = errors.New("member epoch is stale")
	// ErrUnreleasedInstance: another member has the instance id, and has not left. UNRELEASED_INSTANCE_ID.
	ErrUnreleasedInstance = errors.New("instance id is in use")
	// ErrUnsupportedAssignor: UNSUPPORTED_ASSIGNOR.
	ErrUnsupportedAssignor = errors.New("unsupported assignor")
	// ErrInvalidRegex: INVALID_REGULAR_EXPRESSION.
	ErrInvalidRegex = errors.New("invalid regular expression")
	// ErrUnsupportedVersion: the member cannot use so old a version of the request. UNSUPPORTED_VERSION.
	ErrUnsupportedVersion = errors.New("version too old for a member of a consumer group")
	// ErrUnreadableSubscription: a classic member says what a broker that assigns cannot read. UNKNOWN_SERVER_ERROR.
	ErrUnreadableSubscription = errors.New("the subscription cannot be read")
	// ErrOffsetMetadataTooLarge: OFFSET_METADATA_TOO_LARGE.
	ErrOffsetMetadataTooLarge = errors.New("offset metadata too large")
)
