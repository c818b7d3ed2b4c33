package group

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"
)

// Options configure a Coordinator. The zero value holds the defaults, which are Kafka's where Kafka has the setting.
type Options struct {
	Logger *slog.Logger              // discards
	Now    func() time.Time          // time.Now
	Owns   func(groupID string) bool // whether this broker coordinates the group; nil: all groups. Called often: no I/O.

	// Pending tells whether ongoing transactions hold offsets of the group, which then cannot go. Default: none do.
	Pending func(groupID string) bool

	// Keep is how long a group in memory is still served after this broker ceased to own it: as long as other brokers may
	// send its members here, and these would be sent to and fro. Default 0.
	Keep time.Duration

	InitialRebalanceDelay  time.Duration // group.initial.rebalance.delay.ms: 3 s; negative: none
	MinSessionTimeout      time.Duration // group.min.session.timeout.ms: 6 s
	MaxSessionTimeout      time.Duration // group.max.session.timeout.ms: 30 min
	MaxSize                int           // group.max.size: 0, no limit
	OffsetMetadataMaxBytes int           // offset.metadata.max.bytes: 4096
	OffsetsRetention       time.Duration // offsets.retention.minutes: 7 days
	ExpireInterval         time.Duration // offsets.retention.check.interval.ms: 10 min

	// PendingTransactionalOffsets tells whether a transaction that is open holds offsets for the group, which then keeps
	// all that it has. It may do I/O. Default: there are none.
	PendingTransactionalOffsets func(ctx context.Context, groupID string) (bool, error)

	WriteTimeout  time.Duration // for one call to the metastore: 10 s
	DrainTimeout  time.Duration // for those under way when Run's context ends: as WriteTimeout
	Writers       int           // groups whose records are written at the same time: 8
	SweepInterval time.Duration // how often groups are dropped that are idle or no longer owned: 1 s
	IdleTimeout   time.Duration // after which a group without members is forgotten in memory: 10 min
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Owns == nil {
		o.Owns = func(string) bool { return true }
	}
	if o.Pending == nil {
		o.Pending = func(string) bool { return false }
	}
	o.InitialRebalanceDelay = cmp.Or(o.InitialRebalanceDelay, 3*time.Second)
	o.MinSessionTimeout = cmp.Or(o.MinSessionTimeout, 6*time.Second)
	o.MaxSessionTimeout = cmp.Or(o.MaxSessionTimeout, 30*time.Minute)
	o.OffsetMetadataMaxBytes = cmp.Or(o.OffsetMetadataMaxBytes, 4096)
	o.OffsetsRetention = cmp.Or(o.OffsetsRetention, 7*24*time.Hour)
	o.ExpireInterval = cmp.Or(o.ExpireInterval, 10*time.Minute)
	if o.PendingTransactionalOffsets == nil {
		o.PendingTransactionalOffsets = func(context.Context, string) (bool, error) { return false, nil }
	}
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 10*time.Second)
	o.DrainTimeout = cmp.Or(o.DrainTimeout, o.WriteTimeout)
	o.Writers = cmp.Or(o.Writers, 8)
	o.SweepInterval = cmp.Or(o.SweepInterval, time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 10*time.Minute)
	return o
}

func (o *Options) limits() limits {
	return limits{initialDelay: o.InitialRebalanceDelay, maxSize: o.MaxSize}
}

// maxGroupID is the longest group id in bytes. Kafka has no limit but that of its frames; databases limit their keys.
const maxGroupID = 1024

// validGroupID tells whether a group can be kept under the id.
func validGroupID(id string) bool { return len(id) <= maxGroupID && isText(id) }

// isText tells whether a database takes s for text.
func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
