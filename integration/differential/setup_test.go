package differential

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topic makes a topic, waits until it can be written to and returns its id. configs are names and values in turn.
func (s *side) topic(name string, partitions int32, configs ...string) (id [16]byte) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10_000
	req.Topics = []kmsg.CreateTopicsRequestTopic{newTopic(name, partitions, 1, configs...)}
	resp := quiet[*kmsg.CreateTopicsResponse](s, 7, req).Topics[0]
	if resp.ErrorCode != 0 {
		s.fatalf("create topic %s: %s", name, errorName(resp.ErrorCode))
	}
	s.awaitTopic(name, partitions)
	s.topics[resp.TopicID] = name
	return resp.TopicID
}

// awaitTopic waits until a topic has so many partitions and they answer.
func (s *side) awaitTopic(name string, partitions int32) {
	list := listOffsets(name, 0, -1)
	for i := int32(1); i < partitions; i++ {
		list.Topics[0].Partitions = append(list.Topics[0].Partitions, listOffsets(name, i, -1).Topics[0].Partitions...)
	}
	s.until("topic "+name, func() bool {
		if len(quiet[*kmsg.MetadataResponse](s, 9, metadataFor(name)).Topics[0].Partitions) != int(partitions) {
			return false
		}
		for _, p := range quiet[*kmsg.ListOffsetsResponse](s, 5, list).Topics[0].Partitions {
			if p.ErrorCode != 0 {
				return false
			}
		}
		return true
	})
}

// awaitNoTopic waits until nobody knows a topic.
func (s *side) awaitNoTopic(name string) {
	s.until("the end of topic "+name, func() bool {
		return quiet[*kmsg.MetadataResponse](s, 9, metadataFor(name)).Topics[0].ErrorCode == 3 &&
			quiet[*kmsg.ListOffsetsResponse](s, 5, listOffsets(name, 0, -1)).Topics[0].Partitions[0].ErrorCode == 3
	})
}

func newTopic(name string, partitions int32, replicas int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replicas
	for i := 0; i+1 < len(configs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = configs[i], &configs[i+1]
		t.Configs = append(t.Configs, c)
	}
	return t
}

// metadataFor asks for topics by name and does not make them.
func metadataFor(names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for i := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &names[i]
		req.Topics = append(req.Topics, t)
	}
	return req
}

func listOffsets(topic string, partition int32, timestamps ...int64) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for _, ts := range timestamps {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = partition, ts
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

func text(s string) *string { return &s }
