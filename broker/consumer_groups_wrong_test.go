package broker

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestWrongRequestsOfConsumerGroups: each gets the error code that Kafka has for it and changes nothing. "modern" has the member
// "a" of the consumer protocol in epoch 2, and "old" of the classic protocol.
func TestWrongRequestsOfConsumerGroups(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 4, 1)
	w := &wronged{harness: h}
	readable := func(r *kmsg.JoinGroupRequest) {
		r.Protocols[0].Metadata = []byte("\x00\x00\x00\x00\x00\x01\x00\x06events\xff\xff\xff\xff")
	}
	subscribing := func(metadata string) func(r *kmsg.JoinGroupRequest) {
		return func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Metadata = []byte(metadata) }
	}
	equal(t, "setup: join", h.consumerHeartbeat(1, heartbeatRequest("modern", "a", 0)).MemberEpoch, 2)
	equal(t, "setup: commit", codesOf(ask[*kmsg.OffsetCommitResponse](h, 9, w.committing("modern", "a", 2))), "NONE")
	old := ask[*kmsg.JoinGroupResponse](h, 5, changed(w.joining("mixed", ""), readable)).MemberID
	joined := ask[*kmsg.JoinGroupResponse](h, 5, changed(w.joining("mixed", old), readable))
	equal(t, "setup: classic join", joined.ErrorCode, 0)
	equal(t, "setup: upgrade", h.consumerHeartbeat(1, heartbeatRequest("mixed", "a", 0)).MemberEpoch, 2)
	joined = ask[*kmsg.JoinGroupResponse](h, 5, changed(w.joining("mixed", old), readable))
	equal(t, "setup: classic join after the upgrade", joined.ErrorCode, 0)
	equal(t, "setup: generation", joined.Generation, 2)
	p := h.transactional("id")

	state := func() string {
		t.Helper()
		describe := kmsg.NewPtrConsumerGroupDescribeRequest()
		describe.Groups = []string{"modern", "mixed"}
		all := bytes.NewBuffer(ask[*kmsg.ConsumerGroupDescribeResponse](h, 1, describe).AppendTo(nil))
		for _, group := range describe.Groups {
			offsets, err := w.store.FetchOffsets(t.Context(), group, nil)
			must(t, err)
			fmt.Fprintf(all, "%s: %v\n", group, offsets)
		}
		return all.String()
	}
	metadata := func(n int) func(r *kmsg.OffsetCommitRequest) {
		return func(r *kmsg.OffsetCommitRequest) {
			r.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("m", n))
		}
	}
	txn := func(member string, epoch int32, changes ...func(r *kmsg.TxnOffsetCommitRequest)) *kmsg.TxnOffsetCommitRequest {
		req := p.commitRequest("modern", "events", 99, 0)
		req.MemberID, req.Generation = member, epoch
		return changed(req, changes...)
	}
	fetch := func(member string, epoch int32) *kmsg.OffsetFetchRequest {
		req := kmsg.NewPtrOffsetFetchRequest()
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.MemberID, g.MemberEpoch = "modern", &member, epoch
		req.Groups = append(req.Groups, g)
		return req
	}
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Groups = []string{"modern", "mixed"}
	before := state()
	for _, tc := range []wrongRequest{
		{"join: no bytes", 5, changed(w.joining("modern", "x"), subscribing("")), "UNKNOWN_SERVER_ERROR"},
		{"join: cut off", 3, changed(w.joining("modern", ""), subscribing("\x00\x00\x00\x00\x00\x01\x00")), "UNKNOWN_SERVER_ERROR"},
		{"join: very many topics", 5, changed(w.joining("modern", "x"), subscribing("\x00\x01\x7f\xff\xff\xff")), "UNKNOWN_SERVER_ERROR"},
		{"join: a worker", 5, changed(w.joining("modern", ""), func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" }), "INCONSISTENT_GROUP_PROTOCOL"},
		{"join: no protocols", 5, changed(w.joining("modern", ""), func(r *kmsg.JoinGroupRequest) { r.Protocols = nil }), "INCONSISTENT_GROUP_PROTOCOL"},
		{"join: nothing in common", 5, changed(w.joining("mixed", "x"), readable, func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Name = "sticky" }), "INCONSISTENT_GROUP_PROTOCOL"},
		{"sync: of a member of the consumer protocol", 5, w.syncing("modern", "a", 2), "UNKNOWN_MEMBER_ID"},
		{"sync: unknown member", 5, w.syncing("mixed", "nobody", 2), "UNKNOWN_MEMBER_ID"},
		{"sync: old generation", 5, w.syncing("mixed", old, 1), "ILLEGAL_GENERATION"},
		{"sync: other protocol", 5, changed(w.syncing("mixed", old, 2), func(r *kmsg.SyncGroupRequest) { r.Protocol = kmsg.StringPtr("sticky") }), "INCONSISTENT_GROUP_PROTOCOL"},
		{"heartbeat: of a member of the consumer protocol", 4, w.beating("modern", "a", 2), "UNKNOWN_MEMBER_ID"},
		{"heartbeat: unknown member", 4, w.beating("mixed", "nobody", 2), "UNKNOWN_MEMBER_ID"},
		{"heartbeat: old generation", 4, w.beating("mixed", old, 1), "ILLEGAL_GENERATION"},
		{"leave: unknown member", 4, w.leaving("modern", kmsg.LeaveGroupRequestMember{MemberID: "nobody"}), "UNKNOWN_MEMBER_ID"},
		{"commit: too old a version", 8, w.committing("modern", "a", 2), "UNSUPPORTED_VERSION"},
		{"commit: unknown member", 9, w.committing("modern", "nobody", 2), "UNKNOWN_MEMBER_ID"},
		{"commit: no member", 9, w.committing("modern", "", -1), "UNKNOWN_MEMBER_ID"},
		{"commit: earlier epoch", 9, w.committing("modern", "a", 1), "STALE_MEMBER_EPOCH"},
		{"commit: later epoch", 9, w.committing("modern", "a", 3), "STALE_MEMBER_EPOCH"},
		{"commit: no epoch", 9, w.committing("modern", "a", -1), "STALE_MEMBER_EPOCH"},
		{"commit: old generation of a classic member", 8, w.committing("mixed", old, 1), "ILLEGAL_GENERATION"},
		{"commit: unknown topic", 9, changed(w.committing("modern", "a", 2), func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic = "missing" }), "UNKNOWN_TOPIC_OR_PARTITION"},
		{"commit: unknown topic id", 10, w.committing("modern", "a", 2), "UNKNOWN_TOPIC_ID"},
		{"commit: too much metadata", 9, changed(w.committing("modern", "a", 2), metadata(4097)), "OFFSET_METADATA_TOO_LARGE"},
		{"commit: 10 MiB of metadata", 9, changed(w.committing("modern", "a", 2), metadata(10<<20)), "OFFSET_METADATA_TOO_LARGE"},
		{"fetch: unknown member", 9, fetch("nobody", 2), "UNKNOWN_MEMBER_ID"},
		{"fetch: no member", 9, fetch("", -1), "UNKNOWN_MEMBER_ID"},
		{"fetch: earlier epoch", 9, fetch("a", 1), "STALE_MEMBER_EPOCH"},
		{"forget: subscribed", 0, w.forgetting("modern", "events", 0), "GROUP_SUBSCRIBED_TO_TOPIC"},
		{"delete", 2, remove, "NON_EMPTY_GROUP NON_EMPTY_GROUP"},
		{"transaction: unknown member", 5, txn("nobody", 2), "UNKNOWN_MEMBER_ID"},
		{"transaction: no member, but an epoch", 5, txn("", 2), "UNKNOWN_MEMBER_ID"},
		{"transaction: earlier epoch", 5, txn("a", 1), "ILLEGAL_GENERATION"},
		{"transaction: later epoch", 3, txn("a", 3), "ILLEGAL_GENERATION"},
		{"transaction: unknown group", 5, txn("a", 2, func(r *kmsg.TxnOffsetCommitRequest) { r.Group = "unknown" }), "ILLEGAL_GENERATION"},
		{"transaction: unknown topic", 5, txn("a", 2, func(r *kmsg.TxnOffsetCommitRequest) { r.Topics[0].Topic = "missing" }), "UNKNOWN_TOPIC_OR_PARTITION"},
		{"transaction: 10 MiB of metadata", 5, txn("a", 2, func(r *kmsg.TxnOffsetCommitRequest) {
			r.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("m", 10<<20))
		}), "OFFSET_METADATA_TOO_LARGE"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.req.SetVersion(tc.version)
			equal(t, "error", codesOf(h.ask(tc.req)), tc.want)
			equal(t, "something has changed", state() != before, false)
		})
	}
	equal(t, "the member goes on", h.consumerHeartbeat(1, heartbeatRequest("modern", "a", 2)).MemberEpoch, 2)
	equal(t, "the classic member goes on", codesOf(ask[*kmsg.HeartbeatResponse](h, 4, w.beating("mixed", old, 2))), "NONE")
	equal(t, "no transaction was begun", p.end(5, true), kerr.InvalidTxnState.Code)
}
