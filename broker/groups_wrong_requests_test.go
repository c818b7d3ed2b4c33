package broker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

type wrongRequest struct {
	name    string
	version int16
	req     kmsg.Request
	want    string
}

// wrongRequests are those of each API.
func (w *wronged) wrongRequests() (all []wrongRequest) {
	all = append(all, w.wrongJoins()...)
	all = append(all, w.wrongSyncs()...)
	all = append(all, w.wrongBeats()...)
	all = append(all, w.wrongCommits()...)
	return append(all, w.wrongAdmin()...)
}

func (w *wronged) wrongJoins() []wrongRequest {
	type change = func(r *kmsg.JoinGroupRequest)
	instance := func(id string) change { return func(r *kmsg.JoinGroupRequest) { r.InstanceID = &id } }
	protocols := func(names ...string) change {
		return func(r *kmsg.JoinGroupRequest) {
			r.Protocols = nil
			for _, name := range names {
				r.Protocols = append(r.Protocols, kmsg.JoinGroupRequestProtocol{Name: name})
			}
		}
	}
	return []wrongRequest{
		{"join: no group", 5, w.joining("", ""), "INVALID_GROUP_ID"},
		{"join: group id too long", 5, w.joining(strings.Repeat("g", 2000), ""), "INVALID_GROUP_ID"},
		{"join: session too short", 5, changed(w.joining("live", w.member), func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 5999 }), "INVALID_SESSION_TIMEOUT"},
		{"join: session too long", 5, changed(w.joining("live", w.member), func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1_800_001 }), "INVALID_SESSION_TIMEOUT"},
		{"join: session negative", 0, changed(w.joining("unknown", ""), func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = -1 }), "INVALID_SESSION_TIMEOUT"},
		{"join: unknown group and member", 5, w.joining("unknown", "nobody"), "UNKNOWN_MEMBER_ID"},
		{"join: unknown member", 5, w.joining("live", "nobody"), "UNKNOWN_MEMBER_ID"},
		{"join: member of another group", 5, w.joining("live", w.worker), "UNKNOWN_MEMBER_ID"},
		{"join: unknown member while the leader is waited for", 5, w.joining("completing", "nobody"), "UNKNOWN_MEMBER_ID"},
		{"join: unknown member in a rebalance", 5, w.joining("preparing", "nobody"), "UNKNOWN_MEMBER_ID"},
		{"join: other protocol type", 5, changed(w.joining("live", ""), func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" }), "INCONSISTENT_GROUP_PROTOCOL"},
		{"join: no protocol type", 5, changed(w.joining("live", w.member), func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" }), "INCONSISTENT_GROUP_PROTOCOL"},
		{"join: no protocols", 5, changed(w.joining("live", w.member), protocols()), "INCONSISTENT_GROUP_PROTOCOL"},
		{"join: nothing in common", 5, changed(w.joining("live", ""), protocols("sticky", "roundrobin")), "INCONSISTENT_GROUP_PROTOCOL"},
		{"join: a worker among consumers", 9, changed(w.joining("workers", ""), func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "consumer" }), "INCONSISTENT_GROUP_PROTOCOL"},
		{"join: fenced instance", 5, changed(w.joining("static", w.fenced), instance("i")), "FENCED_INSTANCE_ID"},
		{"join: unknown instance with a member id", 5, changed(w.joining("static", w.holder), instance("other")), "UNKNOWN_MEMBER_ID"},
		{"join: fenced member without its instance", 5, w.joining("static", w.fenced), "UNKNOWN_MEMBER_ID"},
	}
}

func (w *wronged) wrongSyncs() []wrongRequest {
	instance := func(id string) func(r *kmsg.SyncGroupRequest) {
		return func(r *kmsg.SyncGroupRequest) { r.InstanceID = &id }
	}
	return []wrongRequest{
		{"sync: no group", 5, w.syncing("", "m", 1), "INVALID_GROUP_ID"},
		{"sync: unknown group", 5, w.syncing("unknown", "m", 1), "UNKNOWN_MEMBER_ID"},
		{"sync: unknown member", 5, w.syncing("live", "nobody", 1), "UNKNOWN_MEMBER_ID"},
		{"sync: no member", 5, w.syncing("live", "", 1), "UNKNOWN_MEMBER_ID"},
		{"sync: old generation", 5, w.syncing("live", w.member, 0), "ILLEGAL_GENERATION"},
		{"sync: future generation", 5, w.syncing("completing", w.completing, 2), "ILLEGAL_GENERATION"},
		{"sync: negative generation", 0, w.syncing("live", w.member, -1), "ILLEGAL_GENERATION"},
		{"sync: in a rebalance", 5, w.syncing("preparing", w.preparing, 1), "REBALANCE_IN_PROGRESS"},
		{"sync: other protocol", 5, changed(w.syncing("completing", w.completing, 1), func(r *kmsg.SyncGroupRequest) { r.Protocol = kmsg.StringPtr("sticky") }), "INCONSISTENT_GROUP_PROTOCOL"},
		{"sync: other protocol type", 5, changed(w.syncing("completing", w.completing, 1), func(r *kmsg.SyncGroupRequest) { r.ProtocolType = kmsg.StringPtr("connect") }), "INCONSISTENT_GROUP_PROTOCOL"},
		{"sync: no protocol", 5, changed(w.syncing("completing", w.completing, 1), func(r *kmsg.SyncGroupRequest) { r.Protocol = nil }), "INCONSISTENT_GROUP_PROTOCOL"},
		{"sync: fenced instance", 3, changed(w.syncing("static", w.fenced, 1), instance("i")), "FENCED_INSTANCE_ID"},
		{"sync: unknown instance", 3, changed(w.syncing("static", w.holder, 1), instance("other")), "UNKNOWN_MEMBER_ID"},
	}
}

func (w *wronged) wrongBeats() []wrongRequest {
	beat := func(group, member, instance string, generation int32) *kmsg.HeartbeatRequest {
		return changed(w.beating(group, member, generation), func(r *kmsg.HeartbeatRequest) { r.InstanceID = &instance })
	}
	member := func(id string, instance *string) kmsg.LeaveGroupRequestMember {
		return kmsg.LeaveGroupRequestMember{MemberID: id, InstanceID: instance}
	}
	i, other := "i", "other"
	return []wrongRequest{
		{"heartbeat: no group", 4, w.beating("", "m", 1), "INVALID_GROUP_ID"},
		{"heartbeat: unknown group", 4, w.beating("unknown", "m", 1), "UNKNOWN_MEMBER_ID"},
		{"heartbeat: group of offsets", 4, w.beating("offsets", "m", 1), "UNKNOWN_MEMBER_ID"},
		{"heartbeat: unknown member", 4, w.beating("live", "nobody", 1), "UNKNOWN_MEMBER_ID"},
		{"heartbeat: no member", 4, w.beating("live", "", 1), "UNKNOWN_MEMBER_ID"},
		{"heartbeat: old generation", 4, w.beating("live", w.member, 0), "ILLEGAL_GENERATION"},
		{"heartbeat: future generation", 4, w.beating("live", w.member, 1<<31-1), "ILLEGAL_GENERATION"},
		{"heartbeat: negative generation", 0, w.beating("live", w.member, -1), "ILLEGAL_GENERATION"},
		{"heartbeat: old generation in a rebalance", 4, w.beating("preparing", w.preparing, 0), "ILLEGAL_GENERATION"},
		{"heartbeat: fenced instance", 3, beat("static", w.fenced, "i", 1), "FENCED_INSTANCE_ID"},
		{"heartbeat: unknown instance", 3, beat("static", w.holder, "other", 1), "UNKNOWN_MEMBER_ID"},

		{"leave: no group", 3, w.leaving("", member("m", nil)), "INVALID_GROUP_ID"},
		{"leave: unknown group", 3, w.leaving("unknown", member("m", nil)), "UNKNOWN_MEMBER_ID"},
		{"leave: unknown member", 2, changed(w.leaving("live"), func(r *kmsg.LeaveGroupRequest) { r.MemberID = "nobody" }), "UNKNOWN_MEMBER_ID"},
		{"leave: nobody", 3, w.leaving("live", member("", nil)), "UNKNOWN_MEMBER_ID"},
		{"leave: several wrong ones", 5, w.leaving("static", member(w.fenced, &i), member("", &other), member(w.fenced, nil)), "FENCED_INSTANCE_ID UNKNOWN_MEMBER_ID UNKNOWN_MEMBER_ID"},
		{"leave: fenced instance", 4, w.leaving("static", member("nobody", &i)), "FENCED_INSTANCE_ID"},
	}
}

func (w *wronged) wrongCommits() []wrongRequest {
	type change = func(r *kmsg.OffsetCommitRequest)
	instance := func(id string) change { return func(r *kmsg.OffsetCommitRequest) { r.InstanceID = &id } }
	metadata := func(n int) change {
		return func(r *kmsg.OffsetCommitRequest) {
			r.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("m", n))
		}
	}
	topic := func(name string) change { return func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic = name } }
	partition := func(p int32) change {
		return func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Partition = p }
	}
	fetch := kmsg.NewPtrOffsetFetchRequest()
	for _, group := range []string{"live", strings.Repeat("g", 2000), "unknown"} {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = group
		fetch.Groups = append(fetch.Groups, g)
	}
	return []wrongRequest{
		{"commit: unknown group", 9, w.committing("unknown", "m", 1), "GROUP_ID_NOT_FOUND"},
		{"commit: unknown group, old version", 8, w.committing("unknown", "m", 1), "ILLEGAL_GENERATION"},
		{"commit: group without members, as one", 9, w.committing("offsets", "m", 1), "UNKNOWN_MEMBER_ID"},
		{"commit: unknown member", 9, w.committing("live", "nobody", 1), "UNKNOWN_MEMBER_ID"},
		{"commit: not a member", 9, w.committing("live", "", -1), "UNKNOWN_MEMBER_ID"},
		{"commit: no member but a generation", 9, w.committing("live", "", 1), "UNKNOWN_MEMBER_ID"},
		{"commit: after another took the partitions over", 9, w.committing("live", w.member, 0), "ILLEGAL_GENERATION"},
		{"commit: future generation", 9, w.committing("live", w.member, 2), "ILLEGAL_GENERATION"},
		{"commit: member without generation", 9, w.committing("live", w.member, -1), "ILLEGAL_GENERATION"},
		{"commit: before there is an assignment", 9, w.committing("completing", w.completing, 1), "REBALANCE_IN_PROGRESS"},
		{"commit: old generation in a rebalance", 9, w.committing("preparing", w.preparing, 0), "ILLEGAL_GENERATION"},
		{"commit: fenced instance", 7, changed(w.committing("static", w.fenced, 1), instance("i")), "FENCED_INSTANCE_ID"},
		{"commit: unknown instance", 7, changed(w.committing("static", w.holder, 1), instance("other")), "UNKNOWN_MEMBER_ID"},
		{"commit: unknown topic", 9, changed(w.committing("live", w.member, 1), topic("missing")), "UNKNOWN_TOPIC_OR_PARTITION"},
		{"commit: unknown topic id", 10, w.committing("live", w.member, 1), "UNKNOWN_TOPIC_ID"},
		{"commit: unknown partition", 9, changed(w.committing("live", w.member, 1), partition(3)), "UNKNOWN_TOPIC_OR_PARTITION"},
		{"commit: negative partition", 2, changed(w.committing("live", w.member, 1), partition(-1)), "UNKNOWN_TOPIC_OR_PARTITION"},
		{"commit: too much metadata", 2, changed(w.committing("live", w.member, 1), metadata(4097)), "OFFSET_METADATA_TOO_LARGE"},
		{"commit: 10 MiB of metadata", 9, changed(w.committing("live", w.member, 1), metadata(10<<20)), "OFFSET_METADATA_TOO_LARGE"},
		{"commit: group id too long", 9, w.committing(strings.Repeat("g", 2000), "", -1), "INVALID_GROUP_ID"},
		{"fetch: groups right and wrong", 9, fetch, "NONE INVALID_GROUP_ID NONE"},
	}
}

