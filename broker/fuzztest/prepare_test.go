package fuzztest

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"google.golang.org/protobuf/encoding/protowire"
)

// discover asks what is served. Produce is advertised from version 0 and served from 3.
func (w *world) discover(c *client) error {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "fuzz", "1"
	resp, err := ask[*kmsg.ApiVersionsResponse](c, 4, req)
	if err != nil {
		return err
	}
	w.served = make(map[int16]versions)
	for _, k := range resp.ApiKeys {
		if k.ApiKey == 0 {
			k.MinVersion = 3
		}
		w.served[k.ApiKey] = versions{k.MinVersion, k.MaxVersion}
		for v := k.MinVersion; v <= k.MaxVersion; v++ {
			w.routes = append(w.routes, route{k.ApiKey, v})
		}
	}
	meta, err := ask[*kmsg.MetadataResponse](c, 9, kmsg.NewPtrMetadataRequest())
	if err != nil {
		return err
	}
	w.node = meta.Brokers[0].NodeID
	return nil
}

// prepare makes what right requests refer to, or makes it anew where requests have changed it.
func (w *world) prepare(c *client) error {
	for _, step := range []func(*client) error{w.createTopics, w.joinGroup, w.commitOffsets, w.initProducer, w.subscribe} {
		if err := step(c); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) createTopics(c *client) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, t := range []struct{ name, setting, value string }{
		{"plain", "retention.ms", "86400000"}, {"compacted", "cleanup.policy", "compact"}, {"zstd", "compression.type", "zstd"},
		{"stamped", "message.timestamp.type", "LogAppendTime"}, {"uncompressed", "compression.type", "uncompressed"},
	} {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = t.name, 4, 1
		topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: t.setting, Value: &t.value}}
		req.Topics = append(req.Topics, topic)
	}
	resp, err := ask[*kmsg.CreateTopicsResponse](c, 7, req)
	if err != nil {
		return err
	}
	meta := kmsg.NewPtrMetadataRequest()
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && err != kerr.TopicAlreadyExists {
			return fmt.Errorf("create %s: %w", t.Topic, err)
		}
		meta.Topics = append(meta.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(t.Topic)})
	}
	described, err := ask[*kmsg.MetadataResponse](c, 12, meta)
	if err != nil {
		return err
	}
	w.topics = w.topics[:0]
	for _, t := range described.Topics {
		w.topics = append(w.topics, topic{*t.Topic, t.TopicID})
	}
	return nil
}

// joinGroup makes a new group each time: the last one may be in a rebalance that no one will end.
func (w *world) joinGroup(c *client) error {
	w.groups++
	w.group = fmt.Sprintf("group-%d", w.groups)
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = w.group, 1_800_000, 1000, "consumer"
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscription(w.topics[0].name)}}
	joined, err := ask[*kmsg.JoinGroupResponse](c, 2, join)
	if err != nil {
		return err
	}
	w.member, w.generation = joined.MemberID, joined.Generation
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.Generation = w.group, w.member, w.generation
	sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: w.member, MemberAssignment: assignment(w.topics[0].name)}}
	synced, err := ask[*kmsg.SyncGroupResponse](c, 2, sync)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(synced.ErrorCode)
}

// commitOffsets commits for a group without members. A request may have given it some: then it is as it is.
func (w *world) commitOffsets(c *client) error {
	_, err := commitOffset(c, idleGroup, w.topics[0].name, 1)
	return err
}

func commitOffset(c *client, group, topic string, offset int64) (error, error) {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset, p.Metadata = offset, kmsg.StringPtr("as it was")
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	resp, err := ask[*kmsg.OffsetCommitResponse](c, 8, req)
	if err != nil {
		return nil, err
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode), nil
}

func (w *world) initProducer(c *client) error {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = kmsg.StringPtr(transactionalID), 60_000, -1, -1
	resp, err := ask[*kmsg.InitProducerIDResponse](c, 4, req)
	if err != nil {
		return err
	}
	w.producer, w.epoch = resp.ProducerID, resp.ProducerEpoch
	return kerr.ErrorForCode(resp.ErrorCode)
}

// subscribe lets clients push all metrics, and begins as one.
func (w *world) subscribe(c *client) error {
	alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeClientMetrics, "all"
	for name, value := range map[string]string{"metrics": "*", "interval.ms": "100"} {
		res.Configs = append(res.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: name, Value: &value})
	}
	alter.Resources = append(alter.Resources, res)
	altered, err := ask[*kmsg.IncrementalAlterConfigsResponse](c, 1, alter)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(altered.Resources[0].ErrorCode); err != nil {
		return fmt.Errorf("subscribe to metrics: %w", err)
	}
	resp, err := ask[*kmsg.GetTelemetrySubscriptionsResponse](c, 0, kmsg.NewPtrGetTelemetrySubscriptionsRequest())
	if err != nil {
		return err
	}
	w.instance, w.subscription, w.metrics = resp.ClientInstanceID, resp.SubscriptionID, otlp()
	return kerr.ErrorForCode(resp.ErrorCode)
}

// otlp is a gauge of one point.
func otlp() []byte {
	sub := func(field protowire.Number, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), b)
	}
	point := protowire.AppendFixed64(protowire.AppendTag(nil, 4, protowire.Fixed64Type), 0x3ff0000000000000)
	point = append(point, sub(7, append(sub(1, []byte("key")), sub(2, sub(1, []byte("value")))...))...)
	metric := append(sub(1, []byte("org.apache.kafka.fuzz")), sub(5, sub(1, point))...)
	return sub(1, sub(2, sub(2, metric)))
}

// learn takes up what an answer says that later requests need.
func (w *world) learn(resp kmsg.Response) {
	switch r := resp.(type) {
	case *kmsg.InitProducerIDResponse:
		if r.ErrorCode == 0 && r.ProducerID == w.producer {
			w.epoch = r.ProducerEpoch
		}
	case *kmsg.EndTxnResponse:
		if r.ErrorCode == 0 && r.ProducerID == w.producer {
			w.epoch = r.ProducerEpoch
		}
	}
}
