package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/metastore"
)

// fencedCode is what a version calls a zombie.
func fencedCode(first, version int16) int16 {
	if version < first {
		return kerr.InvalidProducerEpoch.Code
	}
	return kerr.ProducerFenced.Code
}

func TestInitProducerIDOfATransactionalID(t *testing.T) {
	h := newHarness(t, map[string]string{"transaction.max.timeout.ms": "100000"}, 0)
	h.versions(22, func(t *testing.T, v int16) {
		id := fmt.Sprintf("id-%d", v)
		init := func(change func(*kmsg.InitProducerIDRequest)) *kmsg.InitProducerIDResponse {
			req := initRequest(id, 100_000)
			change(req)
			return ask[*kmsg.InitProducerIDResponse](h, v, req)
		}
		same := func(*kmsg.InitProducerIDRequest) {}
		first := init(same)
		equal(t, "error", first.ErrorCode, 0)
		equal(t, "epoch", first.ProducerEpoch, 0)
		again := init(same)
		equal(t, "producer id, again", again.ProducerID, first.ProducerID)
		equal(t, "epoch, again", again.ProducerEpoch, 1)
		equal(t, "time-out", h.txn(id).Timeout, 100*time.Second)
		for name, tc := range map[string]struct {
			change func(*kmsg.InitProducerIDRequest)
			want   int16
		}{
			"time-out too long":   {func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = 100_001 }, kerr.InvalidTransactionTimeout.Code},
			"no time-out":         {func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = 0 }, kerr.InvalidTransactionTimeout.Code},
			"a negative time-out": {func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = -1 }, kerr.InvalidTransactionTimeout.Code},
			"an empty id":         {func(r *kmsg.InitProducerIDRequest) { r.TransactionalID = new(string) }, kerr.InvalidRequest.Code},
			"an empty id, time-out too long": {func(r *kmsg.InitProducerIDRequest) {
				r.TransactionalID, r.TransactionTimeoutMillis = new(string), 1<<30
			}, kerr.InvalidRequest.Code},
		} {
			refused := init(tc.change)
			equal(t, name, refused.ErrorCode, tc.want)
			equal(t, name+": producer id", refused.ProducerID, -1)
			equal(t, name+": epoch", refused.ProducerEpoch, -1)
		}
		if v < 3 {
			return
		}
		// KIP-360.
		on := init(func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = first.ProducerID, 1 })
		equal(t, "going on", on.ErrorCode, 0)
		equal(t, "going on: epoch", on.ProducerEpoch, 2)
		repeated := init(func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = first.ProducerID, 1 })
		equal(t, "going on, asked again", repeated.ErrorCode, 0)
		equal(t, "going on, asked again: epoch", repeated.ProducerEpoch, 2)
		zombie := init(func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = first.ProducerID, 0 })
		equal(t, "a zombie", zombie.ErrorCode, fencedCode(4, v))
		stranger := init(func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = first.ProducerID+1_000_000, 2 })
		equal(t, "another producer", stranger.ErrorCode, fencedCode(4, v))
		half := init(func(r *kmsg.InitProducerIDRequest) { r.ProducerID = first.ProducerID })
		equal(t, "an id without an epoch", half.ErrorCode, kerr.InvalidRequest.Code)
	})
}

func TestInitProducerIDAbortsWhatIsOpenAtOnce(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 1, 1)
	p := h.transactional("id")
	equal(t, "add", p.add(3, "t", 0)[0], 0)
	next := h.transactional("id")
	equal(t, "producer id", next.pid, p.pid)
	equal(t, "a later epoch", next.epoch > p.epoch, true)
	equal(t, "the one before", p.end(4, true), kerr.ProducerFenced.Code)
	equal(t, "its partitions", len(h.txn("id").Partitions), 0)
}

func TestATransactionalIDWhoseEpochsAreUsedUpGetsAnotherProducerID(t *testing.T) {
	h := newHarness(t, nil, 0)
	p := h.transactional("id")
	first := p.pid
	for h.txn("id").Epoch < lastEpoch { // as many producers as there are epochs
		h.decide(metastore.InitTxn{ID: "id", Timeout: time.Minute, Producer: metastore.NoProducerID, Epoch: -1, Fresh: metastore.NoProducerID})
	}
	p = h.transactional("id")
	equal(t, "the same producer id", p.pid == first, false)
	equal(t, "epoch", p.epoch, 0)
}

