// Package broker answers the Kafka protocol: one table of APIs, and a file per API that translates between the wire
// and the domain.
package broker

import (
	"context"
	"log/slog"
	"time"

	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/broker/auth"
	"github.com/runnel-io/runnel/broker/quota"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/telemetry"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/broker/zone"
	"github.com/runnel-io/runnel/metastore"
)

// Topics is what there is, as of the last commit that the broker knows of. No method waits.
type Topics interface {
	Topic(name string) (*metastore.Topic, bool)
	TopicByID(id metastore.TopicID) (*metastore.Topic, bool)
	Topics() []*metastore.Topic // by name; not to be modified
	Watermarks(tp metastore.TopicPartition) (metastore.Watermarks, bool)
	// Written tells whether the log has a copy of a batch, and its base offset, as far as it remembers.
	Written(tp metastore.TopicPartition, b *metastore.BatchCommit) (metastore.Offset, bool)
	PartitionSizes(id metastore.TopicID) []int64 // in bytes, by partition; nil if there is no such topic
	Position() metastore.Position                // of the last commit that the broker knows of
	// Refresh returns when all that was changed before the call, through any broker, is visible. It may be called for
	// whatever clients send: calls share their cost.
	Refresh(ctx context.Context) error
}

// TopicChanges are durable, and visible in Topics, when they return nil. Values have been checked by the caller.
type TopicChanges interface {
	CreateTopic(ctx context.Context, t metastore.NewTopic) (*metastore.Topic, error)
	DeleteTopic(ctx context.Context, id metastore.TopicID) error
	CreatePartitions(ctx context.Context, id metastore.TopicID, count int32, room metastore.Room) error
	AlterTopicConfigs(ctx context.Context, id metastore.TopicID, set map[string]string, unset []string) error
	SetReplicationFactor(ctx context.Context, id metastore.TopicID, replicationFactor int16) error
	// DeleteRecords returns what became of each, in their order.
	DeleteRecords(ctx context.Context, asked []metastore.RecordDeletion) ([]metastore.DeletionResult, error)
}

// ProducerIDs gives out ids that nobody had before.
type ProducerIDs interface {
	NextProducerID(ctx context.Context) (metastore.ProducerID, error)
}

// Membership is which brokers there are. No method waits.
type Membership interface {
	Live() []metastore.Broker   // that partitions and groups belong to, by node id; not to be modified
	Listed() []metastore.Broker // beside them, those that are about to leave and still answer; the same
	// Elsewhere tells whether this broker has given its partitions and groups away and others serve them. HandedOver is
	// closed when that begins.
	Elsewhere() bool
	HandedOver() <-chan struct{}
	Self() metastore.Broker
	ClusterID() string
	LeaseRemaining() time.Duration // negative once it may have run out
	// Held tells whether the others certainly count on this broker.
	Held() bool
}

// Authentication is the mechanisms of SASL that clients may use.
type Authentication interface {
	Enabled() []auth.Mechanism
	Start(mechanism string) (auth.Exchange, error) // auth.ErrUnsupported
}

// noAuthentication is none.
type noAuthentication struct{}

func (noAuthentication) Enabled() []auth.Mechanism           { return nil }
func (noAuthentication) Start(string) (auth.Exchange, error) { return nil, auth.ErrUnsupported }

// Deps is what a Broker needs; all of it, except where a default is named.
type Deps struct {
	Topics       Topics
	Changes      TopicChanges
	ProducerIDs  ProducerIDs
	Membership   Membership
	Groups       Groups
	TopicOffsets TopicOffsets
	Partitions   Partitions
	Writer       Appender
	Reader       RecordReader
	// States and Transactions are about producers with transactional ids: what is known of them, and what changes them.
	States       TransactionStates
	Transactions Transactions
	Settings     *settings.Live
	// Authentication is for listeners where clients authenticate; default: they cannot.
	Authentication Authentication
	Access         Access         // default: everybody may do everything
	Audit          audit.Recorder // default: nothing is recorded
	Quotas         *quota.Limiter // default: none
	Configs        Configs
	Zones          *zone.Clients // default: by client ids alone
	LogDir         string        // what the object store is called in DescribeLogDirs, default "/"
	// Shown are settings of this broker for DescribeConfigs that are not the cluster's: node.id, listeners, ...
	Shown     map[string]string
	Telemetry Telemetry // default: one that asks for nothing
	// LogLevel is that of the broker's log, for clients to change; default: they cannot.
	LogLevel *slog.LevelVar
	Roles    func() []Role    // that this broker holds now, default none
	Logger   *slog.Logger     // default: discard
	Now      func() time.Time // default: time.Now
}

// Broker translates requests into calls of what it was given, and the results into answers. All the state that
// counts is fetch sessions, which clients begin anew when they are gone.
type Broker struct {
	Deps
	sessions      *fetchSessions
	away          pace          // of consumers that are sent away
	recompressing chan struct{} // see recompressors
	told          pace          // of errors in the log that clients repeat
	warned        pace          // of warnings that clients can cause, which must not keep errors from being told
}

// refreshWait bounds how long a request waits for a look at the commit log.
const refreshWait = time.Second

// refreshed looks at the commit log, and tells whether the broker now knows all that any broker answered before the call.
// False: the metastore cannot be reached, and the broker may be behind the others for longer than it takes to hear of a
// commit.
func (b *Broker) refreshed(ctx context.Context) bool {
	defer tollOf(ctx).pause()()
	ctx, cancel := context.WithTimeout(ctx, refreshWait)
	defer cancel()
	err := b.Topics.Refresh(ctx)
	if err != nil {
		b.Logger.Debug("look at the commit log for a request", "error", err)
	}
	return err == nil
}

// New makes a Broker.
func New(deps Deps) *Broker {
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Authentication == nil {
		deps.Authentication = noAuthentication{}
	}
	if deps.Access == nil {
		deps.Access = unlocked{}
	}
	if deps.Audit == nil {
		deps.Audit = audit.Discard{}
	}
	if deps.Roles == nil {
		deps.Roles = func() []Role { return nil }
	}
	if deps.Telemetry == nil {
		deps.Telemetry = telemetry.New(telemetry.Source{}, telemetry.Options{})
	}
	if deps.LogDir == "" {
		deps.LogDir = defaultLogDir
	}
	if deps.Zones == nil {
		deps.Zones = new(zone.Clients)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Broker{Deps: deps, sessions: newFetchSessions(deps.Settings.Load().FetchSessionSlots),
		recompressing: make(chan struct{}, recompressors)}
}

// Routes is the protocol table as a wire.Server takes it.
func (b *Broker) Routes() wire.Routes {
	routes := make(wire.Routes)
	for _, a := range b.apis() {
		routes[a.key] = wire.Route{Name: a.name, Min: a.min, Max: a.max, Handler: b.metered(&a), Order: a.order, Budgeted: a.budgeted, Borrows: a.borrows,
			Unauthenticated: a.open, Prompt: a.prompt}
	}
	return routes
}
