package group

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/runnel-io/runnel/metastore"
)

// Options configure a Coordinator. The zero value holds the defaults, which are Kafka's where Kafka has the setting.
type Options struct {
	Logger *slog.Logger              // discards
	Now    func() time.Time          // time.Now
	Clock  func() time.Time          // by which commits are dated and grow old: the same on all brokers; Now
	Owns   func(groupID string) bool // whether this broker coordinates the group; nil: all groups. Called often: no I/O.

	// Pending tells whether ongoing transactions hold offsets of the group, which then cannot go. Default: none do.
	Pending func(groupID string) bool

	// Supersede has the ongoing transactions that hold offsets of the group for the same partitions hold these instead, under the
	// claim: what is committed last counts. metastore.ErrFenced if there is a newer claim. Called only if Pending.
	Supersede func(ctx context.Context, groupID string, claim metastore.GroupEpoch, offsets []metastore.CommittedOffset) error

	// CatchUp returns when Pending knows of all that transactions held when it was called. It is called once for each claim, before the
	// first commit: the coordinator before may have had transactions hold offsets that nobody here has heard of. Default: it always does.
	CatchUp func(ctx context.Context) error

	// Keep is how long a group in memory is still served after this broker ceased to own it: as long as other brokers may
	// send its members here, and these would be sent to and fro. Default 0.
	Keep time.Duration

	InitialRebalanceDelay  time.Duration // group.initial.rebalance.delay.ms: 3 s; negative: none
	MinSessionTimeout      time.Duration // group.min.session.timeout.ms: 6 s
	MaxSessionTimeout      time.Duration // group.max.session.timeout.ms: 30 min
	MaxSize                int           // group.max.size: 0, no limit
	MaxGroups              func() int    // runnel.groups.max, in memory; groups that exist are served all the same. Default: no limit
	OffsetMetadataMaxBytes int           // offset.metadata.max.bytes: 4096
	OffsetsRetention       time.Duration // offsets.retention.minutes: 7 days
	ExpireInterval         time.Duration // offsets.retention.check.interval.ms: 10 min

	Topics            Topics                             // for consumer groups; nil: there are none
	ConsumerMaxSize   int                                // group.consumer.max.size: 0, no limit
	ConsumerAssignors []string                           // group.consumer.assignors, the default first: uniform, range
	ConsumerMigration Migration                          // group.consumer.migration.policy: bidirectional
	ConsumerTimes     func(groupID string) ConsumerTimes // of a consumer group: 5 s, 45 s and 1 s. Called often: no I/O.

	WriteTimeout     time.Duration // for one call to the metastore: 10 s
	DrainTimeout     time.Duration // for those under way when Run's context ends: as WriteTimeout
	HeartbeatTimeout time.Duration // for what a heartbeat of a consumer group changed to be durable: 20 s
	Writers          int           // groups whose records are written at the same time: 8
	SweepInterval    time.Duration // how often groups are dropped that are idle or no longer owned: 1 s
	IdleTimeout      time.Duration // after which a group without members is forgotten in memory: 10 min
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Clock == nil {
		o.Clock = o.Now
	}
	if o.Owns == nil {
		o.Owns = func(string) bool { return true }
	}
	if o.Pending == nil {
		o.Pending = func(string) bool { return false }
	}
	if o.CatchUp == nil {
		o.CatchUp = func(context.Context) error { return nil }
	}
	if o.Supersede == nil {
		o.Supersede = func(context.Context, string, metastore.GroupEpoch, []metastore.CommittedOffset) error { return nil }
	}
	if o.MaxGroups == nil {
		o.MaxGroups = func() int { return math.MaxInt }
	}
	if o.Topics == nil {
		o.Topics = noTopics{}
	}
	if len(o.ConsumerAssignors) == 0 {
		o.ConsumerAssignors = DefaultAssignors()
	}
	if o.ConsumerTimes == nil {
		o.ConsumerTimes = func(string) ConsumerTimes { return ConsumerTimes{5 * time.Second, 45 * time.Second, time.Second} }
	}
	o.InitialRebalanceDelay = cmp.Or(o.InitialRebalanceDelay, 3*time.Second)
	o.MinSessionTimeout = cmp.Or(o.MinSessionTimeout, 6*time.Second)
	o.MaxSessionTimeout = cmp.Or(o.MaxSessionTimeout, 30*time.Minute)
	o.OffsetMetadataMaxBytes = cmp.Or(o.OffsetMetadataMaxBytes, 4096)
	o.OffsetsRetention = cmp.Or(o.OffsetsRetention, 7*24*time.Hour)
	o.ExpireInterval = cmp.Or(o.ExpireInterval, 10*time.Minute)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 10*time.Second)
	o.DrainTimeout = cmp.Or(o.DrainTimeout, o.WriteTimeout)
	o.HeartbeatTimeout = cmp.Or(o.HeartbeatTimeout, 20*time.Second)
	o.Writers = cmp.Or(o.Writers, 8)
	o.SweepInterval = cmp.Or(o.SweepInterval, time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 10*time.Minute)
	return o
}

// shared translates a time of Now to Clock, which may be far from it: what a broker whose clock is wrong writes, and holds
// to be old, is so for the others too.
func (o *Options) shared(t time.Time) time.Time { return t.Add(o.ahead()).Round(0) }

// own translates a time of Clock, and of what the metastore dated, to Now.
func (o *Options) own(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(-o.ahead())
}

// ahead is how far Clock is ahead of Now, on the wall.
func (o *Options) ahead() time.Duration { return o.Clock().Round(0).Sub(o.Now().Round(0)) }

func (o *Options) limits() limits {
	return limits{initialDelay: o.InitialRebalanceDelay, maxSize: o.MaxSize}
}

func (o *Options) consumerLimits() consumerLimits {
	return consumerLimits{maxSize: o.ConsumerMaxSize, assignors: o.ConsumerAssignors, migration: o.ConsumerMigration}
}

// maxGroupID is the longest group id in bytes. Kafka has no limit but that of its frames; databases limit their keys.
const maxGroupID = 1024

// validGroupID tells whether a group can be kept under the id.
func validGroupID(id string) bool { return len(id) <= maxGroupID && isText(id) }

// isText tells whether a database takes s for text.
func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
