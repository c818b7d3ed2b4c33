package broker

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// wronged is a broker with a group in every state, whose members and offsets wrong requests must not harm.
type wronged struct {
	*harness
	member     string // of "live", alone and Stable in generation 1
	holder     string // of the instance "i" of "static"
	fenced     string // the holder before
	completing string // member of "completing", which has not synced
	preparing  string // member of "preparing", which another joins
	worker     string // member of "workers", whose protocol type is "connect"
	garbage    string // member of "garbage", whose subscription cannot be read
}

var wrongedGroups = []string{"live", "static", "completing", "preparing", "workers", "garbage", "offsets", "unknown"}

func newWronged(t *testing.T) *wronged {
	h := newHarness(t, nil, 0)
	h.topic("events", 3, 1)
	w := &wronged{harness: h}
	stable := func(group string, change func(r *kmsg.JoinGroupRequest)) string {
		req := w.joining(group, "")
		change(req)
		joined := ask[*kmsg.JoinGroupResponse](h, 5, req)
		if joined.ErrorCode == kerr.MemberIDRequired.Code {
			req.MemberID = joined.MemberID
			joined = ask[*kmsg.JoinGroupResponse](h, 5, req)
		}
		equal(t, "setup: join "+group, joined.ErrorCode, 0)
		equal(t, "setup: sync "+group, h.sync(3, group, joined.MemberID, 1).ErrorCode, 0)
		return joined.MemberID
	}
	as := func(*kmsg.JoinGroupRequest) {}
	static := func(r *kmsg.JoinGroupRequest) { r.InstanceID = kmsg.StringPtr("i") }
	w.member = stable("live", as)
	w.fenced = stable("static", static)
	w.holder = stable("static", static)
	w.preparing = stable("preparing", as)
	w.worker = stable("workers", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" })
	w.garbage = stable("garbage", func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Metadata = []byte("\x00\x01\x7f\xff\xff\xff") })
	w.completing = ask[*kmsg.JoinGroupResponse](h, 3, w.joining("completing", "")).MemberID
	for _, group := range []string{"live", "workers", "garbage"} {
		member := map[string]string{"live": w.member, "workers": w.worker, "garbage": w.garbage}[group]
		equal(t, "setup: commit to "+group, codesOf(ask[*kmsg.OffsetCommitResponse](h, 8, w.committing(group, member, 1))), "NONE")
	}
	equal(t, "setup: commit", h.commit(t, 8, "offsets", "events", [16]byte{}, 0, 42), 0)
	w.joinAside("preparing")
	return w
}

// joinAside joins a group on a connection of its own and does not wait for the answer, but until the rebalance began.
func (w *wronged) joinAside(group string) {
	conn, err := net.Dial("tcp", w.conn.RemoteAddr().String())
	must(w.t, err)
	w.t.Cleanup(func() { // a join that waits would hold up the end
		equal(w.t, "leave", codesOf(ask[*kmsg.LeaveGroupResponse](w.harness, 3, w.leaving(group, kmsg.LeaveGroupRequestMember{MemberID: w.preparing}))), "NONE")
		_ = conn.Close()
	})
	req := w.joining(group, "")
	req.SetVersion(3)
	_, err = conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1))
	must(w.t, err)
	for deadline := time.Now().Add(20 * time.Second); w.describe(4, group).State != "PreparingRebalance"; {
		if time.Now().After(deadline) {
			w.t.Fatal("no rebalance begins")
		}
	}
}

func (w *wronged) joining(group, member string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = group, member, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 60_000, 60_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("\x00\x01\x00\x00\x00\x01\x00\x06events\xff\xff\xff\xff")}}
	return req
}

func (w *wronged) syncing(group, member string, generation int32) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: member, MemberAssignment: []byte("stolen")}}
	return req
}

func (w *wronged) beating(group, member string, generation int32) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	return req
}

func (w *wronged) leaving(group string, members ...kmsg.LeaveGroupRequestMember) *kmsg.LeaveGroupRequest {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.Members = group, members
	return req
}

