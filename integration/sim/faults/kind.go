package faults

import (
	"slices"
	"time"

	meta "github.com/runnel-io/runnel/metastore/fault"
	object "github.com/runnel-io/runnel/objstore/fault"
)

// Kind is what goes wrong.
type Kind string

// What befalls brokers.
const (
	Crash      Kind = "crash"       // ends as by kill -9, and starts again
	Restart    Kind = "restart"     // stops as by SIGTERM, and starts again
	ShortPause Kind = "short-pause" // does nothing for less than its leases
	LongPause  Kind = "long-pause"  // does nothing for longer
)

// What befalls the network.
const (
	Partition            Kind = "partition" // between two parties, both ways
	OneWay               Kind = "one-way"   // from one party to another
	Reset                Kind = "reset"     // of the connections between two parties, at one moment
	PeersUnreachable     Kind = "peers-unreachable"
	MetastoreUnreachable Kind = "metastore-unreachable"
	BucketUnreachable    Kind = "bucket-unreachable"
)

// What befalls calls. Lost: the call fails without an effect. Unanswered: it takes effect, and fails. Late: it fails, and
// takes effect afterwards. Slow: it takes effect, and answers, late.
const (
	PutLost       Kind = "put-lost"
	PutUnanswered Kind = "put-unanswered"
	PutLate       Kind = "put-late"
	PutSlow       Kind = "put-slow"
	GetFails      Kind = "get-fails"
	GetBroken     Kind = "get-broken" // the connection ends inside the answer
	GetSlow       Kind = "get-slow"
	SlowDown      Kind = "slow-down" // the bucket refuses requests, as S3 does with 503

	DeleteLost       Kind = "delete-lost"
	DeleteUnanswered Kind = "delete-unanswered"
	DeleteLate       Kind = "delete-late"

	CommitLost       Kind = "commit-lost"
	CommitUnanswered Kind = "commit-unanswered"
	CommitLate       Kind = "commit-late"
	CommitSlow       Kind = "commit-slow"

	GroupWriteLost       Kind = "group-write-lost"
	GroupWriteUnanswered Kind = "group-write-unanswered"
	GroupWriteLate       Kind = "group-write-late"
	GroupWriteSlow       Kind = "group-write-slow"

	LeaseLost       Kind = "lease-lost"
	LeaseUnanswered Kind = "lease-unanswered"

	// Upkeep is what replicas write beside the log: snapshots, and trimming it.
	UpkeepLost       Kind = "upkeep-lost"
	UpkeepUnanswered Kind = "upkeep-unanswered"
	UpkeepLate       Kind = "upkeep-late"

	LookFails Kind = "look-fails" // reads of the metastore
	LookSlow  Kind = "look-slow"
)

// ClockJump sets the metastore's clock, and sets it back.
const ClockJump Kind = "clock-jump"

// effect is what becomes of a call.
type effect int

const (
	lost effect = iota + 1
	unanswered
	late
	slow
	unreachable // nothing arrives, neither calls nor the answers to those under way
)

// store is one of a broker's two.
type store int

const (
	metastores store = iota + 1
	buckets
)

// fate is what a kind does to calls.
type fate struct {
	store  store
	ops    []string // nil: all
	effect effect
}

func (f *fate) meets(c *call) bool {
	return f.store == c.store && (f.ops == nil || slices.Contains(f.ops, c.op))
}

var (
	puts    = ops(object.Put)
	gets    = ops(object.Get, object.GetSuffix, object.List)
	deletes = ops(object.Delete)
	commits = ops(meta.Append, meta.AppendWith)
	groups  = ops(meta.ClaimGroup, meta.WriteGroup, meta.DeleteGroup, meta.CommitOffsets, meta.DeleteOffsets, meta.ExpireOffsets)
	leases  = ops(meta.RegisterBroker, meta.RenewBroker, meta.LeaveBroker, meta.UnregisterBroker, meta.HoldLease, meta.ReleaseLease)
	upkeep  = ops(meta.SaveSnapshot, meta.Trim, meta.DeleteTopicOffsets)
	looks   = ops(meta.Read, meta.End, meta.Wait, meta.LatestSnapshot, meta.ClusterID, meta.Clock, meta.LiveBrokers,
		meta.ReadGroup, meta.ListGroups, meta.FetchOffsets, meta.GroupAges)
)

func ops[T ~string](of ...T) []string {
	names := make([]string, len(of))
	for i, op := range of {
		names[i] = string(op)
	}
	return names
}

