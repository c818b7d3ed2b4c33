package workload

// ClusterSettings are Kafka's broker-level settings of a cluster that is to see much within a minute. A member that died
// holds its partitions until its session ends, and with the consumer protocol it is the cluster that says how long that is:
// 45 s by default, in which a pipeline would stand still and the final phase be stuck.
func ClusterSettings() map[string]string {
	return map[string]string{
		"group.consumer.min.session.timeout.ms":    "6000",
		"group.consumer.session.timeout.ms":        "6000",
		"group.consumer.min.heartbeat.interval.ms": "1000",
		"group.consumer.heartbeat.interval.ms":     "1000",
	}
}