func (w *wronged) wrongAdmin() []wrongRequest {
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Groups = []string{"live", "static", "completing", "preparing", "workers", "unknown", strings.Repeat("g", 2000)}
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{"unknown", "live"}
	return []wrongRequest{
		{"delete groups", 2, remove, strings.Repeat("NON_EMPTY_GROUP ", 5) + "GROUP_ID_NOT_FOUND INVALID_GROUP_ID"},
		{"describe an unknown group", 6, describe, "GROUP_ID_NOT_FOUND NONE"},
		{"forget: no group", 0, w.forgetting("", "events", 0), "INVALID_GROUP_ID"},
		{"forget: unknown group", 0, w.forgetting("unknown", "events", 0), "GROUP_ID_NOT_FOUND"},
		{"forget: subscribed", 0, w.forgetting("live", "events", 0), "GROUP_SUBSCRIBED_TO_TOPIC"},
		{"forget: perhaps subscribed", 0, w.forgetting("garbage", "events", 0), "GROUP_SUBSCRIBED_TO_TOPIC"},
		{"forget: of workers", 0, w.forgetting("workers", "events", 0), "NON_EMPTY_GROUP"},
		{"forget: unknown topic", 0, w.forgetting("offsets", "missing", 0), "UNKNOWN_TOPIC_OR_PARTITION"},
		{"forget: unknown partition", 0, w.forgetting("offsets", "events", 3), "UNKNOWN_TOPIC_OR_PARTITION"},
	}
}
