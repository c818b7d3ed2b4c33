package differential

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func deleteRecords(topics ...kmsg.DeleteRecordsRequestTopic) *kmsg.DeleteRecordsRequest {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis, req.Topics = 10_000, topics
	return req
}

// before asks for the records of a partition before an offset.
func before(topic string, partition int32, offset int64) kmsg.DeleteRecordsRequestTopic {
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic = topic
	t.Partitions = append(t.Partitions, kmsg.DeleteRecordsRequestTopicPartition{Partition: partition, Offset: offset})
	return t
}

var deleteRecordsScripts = []script{{"delete-records", func(s *side) {
	compacted, both := "delete-records-compacted", "delete-records-both"
	s.topic(compacted, 1, "cleanup.policy", "compact")
	s.topic(both, 1, "cleanup.policy", "compact,delete")
	s.each(kmsg.DeleteRecords, func(v int16) {
		name := s.named("a")
		id := s.topic(name, 3)
		for range 3 {
			s.write(name, id, 0, s.batch(numbered(3)...))
			s.write(name, id, 1, s.batch(numbered(3)...))
		}
		remove := func(label string, topics ...kmsg.DeleteRecordsRequestTopic) {
			ask[*kmsg.DeleteRecordsResponse](s, label, v, deleteRecords(topics...))
		}
		look := func(label string) {
			for _, at := range []int64{-2, -1, 0, s.past(0)} {
				req := kmsg.NewPtrListOffsetsRequest()
				req.ReplicaID = -1
				t := kmsg.NewListOffsetsRequestTopic()
				t.Topic = name
				for p := range int32(3) {
					t.Partitions = append(t.Partitions, kmsg.ListOffsetsRequestTopicPartition{Partition: p, CurrentLeaderEpoch: -1, Timestamp: at})
				}
				req.Topics = append(req.Topics, t)
				ask[*kmsg.ListOffsetsResponse](s, label+", offsets", 7, req)
			}
			for from := range int64(10) {
				req := kmsg.NewPtrFetchRequest()
				req.ReplicaID, req.MaxBytes, req.MinBytes, req.SessionEpoch = -1, 1<<20, 0, -1
				t := kmsg.NewFetchRequestTopic()
				t.Topic = name
				p := kmsg.NewFetchRequestTopicPartition()
				p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = from, 1<<20, -1
				t.Partitions = append(t.Partitions, p)
				req.Topics = append(req.Topics, t)
				ask[*kmsg.FetchResponse](s, label+", fetch", 11, req)
			}
		}
		remove("none of them", before(name, 0, 0))
		remove("in a batch", before(name, 0, 4))
		look("in a batch")
		remove("again", before(name, 0, 4))
		remove("below the log start", before(name, 0, 2))
		remove("above the high watermark", before(name, 0, 10))
		remove("negative", before(name, 0, -2))
		remove("all of one", before(name, 1, -1))
		remove("all of an empty one", before(name, 2, -1))
		remove("beyond an empty one", before(name, 2, 1))
		remove("no such partition", before(name, 3, 0), before(name, -1, 0))
		remove("no such topic", before(s.named("unknown"), 0, 0), before("a b", 0, 0), before("", 0, 0))
		remove("compacted", before(compacted, 0, 0), before(both, 0, 0))
		remove("partition twice", before(name, 0, 6), before(name, 0, 5))
		remove("none")
		remove("no partitions", kmsg.DeleteRecordsRequestTopic{Topic: name})
		look("after all")
		remove("up to the end", before(name, 0, 9))
		look("emptied")
	})
}}}

