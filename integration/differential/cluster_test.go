package differential

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// raw sends bytes as a frame, and takes down what comes back, but for the correlation id.
func (s *side) raw(label string, body []byte) {
	s.main.write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	answer, err := s.main.frame()
	if err != nil {
		s.record(label, map[string]string{"connection": "closed"})
		s.main.reopen()
		return
	}
	s.record(label, map[string]string{"body": fmt.Sprintf("%x", answer)})
}

// header is the header of a request, flexible or not.
func header(key, version int16, flexible bool) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, 7)
	b = append(b, 0, 1, 'x')
	if flexible {
		b = append(b, 0)
	}
	return b
}

var protocolScripts = []script{{"protocol", func(s *side) {
	s.each(kmsg.ApiVersions, func(v int16) {
		softwares := [][2]string{{"differential", "1.0"}, {"", ""}, {"bad name", "1"}, {"good", "-bad"}, {"a", "1"}, {"ä", "1"}, {"good.-x", "v1.2-3"}, {"good", ""}}
		for i, software := range softwares {
			req := kmsg.NewPtrApiVersionsRequest()
			req.ClientSoftwareName, req.ClientSoftwareVersion = software[0], software[1]
			ask[*kmsg.ApiVersionsResponse](s, fmt.Sprint("software ", i), v, req)
		}
	})
	for _, v := range []int16{6, 99, -1, 32767} {
		s.raw(fmt.Sprint("ApiVersions ", v), header(18, v, true))
	}
	s.raw("unknown key", header(999, 0, false))
	s.raw("negative key", header(-1, 0, false))
	for key := int16(0); key < 80; key++ {
		if _, ok := s.versions[key]; ok && key != 18 {
			s.raw(fmt.Sprintf("%s 99", kmsg.NameForKey(key)), header(key, 99, true))
			s.raw(fmt.Sprintf("%s -1", kmsg.NameForKey(key)), header(key, -1, false))
			if key != int16(kmsg.ListGroups) { // it has none
				s.raw(fmt.Sprintf("%s without a body", kmsg.NameForKey(key)), header(key, s.versions[key][0], false))
			}
		}
	}
	for v := int16(0); v < 3; v++ {
		s.raw(fmt.Sprint("Produce ", v), append(header(0, v, false), 0, 1, 0, 0, 0x27, 0x10, 0, 0, 0, 0))
	}
	s.raw("empty frame", nil)
	s.raw("header cut off", []byte{0, 18, 0})
	s.raw("garbage after the body", append(header(18, 0, false), 1, 2, 3))
	s.raw("Metadata with garbage after the body", append(header(3, 1, false), 0, 0, 0, 0, 1, 2, 3))
}}}