// fates are those of the kinds that befall calls.
var fates = map[Kind]*fate{
	MetastoreUnreachable: {metastores, nil, unreachable},
	BucketUnreachable:    {buckets, nil, unreachable},

	PutLost:       {buckets, puts, lost},
	PutUnanswered: {buckets, puts, unanswered},
	PutLate:       {buckets, puts, late},
	PutSlow:       {buckets, puts, slow},
	GetFails:      {buckets, gets, lost},
	GetBroken:     {buckets, gets, unanswered},
	GetSlow:       {buckets, gets, slow},
	SlowDown:      {buckets, nil, lost},

	DeleteLost:       {buckets, deletes, lost},
	DeleteUnanswered: {buckets, deletes, unanswered},
	DeleteLate:       {buckets, deletes, late},

	CommitLost:       {metastores, commits, lost},
	CommitUnanswered: {metastores, commits, unanswered},
	CommitLate:       {metastores, commits, late},
	CommitSlow:       {metastores, commits, slow},

	GroupWriteLost:       {metastores, groups, lost},
	GroupWriteUnanswered: {metastores, groups, unanswered},
	GroupWriteLate:       {metastores, groups, late},
	GroupWriteSlow:       {metastores, groups, slow},

	LeaseLost:       {metastores, leases, lost},
	LeaseUnanswered: {metastores, leases, unanswered},

	UpkeepLost:       {metastores, upkeep, lost},
	UpkeepUnanswered: {metastores, upkeep, unanswered},
	UpkeepLate:       {metastores, upkeep, late},

	LookFails: {metastores, looks, lost},
	LookSlow:  {metastores, looks, slow},
}

// measure bounds what a plan draws for a kind.
type measure struct {
	weight      int           // how often it is drawn
	least, most time.Duration // its length
	delay       time.Duration // the longest that calls are late or slow
	oneOf       int           // so many calls; 0: drawn
	hangs       bool          // calls that fail may hang first
}

// MostLate is how long after its error a call may take effect: the time-out of statements that the contract of the
// metastore names.
const MostLate = 30 * time.Second

const second = time.Second

// measures has every kind.
var measures = map[Kind]measure{
	Crash:      {weight: 6, least: 200 * time.Millisecond, most: 12 * second},
	Restart:    {weight: 4, least: 2 * second, most: 12 * second},
	ShortPause: {weight: 3, least: 100 * time.Millisecond, most: 4 * second},
	LongPause:  {weight: 4, least: 7 * second, most: 20 * second},

	Partition:            {weight: 6, least: 200 * time.Millisecond, most: 15 * second},
	OneWay:               {weight: 4, least: 200 * time.Millisecond, most: 15 * second},
	Reset:                {weight: 4},
	PeersUnreachable:     {weight: 4, least: second, most: 15 * second},
	MetastoreUnreachable: {weight: 4, least: 200 * time.Millisecond, most: 15 * second, oneOf: 1, hangs: true},
	BucketUnreachable:    {weight: 3, least: 200 * time.Millisecond, most: 15 * second, oneOf: 1, hangs: true},

	PutLost:       {weight: 2, least: second, most: 15 * second, hangs: true},
	PutUnanswered: {weight: 3, least: second, most: 15 * second, hangs: true},
	PutLate:       {weight: 3, least: second, most: 15 * second, hangs: true, delay: MostLate},
	PutSlow:       {weight: 3, least: second, most: 15 * second, delay: 8 * second},
	GetFails:      {weight: 2, least: second, most: 15 * second, hangs: true},
	GetBroken:     {weight: 2, least: second, most: 15 * second},
	GetSlow:       {weight: 2, least: second, most: 15 * second, delay: 5 * second},
	SlowDown:      {weight: 2, least: second, most: 15 * second},

	DeleteLost:       {weight: 1, least: second, most: 15 * second, hangs: true},
	DeleteUnanswered: {weight: 1, least: second, most: 15 * second, hangs: true},
	DeleteLate:       {weight: 2, least: second, most: 15 * second, delay: MostLate},

	CommitLost:       {weight: 2, least: second, most: 15 * second, hangs: true},
	CommitUnanswered: {weight: 5, least: second, most: 15 * second, hangs: true},
	CommitLate:       {weight: 6, least: second, most: 15 * second, hangs: true, delay: MostLate},
	CommitSlow:       {weight: 4, least: second, most: 15 * second, delay: 8 * second},

	GroupWriteLost:       {weight: 2, least: second, most: 15 * second, hangs: true},
	GroupWriteUnanswered: {weight: 3, least: second, most: 15 * second, hangs: true},
	GroupWriteLate:       {weight: 4, least: second, most: 15 * second, hangs: true, delay: MostLate},
	GroupWriteSlow:       {weight: 2, least: second, most: 15 * second, delay: 8 * second},

	LeaseLost:       {weight: 3, least: 2 * second, most: 20 * second, hangs: true},
	LeaseUnanswered: {weight: 2, least: 2 * second, most: 20 * second},

	UpkeepLost:       {weight: 1, least: second, most: 15 * second, hangs: true},
	UpkeepUnanswered: {weight: 1, least: second, most: 15 * second, hangs: true},
	UpkeepLate:       {weight: 1, least: second, most: 15 * second, delay: MostLate},

	LookFails: {weight: 3, least: second, most: 15 * second, hangs: true},
	LookSlow:  {weight: 2, least: second, most: 15 * second, delay: 3 * second},

	ClockJump: {weight: 3, least: second, most: 20 * second},
}
