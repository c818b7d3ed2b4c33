package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

func adminRows() []accessRow {
	return append(configRows(), []accessRow{
		{key: 19, need: 0, ask: func(g *guarded, _ names) kmsg.Request { return createRequest(newTopic(g.fresh("made"), 1, 1)) }},
		{key: 19, need: 1, partial: true, ask: func(g *guarded, _ names) kmsg.Request { return createRequest(newTopic(g.fresh("made"), 1, 1)) }},
		{key: 20, need: 0, ask: func(_ *guarded, n names) kmsg.Request { return deleteRequest(n.doomed + "-1") }},
		{key: 20, need: 1, ask: func(_ *guarded, n names) kmsg.Request { return deleteRequest(n.doomed + "-2") }},
		{key: 34, need: 0, ask: func(g *guarded, n names) kmsg.Request {
			req := kmsg.NewPtrAlterReplicaLogDirsRequest()
			req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: g.broker.LogDir, Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: n.topic, Partitions: []int32{0}}}}}
			return req
		}},
		{key: 35, need: 0, ask: func(*guarded, names) kmsg.Request { return kmsg.NewPtrDescribeLogDirsRequest() }},
		{key: 37, need: 0, ask: func(_ *guarded, n names) kmsg.Request { return growRequest(n.topic, 2) }},
		{key: 43, need: 0, ask: func(_ *guarded, n names) kmsg.Request {
			req := kmsg.NewPtrElectLeadersRequest()
			req.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: n.topic, Partitions: []int32{0}}}
			return req
		}},
		{key: 45, need: 0, ask: func(_ *guarded, n names) kmsg.Request { return reassignRequest(n.topic, 0) }},
		{key: 46, need: 0, ask: func(*guarded, names) kmsg.Request { return kmsg.NewPtrListPartitionReassignmentsRequest() }},
		{key: 55, need: 0, ask: func(*guarded, names) kmsg.Request {
			req := kmsg.NewPtrDescribeQuorumRequest()
			req.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: metadataLog, Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
			return req
		}},
		{key: 57, need: 0, ask: func(*guarded, names) kmsg.Request {
			req := kmsg.NewPtrUpdateFeaturesRequest()
			req.FeatureUpdates = []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: "group.version", MaxVersionLevel: 1, UpgradeType: upgrade}}
			return req
		}},
		{key: 60, need: 0, shown: func(r kmsg.Response) bool { return r.(*kmsg.DescribeClusterResponse).ClusterAuthorizedOperations != 0 },
			ask: func(*guarded, names) kmsg.Request {
				req := kmsg.NewPtrDescribeClusterRequest()
				req.EndpointType, req.IncludeClusterAuthorizedOperations = brokerEndpoints, true
				return req
			}},
		{key: 64, need: 0, ask: func(*guarded, names) kmsg.Request {
			req := kmsg.NewPtrUnregisterBrokerRequest()
			req.BrokerID = 77
			return req
		}},
		{key: 74, need: 0, ask: func(*guarded, names) kmsg.Request { return kmsg.NewPtrListConfigResourcesRequest() }},
	}...)
}

// configResources are those that the requirements of requests about settings are about, in their order.
func configResources(n names) []namedResource {
	return []namedResource{
		{kmsg.ConfigResourceTypeTopic, n.topic}, {kmsg.ConfigResourceTypeGroupConfig, n.group}, {kmsg.ConfigResourceTypeBroker, "0"},
		{kmsg.ConfigResourceTypeClientMetrics, "metrics"}, {kmsg.ConfigResourceTypeBrokerLogger, "0"},
	}
}

func configRows() (rows []accessRow) {
	settings := []struct{ name, value string }{
		{"retention.ms", "5"}, {"consumer.session.timeout.ms", "50000"}, {"log.retention.ms", "5"}, {"interval.ms", "1000"}, {rootLogger, "DEBUG"},
	}
	for i, set := range settings {
		need := min(i, 2)
		describe := func(_ *guarded, n names) kmsg.Request {
			r := configResources(n)[i]
			return describeRequest(r.kind, r.name)
		}
		increment := func(_ *guarded, n names) kmsg.Request {
			return incrementRequest(configResources(n)[i], set.name, set.value)
		}
		rows = append(rows, accessRow{key: 32, need: need, ask: describe}, accessRow{key: 44, need: need, ask: increment})
		if set.name == rootLogger {
			continue // AlterConfigs does not know loggers
		}
		rows = append(rows, accessRow{key: 33, need: need, ask: func(_ *guarded, n names) kmsg.Request {
			return replaceRequest(configResources(n)[i], set.name, set.value+"0")
		}})
	}
	return rows
}

func incrementRequest(of namedResource, name, value string) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = of.kind, of.name
	r.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: name, Value: &value}}
	req.Resources = append(req.Resources, r)
	return req
}

func replaceRequest(of namedResource, name, value string) *kmsg.AlterConfigsRequest {
	req := kmsg.NewPtrAlterConfigsRequest()
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = of.kind, of.name
	r.Configs = []kmsg.AlterConfigsRequestResourceConfig{{Name: name, Value: &value}}
	req.Resources = append(req.Resources, r)
	return req
}

func deleteRequest(name string) *kmsg.DeleteTopicsRequest {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 10_000
	req.Topics, req.TopicNames = []kmsg.DeleteTopicsRequestTopic{{Topic: &name}}, []string{name}
	return req
}

func growRequest(topic string, count int32) *kmsg.CreatePartitionsRequest {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = 10_000
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = topic, count
	req.Topics = append(req.Topics, t)
	return req
}

func reassignRequest(topic string, replicas ...int32) *kmsg.AlterPartitionAssignmentsRequest {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.TimeoutMillis, req.AllowReplicationFactorChange = 10_000, true
	t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	t.Topic = topic
	t.Partitions = []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Replicas: replicas}}
	req.Topics = append(req.Topics, t)
	return req
}
