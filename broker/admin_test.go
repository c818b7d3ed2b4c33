package broker

import (
	"cmp"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/metastore"
)

func deletion(topic string, offsets map[int32]int64) *kmsg.DeleteRecordsRequest {
	req := kmsg.NewPtrDeleteRecordsRequest()
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic = topic
	for partition, offset := range offsets {
		t.Partitions = append(t.Partitions, kmsg.DeleteRecordsRequestTopicPartition{Partition: partition, Offset: offset})
	}
	req.Topics = append(req.Topics, t)
	return req
}

func TestRecordsAreDeleted(t *testing.T) {
	h := newRecordHarness(t, nil)
	h.versions(21, func(t *testing.T, version int16) {
		name := "events" + versionName(version)
		topic := h.topic(name, 3, 1)
		for range 3 { // offsets 0 to 8
			h.produce(topic, 0, testBatch(3))
			h.produce(topic, 1, testBatch(3))
		}
		deleted := func(offsets map[int32]int64) map[int32]kmsg.DeleteRecordsResponseTopicPartition {
			answer := ask[*kmsg.DeleteRecordsResponse](h.harness, version, deletion(name, offsets))
			equal(t, "topics", len(answer.Topics), 1)
			equal(t, "topic", answer.Topics[0].Topic, name)
			rows := make(map[int32]kmsg.DeleteRecordsResponseTopicPartition)
			for _, p := range answer.Topics[0].Partitions {
				rows[p.Partition] = p
			}
			equal(t, "partitions", len(rows), len(offsets))
			return rows
		}
		for _, c := range []struct {
			name          string
			partition     int32
			before, start int64
			err           *kerr.Error
		}{
			{"in the middle of a batch", 0, 4, 4, nil},
			{"again", 0, 4, 4, nil},
			{"below the log start", 0, 1, 4, nil},
			{"at the end", 1, 9, 9, nil},
			{"above the high watermark", 0, 10, -1, kerr.OffsetOutOfRange},
			{"negative", 0, -2, -1, kerr.OffsetOutOfRange},
			{"all of an empty partition", 2, -1, 0, nil},
			{"no such partition", 3, 0, -1, kerr.UnknownTopicOrPartition},
			{"negative partition", -1, 0, -1, kerr.UnknownTopicOrPartition},
		} {
			row := deleted(map[int32]int64{c.partition: c.before})[c.partition]
			want := int16(0)
			if c.err != nil {
				want = c.err.Code
			}
			equal(t, c.name+": low watermark", row.LowWatermark, c.start)
			equal(t, c.name+": error", row.ErrorCode, want)
		}

		offset := func(partition int32, timestamp int64) int64 {
			answer := ask[*kmsg.ListOffsetsResponse](h.harness, 9, listOffsetsRequest(name, partition, timestamp))
			equal(t, "error of ListOffsets", answer.Topics[0].Partitions[0].ErrorCode, 0)
			return answer.Topics[0].Partitions[0].Offset
		}
		fetchFrom := func(from int64) kmsg.FetchResponseTopicPartition {
			req := fetchRequest(topic, 0)
			req.Topics[0].Partitions[0].FetchOffset = from
			return ask[*kmsg.FetchResponse](h.harness, 13, req).Topics[0].Partitions[0]
		}
		equal(t, "earliest", offset(0, earliestOffset), int64(4))
		equal(t, "latest", offset(0, latestOffset), int64(9))
		equal(t, "first record since the beginning of time", offset(0, 0), int64(4))
		equal(t, "first record of a partition that was emptied", offset(1, 0), int64(-1))
		sizes := h.replica.PartitionSizes(topic.ID)
		equal(t, "bytes that are left", sizes[0], 2*int64(len(testBatch(3))))
		equal(t, "bytes that are left of nothing", sizes[1], int64(0))
		below, at := fetchFrom(3), fetchFrom(4)
		equal(t, "fetch below", below.ErrorCode, kerr.OffsetOutOfRange.Code)
		equal(t, "fetch at the log start", at.ErrorCode, int16(0))
		equal(t, "log start that fetch tells", at.LogStartOffset, int64(4))
		wantOffsets(t, at.RecordBatches, 3, 6) // from the batch of the log start on

		rows := deleted(map[int32]int64{0: -1, 1: -1})
		equal(t, "all", [2]int64{rows[0].LowWatermark, rows[1].LowWatermark}, [2]int64{9, 9})
	})
}