func TestAddPartitionsToTxn(t *testing.T) {
	h := newHarness(t, nil, 0)
	topic := h.topic("t", 3, 1)
	h.versions(24, func(t *testing.T, v int16) {
		p := h.transactional(fmt.Sprintf("id-%d", v))
		codes := p.add(v, "t", 0, 2, 0)
		equal(t, "partition 0", codes[0], 0)
		equal(t, "partition 2", codes[2], 0)
		equal(t, "again", p.add(v, "t", 0)[0], 0)
		want := []metastore.TopicPartition{{Topic: topic.ID, Partition: 0}, {Topic: topic.ID, Partition: 2}}
		if got := h.txn(p.id).Partitions; !slices.Equal(got, want) {
			t.Errorf("partitions %v", got)
		}
		equal(t, "state", h.txn(p.id).State, metastore.TxnOngoing)
		// One that there is not makes the others not attempted.
		codes = p.add(v, "t", 1, 3, -1)
		equal(t, "the partition that there is", codes[1], kerr.OperationNotAttempted.Code)
		equal(t, "the partition that there is not", codes[3], kerr.UnknownTopicOrPartition.Code)
		equal(t, "a negative partition", codes[-1], kerr.UnknownTopicOrPartition.Code)
		equal(t, "partitions that were added", len(h.txn(p.id).Partitions), 2)
		for name, tc := range map[string]struct {
			p    txnProducer
			want int16
		}{
			"no id":               {txnProducer{h, "", p.pid, p.epoch}, kerr.InvalidRequest.Code},
			"an unknown id":       {txnProducer{h, "none", p.pid, p.epoch}, kerr.InvalidProducerIDMapping.Code},
			"another producer id": {txnProducer{h, p.id, p.pid + 1, p.epoch}, kerr.InvalidProducerIDMapping.Code},
			"an epoch to come":    {txnProducer{h, p.id, p.pid, p.epoch + 1}, fencedCode(2, v)},
			"a negative epoch":    {txnProducer{h, p.id, p.pid, -1}, fencedCode(2, v)},
		} {
			equal(t, name, tc.p.add(v, "t", 1)[1], tc.want)
		}
		zombie := *p
		h.transactional(p.id)
		equal(t, "a zombie", zombie.add(v, "t", 1)[1], fencedCode(2, v))
	})
}

func TestAddPartitionsToTxnVerifies(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 2, 1)
	p := h.transactional("id")
	equal(t, "add", p.add(3, "t", 0)[0], 0)
	for v, missing := range map[int16]*kerr.Error{4: kerr.InvalidTxnState, 5: kerr.TransactionAbortable} {
		verify := func(p *txnProducer, partition int32) int16 {
			req := p.addRequest("t", partition)
			req.Transactions[0].VerifyOnly = true
			return addCodes(ask[*kmsg.AddPartitionsToTxnResponse](h, v, req))[partition]
		}
		equal(t, "a partition of the transaction", verify(p, 0), 0)
		equal(t, "another", verify(p, 1), missing.Code)
		equal(t, "a producer id that it does not have", verify(&txnProducer{h, "id", p.pid + 1, 0}, 0), kerr.InvalidProducerIDMapping.Code)
		equal(t, "an old epoch", verify(&txnProducer{h, "id", p.pid, p.epoch - 1}, 0), kerr.ProducerFenced.Code)
	}
	equal(t, "partitions", len(h.txn("id").Partitions), 1)
}