var replicaScripts = []script{{"elect-leaders", func(s *side) {
	s.topic("elect-leaders-a", 2)
	s.each(kmsg.ElectLeaders, func(v int16) {
		elect := func(label string, kind int8, topics ...kmsg.ElectLeadersRequestTopic) {
			req := kmsg.NewPtrElectLeadersRequest()
			req.ElectionType, req.TimeoutMillis, req.Topics = kind, 10_000, topics
			ask[*kmsg.ElectLeadersResponse](s, label, v, req)
		}
		of := func(topic string, partitions ...int32) kmsg.ElectLeadersRequestTopic {
			return kmsg.ElectLeadersRequestTopic{Topic: topic, Partitions: partitions}
		}
		for kind := range int8(2) {
			req := kmsg.NewPtrElectLeadersRequest()
			req.ElectionType, req.TimeoutMillis = kind, 10_000
			resp := quiet[*kmsg.ElectLeadersResponse](s, v, req)
			resp.Topics = slices.DeleteFunc(resp.Topics, func(t kmsg.ElectLeadersResponseTopic) bool { return t.Topic != "elect-leaders-a" })
			s.record(fmt.Sprint("of all ", kind), s.flatten(resp))
		}
		elect("preferred", 0, of("elect-leaders-a", 0, 1))
		elect("unclean", 1, of("elect-leaders-a", 0))
		elect("unknown", 0, of("elect-leaders-a", 2, -1), of("elect-leaders-unknown", 0), of("", 0))
		elect("no partitions", 0, of("elect-leaders-a"))
		elect("unknown type", 7, of("elect-leaders-a", 0))
	})
}}, {"reassignments", func(s *side) {
	s.each(kmsg.AlterPartitionAssignments, func(v int16) {
		name := s.named("a")
		s.topic(name, 2)
		alter := func(label string, mayChange bool, topic string, partition int32, replicas []int32) {
			req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
			req.TimeoutMillis, req.AllowReplicationFactorChange = 10_000, mayChange
			t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
			t.Topic = topic
			t.Partitions = append(t.Partitions, kmsg.AlterPartitionAssignmentsRequestTopicPartition{Partition: partition, Replicas: replicas})
			req.Topics = append(req.Topics, t)
			ask[*kmsg.AlterPartitionAssignmentsResponse](s, label, v, req)
		}
		alter("as it is", true, name, 0, []int32{s.node})
		alter("cancelled", true, name, 0, nil)
		alter("to nobody", true, name, 0, []int32{})
		alter("to one twice", true, name, 0, []int32{s.node, s.node})
		alter("to a stranger", true, name, 0, []int32{77})
		alter("to a stranger, too", true, name, 0, []int32{s.node, 77})
		alter("to a negative", true, name, 0, []int32{-1})
		alter("of the same number", false, name, 0, []int32{s.node})
		alter("of another number", false, name, 0, []int32{})
		alter("no such partition", true, name, 2, []int32{s.node})
		alter("no such partition, cancelled", true, name, -1, nil)
		alter("no such topic", true, s.named("unknown"), 0, []int32{s.node})
		alter("no such topic, cancelled", true, s.named("unknown"), 0, nil)
		ask[*kmsg.MetadataResponse](s, "after all", 9, metadataFor(name))
	})
	s.each(kmsg.ListPartitionReassignments, func(v int16) {
		list := func(label string, topics ...kmsg.ListPartitionReassignmentsRequestTopic) {
			req := kmsg.NewPtrListPartitionReassignmentsRequest()
			req.TimeoutMillis, req.Topics = 10_000, topics
			ask[*kmsg.ListPartitionReassignmentsResponse](s, label, v, req)
		}
		list("all")
		list("unknown", kmsg.ListPartitionReassignmentsRequestTopic{Topic: "reassignments-unknown", Partitions: []int32{0}})
	})
}}, {"replica-log-dirs", func(s *side) {
	s.topic("replica-log-dirs-a", 1)
	dirs := quiet[*kmsg.DescribeLogDirsResponse](s, 4, kmsg.NewPtrDescribeLogDirsRequest()).Dirs
	s.each(kmsg.AlterReplicaLogDirs, func(v int16) {
		move := func(label, dir, topic string, partition int32) {
			req := kmsg.NewPtrAlterReplicaLogDirsRequest()
			d, t := kmsg.NewAlterReplicaLogDirsRequestDir(), kmsg.NewAlterReplicaLogDirsRequestDirTopic()
			t.Topic, t.Partitions = topic, []int32{partition}
			d.Dir, d.Topics = dir, append(d.Topics, t)
			req.Dirs = append(req.Dirs, d)
			ask[*kmsg.AlterReplicaLogDirsResponse](s, label, v, req)
		}
		move("where it is", dirs[0].Dir, "replica-log-dirs-a", 0)
		move("to no such directory", "/nowhere", "replica-log-dirs-a", 0)
		move("no such partition", dirs[0].Dir, "replica-log-dirs-a", 1)
		move("no such topic", dirs[0].Dir, "replica-log-dirs-unknown", 0)
		move("neither", "/nowhere", "replica-log-dirs-unknown", 0)
	})
}}}

var controllerScripts = []script{{"quorum", func(s *side) {
	s.each(kmsg.DescribeQuorum, func(v int16) {
		describe := func(label string, topics ...kmsg.DescribeQuorumRequestTopic) {
			req := kmsg.NewPtrDescribeQuorumRequest()
			req.Topics = topics
			ask[*kmsg.DescribeQuorumResponse](s, label, v, req)
		}
		of := func(topic string, partition int32) kmsg.DescribeQuorumRequestTopic {
			return kmsg.DescribeQuorumRequestTopic{Topic: topic, Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: partition}}}
		}
		describe("the metadata", of("__cluster_metadata", 0))
		describe("another partition", of("__cluster_metadata", 1))
		describe("another topic", of("quorum-a", 0))
		describe("two", of("__cluster_metadata", 0), of("quorum-a", 0))
		describe("none")
	})
}}, {"features", func(s *side) {
	s.each(kmsg.UpdateFeatures, func(v int16) {
		update := func(label string, updates ...kmsg.UpdateFeaturesRequestFeatureUpdate) {
			req := kmsg.NewPtrUpdateFeaturesRequest()
			req.TimeoutMillis, req.ValidateOnly, req.FeatureUpdates = 10_000, true, updates
			if v == 0 {
				req.ValidateOnly = false
			}
			ask[*kmsg.UpdateFeaturesResponse](s, label, v, req)
		}
		to := func(name string, level int16, kind int8) kmsg.UpdateFeaturesRequestFeatureUpdate {
			return kmsg.UpdateFeaturesRequestFeatureUpdate{Feature: name, MaxVersionLevel: level, UpgradeType: kind, AllowDowngrade: kind > 1}
		}
		update("none")
		update("unknown", to("made.up", 1, 1))
		update("unknown, lower", to("made.up", 0, 2))
		update("unknown, negative", to("made.up", -1, 1))
		update("unknown twice", to("made.up", 1, 1), to("made.up", 1, 1))
		update("two unknown", to("made.up", 1, 1), to("made.up.too", 1, 1))
		if v > 0 {
			update("unknown type", to("made.up", 1, 0))
			update("unheard-of type", to("made.up", 1, 9))
		}
	})
}}, {"unregister-broker", func(s *side) {
	s.each(kmsg.UnregisterBroker, func(v int16) {
		req := kmsg.NewPtrUnregisterBrokerRequest()
		req.BrokerID = 77
		ask[*kmsg.UnregisterBrokerResponse](s, "unknown", v, req)
	})
}}}