func TestRecordsOfTopicsThatAreOnlyCompactedAreNotDeleted(t *testing.T) {
	h := newHarness(t, nil, 0)
	_, err := h.replica.CreateTopic(t.Context(), metastore.NewTopic{Name: "table", Partitions: 1, Configs: map[string]string{"cleanup.policy": "compact"}})
	must(t, err)
	_, err = h.replica.CreateTopic(t.Context(), metastore.NewTopic{Name: "both", Partitions: 1, Configs: map[string]string{"cleanup.policy": "compact,delete"}})
	must(t, err)
	req := deletion("table", map[int32]int64{0: 0})
	req.Topics = append(req.Topics, deletion("both", map[int32]int64{0: 0}).Topics[0], deletion("nothing", map[int32]int64{0: 0}).Topics[0])
	answer := ask[*kmsg.DeleteRecordsResponse](h, 2, req)
	for i, want := range []int16{kerr.PolicyViolation.Code, 0, kerr.UnknownTopicOrPartition.Code} {
		equal(t, answer.Topics[i].Topic, answer.Topics[i].Partitions[0].ErrorCode, want)
	}
}

func TestPartitionWhoseRecordsAreDeletedTwiceIsAnsweredOnce(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	h.produce(topic, 0, testBatch(9))
	req := deletion("events", map[int32]int64{0: 7})
	req.Topics = append(req.Topics, deletion("events", map[int32]int64{0: 2}).Topics...)
	answer := ask[*kmsg.DeleteRecordsResponse](h.harness, 2, req)
	equal(t, "topics", len(answer.Topics), 1)
	equal(t, "partitions", len(answer.Topics[0].Partitions), 1)
	equal(t, "the last offset counts", answer.Topics[0].Partitions[0].LowWatermark, int64(2))
}

func TestRecordsAreNotDeletedByABrokerThatIsCutOff(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 1, 1)
	h.broker.Topics = cutOff{h.replica}
	answer := ask[*kmsg.DeleteRecordsResponse](h, 2, deletion("events", map[int32]int64{0: 5}))
	equal(t, "error", answer.Topics[0].Partitions[0].ErrorCode, kerr.RequestTimedOut.Code)
	equal(t, "low watermark", answer.Topics[0].Partitions[0].LowWatermark, int64(-1))
}

func TestReplicaLogDirs(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 2, 1)
	h.versions(34, func(t *testing.T, version int16) {
		req := kmsg.NewPtrAlterReplicaLogDirsRequest()
		for _, dir := range []string{"/", "/elsewhere"} {
			d := kmsg.NewAlterReplicaLogDirsRequestDir()
			topic := kmsg.NewAlterReplicaLogDirsRequestDirTopic()
			topic.Topic, topic.Partitions = "events", []int32{1, 2}
			d.Dir, d.Topics = dir, append(d.Topics, topic)
			req.Dirs = append(req.Dirs, d)
		}
		answer := ask[*kmsg.AlterReplicaLogDirsResponse](h, version, req)
		var codes []int16
		for _, topic := range answer.Topics {
			for _, p := range topic.Partitions {
				codes = append(codes, p.ErrorCode)
			}
		}
		if want := []int16{0, kerr.UnknownTopicOrPartition.Code, kerr.LogDirNotFound.Code, kerr.LogDirNotFound.Code}; !slices.Equal(codes, want) {
			t.Errorf("errors %v, want %v", codes, want)
		}
	})
}

func TestNoElectionIsNeeded(t *testing.T) {
	h := newHarness(t, nil, 2)
	h.topic("events", 2, 3)
	h.versions(43, func(t *testing.T, version int16) {
		req := kmsg.NewPtrElectLeadersRequest()
		all := ask[*kmsg.ElectLeadersResponse](h, version, req).Topics
		equal(t, "topics of all", len(all), 1)
		equal(t, "partitions of all", len(all[0].Partitions), 0)
		for _, name := range []string{"events", "nothing"} {
			topic := kmsg.NewElectLeadersRequestTopic()
			topic.Topic, topic.Partitions = name, []int32{0, 5}
			req.Topics = append(req.Topics, topic)
		}
		answer := ask[*kmsg.ElectLeadersResponse](h, version, req)
		equal(t, "error", answer.ErrorCode, 0)
		var codes []int16
		for _, topic := range answer.Topics {
			for _, p := range topic.Partitions {
				codes = append(codes, p.ErrorCode)
				equal(t, "there is a text", p.ErrorMessage != nil, true)
			}
		}
		unknown := kerr.UnknownTopicOrPartition.Code
		if want := []int16{kerr.ElectionNotNeeded.Code, unknown, unknown, unknown}; !slices.Equal(codes, want) {
			t.Errorf("errors %v, want %v", codes, want)
		}
		if version > 0 {
			req.ElectionType = 7
			equal(t, "unknown type", ask[*kmsg.ElectLeadersResponse](h, version, req).ErrorCode, kerr.InvalidRequest.Code)
		}
	})
}