func TestEndTxn(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 1, 1)
	h.versions(26, func(t *testing.T, v int16) {
		for _, commit := range []bool{true, false} {
			p := h.transactional(fmt.Sprintf("id-%d-%v", v, commit))
			if v < 5 || commit {
				equal(t, "nothing is open", p.end(v, commit), kerr.InvalidTxnState.Code)
			}
			was := *p
			equal(t, "add", p.add(3, "t", 0)[0], 0)
			equal(t, "end", p.end(v, commit), 0)
			want := metastore.TxnCompleteAbort
			if commit {
				want = metastore.TxnCompleteCommit
			}
			equal(t, "state", h.txn(p.id).State, want)
			if v >= 5 {
				equal(t, "epoch", p.epoch, was.epoch+1)
			}
			again := was
			equal(t, "asked again", again.end(v, commit), 0)
			equal(t, "asked again: epoch", again.epoch, p.epoch)
			other := was
			equal(t, "asked for the other outcome", other.end(v, !commit), kerr.InvalidTxnState.Code)
			for name, tc := range map[string]struct {
				p    txnProducer
				want int16
			}{
				"no id":               {txnProducer{h, "", p.pid, p.epoch}, kerr.InvalidRequest.Code},
				"an unknown id":       {txnProducer{h, "none", p.pid, p.epoch}, kerr.InvalidProducerIDMapping.Code},
				"another producer id": {txnProducer{h, p.id, p.pid + 1, p.epoch}, kerr.InvalidProducerIDMapping.Code},
				"an epoch to come":    {txnProducer{h, p.id, p.pid, p.epoch + 1}, fencedCode(2, v)},
			} {
				equal(t, name, tc.p.end(v, commit), tc.want)
			}
			zombie := *p
			h.transactional(p.id)
			h.transactional(p.id)
			equal(t, "a zombie", zombie.end(v, commit), fencedCode(2, v))
		}
	})
}

func TestTxnOffsetCommit(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 3, 1)
	h.versions(28, func(t *testing.T, v int16) {
		group := fmt.Sprintf("g-%d", v)
		p := h.transactional(fmt.Sprintf("id-%d", v))
		endVersion := int16(4)
		if v >= 5 {
			endVersion = 5
		} else {
			want := kerr.InvalidTxnState
			if v >= 4 {
				want = kerr.TransactionAbortable
			}
			equal(t, "a group that was not added", p.commitOffset(v, group, "t", 0, 5), want.Code)
			equal(t, "add", p.addOffsets(min(v, 4), group), 0)
		}
		equal(t, "commit", p.commitOffset(v, group, "t", 0, 5), 0)
		offset, code := h.position(group, "t", 0, false)
		equal(t, "position before the end", offset, -1)
		equal(t, "position before the end: error", code, 0)
		_, code = h.position(group, "t", 0, true)
		equal(t, "stable position before the end", code, kerr.UnstableOffsetCommit.Code)
		_, code = h.position(group, "t", 1, true)
		equal(t, "stable position of another partition", code, 0)
		equal(t, "end", p.end(endVersion, true), 0)
		offset, code = h.position(group, "t", 0, true)
		equal(t, "position after the end", offset, 5)
		equal(t, "position after the end: error", code, 0)

		equal(t, "add, second", p.addOffsets(4, group), 0)
		equal(t, "commit, second", p.commitOffset(v, group, "t", 0, 9), 0)
		equal(t, "abort", p.end(endVersion, false), 0)
		offset, _ = h.position(group, "t", 0, true)
		equal(t, "position after an abort", offset, 5)
	})
}

func TestTxnOffsetCommitOfPartitionsThatThereAreNot(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 1, 1)
	p := h.transactional("id")
	req := p.commitRequest("g", "t", 1, 0, 1, -1)
	req.Topics = append(req.Topics, p.commitRequest("g", "none", 1, 0).Topics...)
	large := "long"
	h.versions(28, func(t *testing.T, v int16) {
		if v < 5 {
			equal(t, "add", p.addOffsets(4, "g"), 0)
		}
		resp := ask[*kmsg.TxnOffsetCommitResponse](h, v, req)
		equal(t, "the one that there is", resp.Topics[0].Partitions[0].ErrorCode, 0)
		equal(t, "partition too high", resp.Topics[0].Partitions[1].ErrorCode, kerr.UnknownTopicOrPartition.Code)
		equal(t, "negative partition", resp.Topics[0].Partitions[2].ErrorCode, kerr.UnknownTopicOrPartition.Code)
		equal(t, "unknown topic", resp.Topics[1].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition.Code)
		metadata := p.commitRequest("g", "t", 1, 0)
		text := strings.Repeat(large, 1025)
		metadata.Topics[0].Partitions[0].Metadata = &text
		equal(t, "metadata too large", ask[*kmsg.TxnOffsetCommitResponse](h, v, metadata).Topics[0].Partitions[0].ErrorCode, kerr.OffsetMetadataTooLarge.Code)
		for name, tc := range map[string]struct {
			p    txnProducer
			want int16
		}{
			"no id":               {txnProducer{h, "", p.pid, p.epoch}, kerr.InvalidRequest.Code},
			"an unknown id":       {txnProducer{h, "none", p.pid, p.epoch}, kerr.InvalidProducerIDMapping.Code},
			"another producer id": {txnProducer{h, "id", p.pid + 1, p.epoch}, kerr.InvalidProducerIDMapping.Code},
			"an old epoch":        {txnProducer{h, "id", p.pid, p.epoch - 1}, kerr.InvalidProducerEpoch.Code},
		} {
			equal(t, name, tc.p.commitOffset(v, "g", "t", 0, 1), tc.want)
		}
		equal(t, "no group", p.commitOffset(v, "", "t", 0, 1), kerr.InvalidGroupID.Code)
	})
}