var clusterScripts = []script{{"cluster", func(s *side) {
	s.each(kmsg.DescribeCluster, func(v int16) {
		for endpoint := int8(0); endpoint < 4; endpoint++ {
			req := kmsg.NewPtrDescribeClusterRequest()
			req.EndpointType = endpoint
			ask[*kmsg.DescribeClusterResponse](s, fmt.Sprint("endpoint ", endpoint), v, req)
		}
		req := kmsg.NewPtrDescribeClusterRequest()
		req.IncludeClusterAuthorizedOperations, req.IncludeFencedBrokers = true, true
		ask[*kmsg.DescribeClusterResponse](s, "authorized operations", v, req)
	})
	s.each(kmsg.FindCoordinator, func(v int16) {
		for _, kind := range []int8{0, 3, -1, 99} {
			for i, key := range []string{"group", "", strings.Repeat("g", 300)} {
				req := kmsg.NewPtrFindCoordinatorRequest()
				req.CoordinatorKey, req.CoordinatorKeys, req.CoordinatorType = key, []string{key}, kind
				ask[*kmsg.FindCoordinatorResponse](s, fmt.Sprintf("kind %d, key %d", kind, i), v, req)
			}
		}
		if v >= 4 {
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.CoordinatorKeys = []string{"a", "b", "a"}
			ask[*kmsg.FindCoordinatorResponse](s, "many", v, req)
			req.CoordinatorKeys = nil
			ask[*kmsg.FindCoordinatorResponse](s, "none", v, req)
		}
	})
	for _, name := range []string{"a", "b", "c"} {
		s.topic("cluster-"+name, 3)
	}
	s.each(kmsg.DescribeTopicPartitions, func(v int16) {
		describe := func(label string, limit int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, names ...string) {
			req := kmsg.NewPtrDescribeTopicPartitionsRequest()
			req.ResponsePartitionLimit, req.Cursor = limit, cursor
			for _, name := range names {
				req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: name})
			}
			ask[*kmsg.DescribeTopicPartitionsResponse](s, label, v, req)
		}
		at := func(topic string, p int32) *kmsg.DescribeTopicPartitionsRequestCursor {
			return &kmsg.DescribeTopicPartitionsRequestCursor{Topic: topic, Partition: p}
		}
		describe("one", 2000, nil, "cluster-a")
		describe("three, not sorted", 2000, nil, "cluster-c", "cluster-a", "cluster-b")
		describe("twice", 2000, nil, "cluster-a", "cluster-a")
		describe("limit 2", 2, nil, "cluster-a", "cluster-b")
		describe("limit 3", 3, nil, "cluster-a", "cluster-b")
		describe("limit 4", 4, nil, "cluster-a", "cluster-b")
		describe("limit 0", 0, nil, "cluster-a")
		describe("limit -1", -1, nil, "cluster-a")
		describe("cursor", 2000, at("cluster-a", 2), "cluster-a", "cluster-b")
		describe("cursor and limit", 2, at("cluster-a", 2), "cluster-a", "cluster-b")
		describe("cursor on the second", 2000, at("cluster-b", 1), "cluster-a", "cluster-b")
		describe("cursor at the end", 2000, at("cluster-a", 3), "cluster-a", "cluster-b")
		describe("cursor past the end", 2000, at("cluster-b", 9), "cluster-b")
		describe("cursor that is negative", 2000, at("cluster-b", -1), "cluster-b")
		describe("cursor on a topic not asked for", 2000, at("cluster-aa", 0), "cluster-a", "cluster-b")
		describe("unknown", 2000, nil, "cluster-unknown", "cluster-a")
		describe("limit with an unknown", 1, nil, "cluster-unknown", "cluster-a")
		describe("bad names", 2000, nil, "a b", "")
		describe("cursor without names", 4, at("cluster-b", 1))
	})
}}, {"log-dirs", func(s *side) {
	topic := "log-dirs-a"
	id := s.topic(topic, 3)
	for range 2 {
		s.write(topic, id, 1, s.batch(numbered(3)...))
	}
	s.write(topic, id, 2, s.batch(numbered(1)...))
	s.each(kmsg.DescribeLogDirs, func(v int16) {
		describe := func(label string, topics ...kmsg.DescribeLogDirsRequestTopic) {
			req := kmsg.NewPtrDescribeLogDirsRequest()
			req.Topics = append([]kmsg.DescribeLogDirsRequestTopic{}, topics...)
			ask[*kmsg.DescribeLogDirsResponse](s, label, v, req)
		}
		of := func(topic string, partitions ...int32) kmsg.DescribeLogDirsRequestTopic {
			return kmsg.DescribeLogDirsRequestTopic{Topic: topic, Partitions: partitions}
		}
		describe("all partitions", of(topic, 0, 1, 2))
		describe("one", of(topic, 1))
		describe("partitions that are not there", of(topic, 2, 3, -1))
		describe("no partitions", of(topic))
		describe("no topics")
		describe("named twice", of(topic, 0), of(topic, 2, 0))
		describe("unknown topics", of("log-dirs-unknown", 0), of("a b", 0), of("", 0), of(topic, 0))
	})
}}}