func reassignment(topic string, replicas ...[]int32) *kmsg.AlterPartitionAssignmentsRequest {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	t.Topic = topic
	for i, r := range replicas {
		t.Partitions = append(t.Partitions, kmsg.AlterPartitionAssignmentsRequestTopicPartition{Partition: int32(i), Replicas: r})
	}
	req.Topics = append(req.Topics, t)
	return req
}

func TestReassignmentsAreDoneAtOnce(t *testing.T) {
	h := newHarness(t, nil, 2)
	h.versions(45, func(t *testing.T, version int16) {
		name := "events" + versionName(version)
		h.topic(name, 3, 2)
		reassigned := func(req *kmsg.AlterPartitionAssignmentsRequest) (codes []int16) {
			answer := ask[*kmsg.AlterPartitionAssignmentsResponse](h, version, req)
			equal(t, "error", answer.ErrorCode, 0)
			for _, p := range answer.Topics[0].Partitions {
				codes = append(codes, p.ErrorCode)
				equal(t, "an error has a text", p.ErrorCode != 0, p.ErrorMessage != nil)
			}
			return codes
		}
		invalid, unknown := kerr.InvalidReplicaAssignment.Code, kerr.UnknownTopicOrPartition.Code
		for _, c := range []struct {
			name     string
			topic    string
			replicas [][]int32
			want     []int16
			factor   int16 // afterwards
		}{
			{"moved", name, [][]int32{{1, 2}, {2, 0}}, []int16{0, 0}, 2},
			{"more replicas of one partition", name, [][]int32{{0, 1, 2}}, []int16{0}, 3},
			{"fewer", name, [][]int32{{0}, {1}, {2}}, []int16{0, 0, 0}, 1},
			{"different numbers", name, [][]int32{{0}, {1, 2}, {2}}, []int16{0, 0, 0}, 2},
			{"cancelled", name, [][]int32{nil}, []int16{kerr.NoReassignmentInProgress.Code}, 2},
			{"none", name, [][]int32{{}}, []int16{invalid}, 2},
			{"twice", name, [][]int32{{1, 1, 2}}, []int16{invalid}, 2},
			{"a stranger", name, [][]int32{{1, 2, 9}}, []int16{invalid}, 2},
			{"a negative broker", name, [][]int32{{1, 2, -1}}, []int16{invalid}, 2},
			{"good and bad", name, [][]int32{{0, 9}, {0, 1, 2}, {}, {0}}, []int16{invalid, 0, invalid, unknown}, 3},
			{"no such topic", "nothing", [][]int32{{0}}, []int16{unknown}, 3},
			{"no such topic, cancelled", "nothing", [][]int32{nil}, []int16{unknown}, 3},
		} {
			if got := reassigned(reassignment(c.topic, c.replicas...)); !slices.Equal(got, c.want) {
				t.Errorf("%s: errors %v, want %v", c.name, got, c.want)
			}
			all := ask[*kmsg.MetadataResponse](h, 12, metadataRequest(false, name)).Topics[0]
			equal(t, c.name+": replicas that are shown", len(all.Partitions[2].Replicas), int(c.factor))
		}
		if version >= 1 {
			req := reassignment(name, []int32{0, 1, 2}, []int32{0})
			req.AllowReplicationFactorChange = false
			if got, want := reassigned(req), []int16{0, kerr.InvalidReplicationFactor.Code}; !slices.Equal(got, want) {
				t.Errorf("not to change the number: errors %v, want %v", got, want)
			}
		}
		list := kmsg.NewPtrListPartitionReassignmentsRequest()
		equal(t, "in progress", len(ask[*kmsg.ListPartitionReassignmentsResponse](h, 0, list).Topics), 0)
	})
}

func TestEveryBrokerNamesTheSameLeaderOfTheQuorum(t *testing.T) {
	h := newHarness(t, nil, 2)
	membership := cluster.New(h.store, metastore.Broker{NodeID: 7, Host: "broker7", Port: 9092}, cluster.Options{})
	must(t, membership.Join(t.Context()))
	h.broker.Membership = membership
	p := h.broker.describeMetadataLog("PLAINTEXT")
	equal(t, "leader", p.LeaderID, 0)
	equal(t, "voters", len(p.CurrentVoters), 4)
}