func (w *wronged) committing(group, member string, generation int32) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset, p.Metadata = 42, kmsg.StringPtr("note")
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.Partitions = "events", []kmsg.OffsetCommitRequestTopicPartition{p}
	req.Topics = []kmsg.OffsetCommitRequestTopic{t}
	return req
}

func (w *wronged) forgetting(group, topic string, partition int32) *kmsg.OffsetDeleteRequest {
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = group
	req.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: partition}}}}
	return req
}

// changed applies changes to a request.
func changed[R kmsg.Request](req R, changes ...func(R)) R {
	for _, change := range changes {
		change(req)
	}
	return req
}

// codesOf names the error codes in an answer: that of the whole if there is one, else those of its parts.
func codesOf(resp kmsg.Response) string {
	var whole int16
	var parts []int16
	switch r := resp.(type) {
	case *kmsg.JoinGroupResponse:
		whole = r.ErrorCode
	case *kmsg.SyncGroupResponse:
		whole = r.ErrorCode
	case *kmsg.HeartbeatResponse:
		whole = r.ErrorCode
	case *kmsg.LeaveGroupResponse:
		whole = r.ErrorCode
		for _, m := range r.Members {
			parts = append(parts, m.ErrorCode)
		}
	case *kmsg.OffsetCommitResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				parts = append(parts, p.ErrorCode)
			}
		}
	case *kmsg.TxnOffsetCommitResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				parts = append(parts, p.ErrorCode)
			}
		}
	case *kmsg.OffsetFetchResponse:
		whole = r.ErrorCode
		for _, g := range r.Groups {
			parts = append(parts, g.ErrorCode)
		}
	case *kmsg.OffsetDeleteResponse:
		whole = r.ErrorCode
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				parts = append(parts, p.ErrorCode)
			}
		}
	case *kmsg.DeleteGroupsResponse:
		for _, g := range r.Groups {
			parts = append(parts, g.ErrorCode)
		}
	case *kmsg.DescribeGroupsResponse:
		for _, g := range r.Groups {
			parts = append(parts, g.ErrorCode)
		}
	}
	if whole != 0 || len(parts) == 0 {
		parts = []int16{whole}
	}
	var names []string
	for _, code := range parts {
		name := "NONE"
		if err := kerr.TypedErrorForCode(code); err != nil {
			name = err.Message
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// state is all that wrong requests must not change.
func (w *wronged) state() string {
	w.t.Helper()
	var all bytes.Buffer
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = wrongedGroups
	all.Write(ask[*kmsg.DescribeGroupsResponse](w.harness, 4, describe).AppendTo(nil))
	all.Write(ask[*kmsg.ListGroupsResponse](w.harness, 5, kmsg.NewPtrListGroupsRequest()).AppendTo(nil))
	for _, group := range wrongedGroups {
		offsets, err := w.store.FetchOffsets(w.t.Context(), group, nil)
		must(w.t, err)
		fmt.Fprintf(&all, "%s: %v\n", group, offsets)
	}
	for _, m := range []struct{ group, member, want string }{
		{"live", w.member, "NONE"}, {"static", w.holder, "NONE"}, {"completing", w.completing, "NONE"}, {"workers", w.worker, "NONE"},
		{"preparing", w.preparing, "REBALANCE_IN_PROGRESS"},
	} {
		equal(w.t, "heartbeat in "+m.group, codesOf(ask[*kmsg.HeartbeatResponse](w.harness, 4, w.beating(m.group, m.member, 1))), m.want)
	}
	return all.String()
}

// TestWrongRequestsOfGroups: each gets the error code that Kafka has for it and changes nothing. integration/differential
// asks Apache Kafka most of these.
func TestWrongRequestsOfGroups(t *testing.T) {
	w := newWronged(t)
	before := w.state()
	for _, tc := range w.wrongRequests() {
		t.Run(tc.name, func(t *testing.T) {
			w.t = t
			tc.req.SetVersion(tc.version)
			resp := w.ask(tc.req)
			equal(t, "error", codesOf(resp), tc.want)
			if joined, ok := resp.(*kmsg.JoinGroupResponse); ok {
				equal(t, "generation beside the error", joined.Generation, -1)
			}
			equal(t, "something has changed", w.state() != before, false)
		})
	}
	w.t = t
}
