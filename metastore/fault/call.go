package fault

import (
	"context"
	"strconv"

	"github.com/runnel-io/runnel/metastore"
)

// Op is a method of metastore.Store.
type Op string

// The methods of metastore.Store, without Close.
const (
	Append         Op = "Append"
	AppendWith     Op = "AppendWith"
	Read           Op = "Read"
	End            Op = "End"
	Wait           Op = "Wait"
	SaveSnapshot   Op = "SaveSnapshot"
	LatestSnapshot Op = "LatestSnapshot"
	Trim           Op = "Trim"

	ClusterID        Op = "ClusterID"
	Clock            Op = "Clock"
	RegisterBroker   Op = "RegisterBroker"
	RenewBroker      Op = "RenewBroker"
	LeaveBroker      Op = "LeaveBroker"
	UnregisterBroker Op = "UnregisterBroker"
	LiveBrokers      Op = "LiveBrokers"

	HoldLease    Op = "HoldLease"
	ReleaseLease Op = "ReleaseLease"

	ClaimGroup         Op = "ClaimGroup"
	ReadGroup          Op = "ReadGroup"
	WriteGroup         Op = "WriteGroup"
	DeleteGroup        Op = "DeleteGroup"
	ListGroups         Op = "ListGroups"
	CommitOffsets      Op = "CommitOffsets"
	FetchOffsets       Op = "FetchOffsets"
	DeleteOffsets      Op = "DeleteOffsets"
	ExpireOffsets      Op = "ExpireOffsets"
	GroupAges          Op = "GroupAges"
	DeleteTopicOffsets Op = "DeleteTopicOffsets"
)

// Call is one call of the store: what decides over its fate.
type Call struct {
	Op     Op
	Seq    metastore.Seq    // of the entry that Append and AppendWith add, or after which Read and Wait look; of SaveSnapshot; the bound of Trim
	Group  string           // of calls about one group
	Lease  string           // the name, of HoldLease and ReleaseLease
	NodeID metastore.NodeID // of the broker that registers, renews, leaves, holds or claims; AnyNodeID for other calls
	Bytes  int              // of the entry, the snapshot, or the group's state

	later func() func(context.Context) error
}

// Later copies what the call was given, and returns what does the call on the inner store, without hooks: now, or when
// the caller has long had its answer. It may run at most once. So a hook that answers with an error can let the call take
// effect later, as a statement does that a server still works on when its connection is lost.
func (c Call) Later() func(context.Context) error { return c.later() }

// Writes tells whether the call may change what others see.
func (c Call) Writes() bool {
	switch c.Op {
	case Read, End, Wait, LatestSnapshot, ClusterID, Clock, LiveBrokers, ReadGroup, ListGroups, FetchOffsets, GroupAges:
		return false
	}
	return true
}

// String returns the call as one line of a trace.
func (c Call) String() string { return string(c.Append(nil)) }

// Append appends String to b.
func (c Call) Append(b []byte) []byte {
	b = append(b, c.Op...)
	if c.Seq != 0 {
		b = strconv.AppendInt(append(b, ' '), int64(c.Seq), 10)
	}
	for _, name := range [...]string{c.Group, c.Lease} {
		if name != "" {
			b = strconv.AppendQuote(append(b, ' '), name)
		}
	}
	if c.NodeID != metastore.AnyNodeID {
		b = strconv.AppendInt(append(b, " of "...), int64(c.NodeID), 10)
	}
	if c.Bytes != 0 {
		b = append(strconv.AppendInt(append(b, ' '), int64(c.Bytes), 10), 'B')
	}
	return b
}