func TestQuorumIsTheCommitLog(t *testing.T) {
	h := newHarness(t, nil, 2)
	h.topic("events", 1, 1)
	quorum := func(topic string, partition int32) *kmsg.DescribeQuorumRequest {
		req := kmsg.NewPtrDescribeQuorumRequest()
		asked := kmsg.NewDescribeQuorumRequestTopic()
		asked.Topic, asked.Partitions = topic, []kmsg.DescribeQuorumRequestTopicPartition{{Partition: partition}}
		req.Topics = append(req.Topics, asked)
		return req
	}
	h.versions(55, func(t *testing.T, version int16) {
		answer := ask[*kmsg.DescribeQuorumResponse](h, version, quorum(metadataLog, 0))
		equal(t, "error", answer.ErrorCode, 0)
		p := answer.Topics[0].Partitions[0]
		equal(t, "leader", p.LeaderID, 0)
		equal(t, "end", p.HighWatermark, int64(h.replica.Position().Seq)+1)
		equal(t, "voters", len(p.CurrentVoters), 3)
		for _, v := range p.CurrentVoters {
			equal(t, "end of a voter", v.LogEndOffset, p.HighWatermark)
		}
		if version >= 2 {
			equal(t, "nodes", len(answer.Nodes), 3)
			i := slices.IndexFunc(answer.Nodes, func(n kmsg.DescribeQuorumResponseNode) bool { return n.NodeID == 0 })
			equal(t, "listener", answer.Nodes[i].Listeners[0].Host, "broker0")
		}
		for _, bad := range []*kmsg.DescribeQuorumRequest{quorum(metadataLog, 1), quorum("events", 0)} {
			p := ask[*kmsg.DescribeQuorumResponse](h, version, bad).Topics[0].Partitions[0]
			equal(t, "another partition", p.ErrorCode, kerr.UnknownTopicOrPartition.Code)
		}
	})
}

func TestFeaturesStayWhatTheyAre(t *testing.T) {
	known := []feature{{"transaction.version", 0, 2, 2}, {"group.version", 1, 3, 2}}
	for _, c := range []struct {
		name    string
		feature string
		level   int16
		upgrade int8
		want    *kerr.Error
	}{
		{"as it is", "transaction.version", 2, upgrade, nil},
		{"as it is, by a downgrade", "transaction.version", 2, safeDowngrade, nil},
		{"beyond", "transaction.version", 3, upgrade, kerr.InvalidUpdateVersion},
		{"negative", "transaction.version", -1, upgrade, kerr.InvalidUpdateVersion},
		{"lower by an upgrade", "transaction.version", 1, upgrade, kerr.InvalidUpdateVersion},
		{"lower", "transaction.version", 1, safeDowngrade, kerr.FeatureUpdateFailed},
		{"off", "transaction.version", 0, unsafeDowngrade, kerr.FeatureUpdateFailed},
		{"off, below the least", "group.version", 0, unsafeDowngrade, kerr.FeatureUpdateFailed},
		{"higher", "group.version", 3, upgrade, kerr.FeatureUpdateFailed},
		{"higher by a downgrade", "group.version", 3, safeDowngrade, kerr.InvalidUpdateVersion},
		{"unknown", "metadata.version", 1, upgrade, kerr.InvalidUpdateVersion},
		{"unknown type", "transaction.version", 2, 0, kerr.InvalidUpdateVersion},
		{"unknown type, higher", "transaction.version", 2, 4, kerr.InvalidUpdateVersion},
	} {
		asked := kmsg.UpdateFeaturesRequestFeatureUpdate{Feature: c.feature, MaxVersionLevel: c.level, UpgradeType: c.upgrade}
		if got := kafkaError(checkFeature(known, asked)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestUpdateOfFeaturesFailsAsAWhole(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.versions(57, func(t *testing.T, version int16) {
		req := kmsg.NewPtrUpdateFeaturesRequest()
		for _, name := range []string{"made.up", "made.up.too"} {
			u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
			u.Feature, u.MaxVersionLevel, u.UpgradeType = name, 1, upgrade
			req.FeatureUpdates = append(req.FeatureUpdates, u)
		}
		answer := ask[*kmsg.UpdateFeaturesResponse](h, version, req)
		equal(t, "error", answer.ErrorCode, kerr.InvalidUpdateVersion.Code)
		equal(t, "results", len(answer.Results), 0)
	})
	empty := ask[*kmsg.UpdateFeaturesResponse](h, 2, kmsg.NewPtrUpdateFeaturesRequest())
	equal(t, "nothing to update", empty.ErrorCode, 0)
}

func TestLiveBrokersAreNotUnregistered(t *testing.T) {
	h := newHarness(t, nil, 1)
	for id, want := range map[int32]*kerr.Error{0: kerr.InvalidRequest, 1: kerr.InvalidRequest, 2: kerr.BrokerIDNotRegistered, -1: kerr.BrokerIDNotRegistered} {
		req := kmsg.NewPtrUnregisterBrokerRequest()
		req.BrokerID = id
		answer := ask[*kmsg.UnregisterBrokerResponse](h, 0, req)
		equal(t, "error", answer.ErrorCode, want.Code)
		equal(t, "text", cmp.Or(deref(answer.ErrorMessage), "") != "", true)
	}
}