func TestTxnOffsetCommitOfAMember(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 1, 1)
	joined := h.join(3, "g", "")
	h.sync(3, "g", joined.MemberID, joined.Generation)
	p := h.transactional("id")
	equal(t, "add", p.addOffsets(4, "g"), 0)
	for _, v := range []int16{3, 4, 5} {
		commit := func(member string, generation int32, instance *string) int16 {
			req := p.commitRequest("g", "t", 1, 0)
			req.MemberID, req.Generation, req.InstanceID = member, generation, instance
			return ask[*kmsg.TxnOffsetCommitResponse](h, v, req).Topics[0].Partitions[0].ErrorCode
		}
		equal(t, "the member", commit(joined.MemberID, joined.Generation, nil), 0)
		equal(t, "an old generation", commit(joined.MemberID, joined.Generation-1, nil), kerr.IllegalGeneration.Code)
		equal(t, "another member", commit("x", joined.Generation, nil), kerr.UnknownMemberID.Code)
		equal(t, "an instance that there is not", commit(joined.MemberID, joined.Generation, kmsg.StringPtr("i")), kerr.UnknownMemberID.Code)
		equal(t, "nobody", commit("", -1, nil), 0)
	}
	equal(t, "before KIP-447 nobody says who commits", p.commitOffset(2, "g", "t", 0, 1), 0)
}

func TestATopicThatIsDeletedDoesNotKeepATransactionFromEnding(t *testing.T) {
	h := newHarness(t, nil, 0)
	gone, stays := h.topic("gone", 1, 1), h.topic("stays", 1, 1)
	p := h.transactional("id")
	equal(t, "add", p.add(3, "gone", 0)[0], 0)
	equal(t, "add", p.add(3, "stays", 0)[0], 0)
	equal(t, "offsets", p.addOffsets(3, "g"), 0)
	equal(t, "offset", p.commitOffset(3, "g", "gone", 0, 1), 0)
	equal(t, "offset", p.commitOffset(3, "g", "stays", 0, 2), 0)
	must(t, h.replica.DeleteTopic(t.Context(), gone.ID))
	equal(t, "add a deleted topic", p.add(3, "gone", 0)[0], kerr.UnknownTopicOrPartition.Code)
	equal(t, "offset of a deleted topic", p.commitOffset(3, "g", "gone", 0, 1), kerr.UnknownTopicOrPartition.Code)
	described := h.describeTxn("id")
	equal(t, "topics", len(described.Topics), 1)
	equal(t, "commit", p.end(4, true), 0)
	offset, _ := h.position("g", stays.Name, 0, true)
	equal(t, "position", offset, 2)
}

func (h *harness) describeTxn(id string) kmsg.DescribeTransactionsResponseTransactionState {
	h.t.Helper()
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{id, id}
	states := ask[*kmsg.DescribeTransactionsResponse](h, 0, req).TransactionStates
	equal(h.t, "answers", len(states), 1)
	return states[0]
}

func TestDescribeTransactions(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("b", 3, 1)
	h.topic("a", 1, 1)
	p := h.transactional("id")
	x := h.describeTxn("id")
	equal(t, "state", x.State, "Empty")
	equal(t, "start", x.StartTimestamp, -1)
	p.add(3, "b", 2, 0)
	p.add(3, "a", 0)
	x = h.describeTxn("id")
	equal(t, "error", x.ErrorCode, 0)
	equal(t, "state", x.State, "Ongoing")
	equal(t, "time-out", x.TimeoutMillis, 60_000)
	equal(t, "producer id", x.ProducerID, p.pid)
	equal(t, "epoch", x.ProducerEpoch, p.epoch)
	if age := time.Since(time.UnixMilli(x.StartTimestamp)); age < -time.Second || age > time.Minute {
		t.Errorf("began %v ago", age)
	}
	if len(x.Topics) != 2 || x.Topics[0].Topic != "a" || !slices.Equal(x.Topics[1].Partitions, []int32{0, 2}) {
		t.Errorf("topics %+v", x.Topics)
	}
	equal(t, "commit", p.end(5, true), 0)
	equal(t, "state", h.describeTxn("id").State, "CompleteCommit")
	equal(t, "unknown", h.describeTxn("none").ErrorCode, kerr.TransactionalIDNotFound.Code)
	equal(t, "empty", h.describeTxn("").ErrorCode, kerr.InvalidRequest.Code)
}

func TestListTransactions(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 1, 1)
	h.transactional("empty")
	open, done := h.transactional("open"), h.transactional("done")
	open.add(3, "t", 0)
	done.add(3, "t", 0)
	equal(t, "abort", done.end(4, false), 0)
	h.versions(66, func(t *testing.T, v int16) {
		list := func(change func(*kmsg.ListTransactionsRequest)) (ids []string, resp *kmsg.ListTransactionsResponse) {
			req := kmsg.NewPtrListTransactionsRequest()
			change(req)
			resp = ask[*kmsg.ListTransactionsResponse](h, v, req)
			for _, s := range resp.TransactionStates {
				ids = append(ids, s.TransactionalID+":"+s.TransactionState)
			}
			slices.Sort(ids)
			return ids, resp
		}
		expect := func(what string, change func(*kmsg.ListTransactionsRequest), want string) {
			t.Helper()
			ids, resp := list(change)
			equal(t, what+": error", resp.ErrorCode, 0)
			equal(t, what, strings.Join(ids, " "), want)
		}
		all := "done:CompleteAbort empty:Empty open:Ongoing"
		expect("all", func(*kmsg.ListTransactionsRequest) {}, all)
		expect("by state", func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Ongoing", "PrepareCommit"} }, "open:Ongoing")
		expect("by producer", func(r *kmsg.ListTransactionsRequest) { r.ProducerIDFilters = []int64{done.pid} }, "done:CompleteAbort")
		ids, resp := list(func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"ongoing", "x", "x"} })
		equal(t, "by states that there are not", len(ids), 0)
		equal(t, "unknown states", strings.Join(resp.UnknownStateFilters, " "), "ongoing x")
		if v >= 1 {
			expect("longer than an hour", func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = 3_600_000 }, "empty:Empty")
			h.broker.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
			expect("longer than an hour, two later", func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = 3_600_000 }, all)
			h.broker.Now = time.Now
			expect("of any age", func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = -1 }, all)
		}
		if v >= 2 {
			expect("by pattern", func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = kmsg.StringPtr("o.*|em") }, "open:Ongoing")
			expect("by no pattern", func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = new(string) }, all)
			for _, bad := range []string{"(", "o.*)|(em", strings.Repeat("a", 10_000)} {
				_, resp := list(func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = &bad })
				equal(t, "bad pattern", resp.ErrorCode, kerr.InvalidRegularExpression.Code)
			}
		}
	})
}

func TestListTransactionsTellsOfThoseThatFindCoordinatorSendsHere(t *testing.T) {
	h := newHarness(t, nil, 2)
	here := map[string]bool{}
	for i := range 60 {
		id := fmt.Sprintf("id-%d", i)
		h.transactional(id)
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorType, find.CoordinatorKeys = transactionCoordinator, []string{id}
		found := ask[*kmsg.FindCoordinatorResponse](h, 4, find).Coordinators[0]
		equal(t, "error", found.ErrorCode, 0)
		here[id] = found.NodeID == 0
	}
	listed := map[string]bool{}
	for _, s := range ask[*kmsg.ListTransactionsResponse](h, 2, kmsg.NewPtrListTransactionsRequest()).TransactionStates {
		listed[s.TransactionalID] = true
	}
	if len(listed) == 0 || len(listed) == 60 {
		t.Errorf("%d of 60 are listed by one of three brokers", len(listed))
	}
	for id, want := range here {
		equal(t, id, listed[id], want)
	}
}

func TestWriteTxnMarkersAbortsForAnAdministrator(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 3, 1)
	h.versions(27, func(t *testing.T, v int16) {
		p := h.transactional(fmt.Sprintf("id-%d", v))
		p.add(3, "t", 0, 1)
		write := func(commit bool, epoch int16, partitions ...int32) (codes []int16) {
			req := kmsg.NewPtrWriteTxnMarkersRequest()
			marker := kmsg.NewWriteTxnMarkersRequestMarker()
			marker.ProducerID, marker.ProducerEpoch, marker.Committed = p.pid, epoch, commit
			marker.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: "t", Partitions: partitions}}
			req.Markers = []kmsg.WriteTxnMarkersRequestMarker{marker}
			for _, row := range ask[*kmsg.WriteTxnMarkersResponse](h, v, req).Markers[0].Topics[0].Partitions {
				codes = append(codes, row.ErrorCode)
			}
			return codes
		}
		equal(t, "a commit", write(true, p.epoch, 0)[0], kerr.InvalidRequest.Code)
		equal(t, "an old epoch", write(false, p.epoch-1, 0)[0], kerr.InvalidProducerEpoch.Code)
		equal(t, "a partition that it has not", write(false, p.epoch, 2)[0], 0)
		equal(t, "a partition that there is not", write(false, p.epoch, 3)[0], kerr.UnknownTopicOrPartition.Code)
		equal(t, "state", h.txn(p.id).State, metastore.TxnOngoing)
		if got := write(false, p.epoch, 0, 1); !slices.Equal(got, []int16{0, 0}) {
			t.Errorf("abort: %v", got)
		}
		equal(t, "state", h.txn(p.id).State, metastore.TxnCompleteAbort)
		equal(t, "the producer", p.end(4, true), kerr.ProducerFenced.Code)
	})
}

func TestTransactionsOfABrokerThatHandedOverAreElsewhere(t *testing.T) {
	h := newRecordHarness(t, nil)
	h.topic("t", 1, 1)
	p := h.transactional("id")
	h.withNeighbor()
	h.handOver()
	equal(t, "init", ask[*kmsg.InitProducerIDResponse](h.harness, 5, initRequest("id", 60_000)).ErrorCode, kerr.NotCoordinator.Code)
	equal(t, "add", p.add(3, "t", 0)[0], kerr.NotCoordinator.Code)
	equal(t, "offsets", p.addOffsets(3, "g"), kerr.NotCoordinator.Code)
	equal(t, "end", p.end(5, true), kerr.NotCoordinator.Code)
	equal(t, "commit offsets", p.commitOffset(5, "g", "t", 0, 1), kerr.NotCoordinator.Code)
	equal(t, "describe", h.describeTxn("id").ErrorCode, kerr.NotCoordinator.Code)
	equal(t, "list", ask[*kmsg.ListTransactionsResponse](h.harness, 2, kmsg.NewPtrListTransactionsRequest()).ErrorCode, kerr.CoordinatorNotAvailable.Code)
}

func TestTransactionsWhileTheMetastoreIsAwayAreToldToComeAgain(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 1, 1)
	p := h.transactional("id")
	h.withDelays(t).lose(errors.New("metastore is down"))
	equal(t, "init", ask[*kmsg.InitProducerIDResponse](h, 5, initRequest("id", 60_000)).ErrorCode, kerr.CoordinatorNotAvailable.Code)
	equal(t, "add", p.add(3, "t", 0)[0], kerr.CoordinatorNotAvailable.Code)
	equal(t, "offsets", p.addOffsets(3, "g"), kerr.CoordinatorNotAvailable.Code)
	equal(t, "end", p.end(5, true), kerr.CoordinatorNotAvailable.Code)
	equal(t, "commit offsets", p.commitOffset(5, "g", "t", 0, 1), kerr.CoordinatorNotAvailable.Code)
}
