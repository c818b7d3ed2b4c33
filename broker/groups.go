package broker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/metastore"
)

// GroupMembers takes part in the life of groups; calls may wait for other members.
type GroupMembers interface {
	Join(ctx context.Context, req group.JoinRequest) (group.JoinResponse, error)
	Sync(ctx context.Context, req group.SyncRequest) (group.SyncResponse, error)
	Heartbeat(ctx context.Context, req group.HeartbeatRequest) error
	Leave(ctx context.Context, req group.LeaveRequest) ([]error, error)
	ConsumerHeartbeat(ctx context.Context, req group.ConsumerHeartbeatRequest) (group.ConsumerHeartbeatResponse, error)
}

// GroupOffsets keeps the positions of groups.
type GroupOffsets interface {
	CommitOffsets(ctx context.Context, req group.CommitRequest) ([]error, error)
	FetchOffsets(ctx context.Context, groupID string, partitions []metastore.TopicPartition) ([]metastore.CommittedOffset, error)
	// CheckFetch refuses a member of a consumer group that is not what it says.
	CheckFetch(ctx context.Context, groupID string, memberID *string, epoch group.MemberEpoch) error
	// CommitInTransaction validates a commit and has it kept under the claim of the group; see group.Coordinator.
	CommitInTransaction(ctx context.Context, req group.CommitRequest,
		pend func(context.Context, metastore.GroupEpoch, []metastore.CommittedOffset) error) ([]error, error)
	DeleteOffsets(ctx context.Context, groupID string, partitions []group.PartitionOf) ([]error, error)
}

// GroupAdmin looks at groups from outside.
type GroupAdmin interface {
	Describe(ctx context.Context, groupID string) (group.Description, error)
	DescribeConsumer(ctx context.Context, groupID string) (group.ConsumerDescription, error)
	List(ctx context.Context) ([]group.Listing, error)
	Delete(ctx context.Context, groupID string) error
}

// Groups coordinates the groups that this broker owns; group.Coordinator does.
type Groups interface {
	GroupMembers
	GroupOffsets
	GroupAdmin
}

// TopicOffsets forgets what groups committed for a topic.
type TopicOffsets interface {
	DeleteTopicOffsets(ctx context.Context, topic metastore.TopicID) error
}

// groupWait bounds requests to a coordinator that wait for the metastore alone.
const groupWait = 20 * time.Second

// groupCode is the error code of a request to a group coordinator. What has no code of its own is the metastore in
// trouble, and what clients of groups retry is COORDINATOR_NOT_AVAILABLE.
func groupCode(err error) int16 {
	c := code(err)
	if c == kerr.RequestTimedOut.Code {
		return kerr.CoordinatorNotAvailable.Code
	}
	return c
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func millis(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }
