package settings

import "testing"

// FuzzSettings looks for values that are accepted, as clients may set them on any resource, and cannot be used then.
func FuzzSettings(f *testing.F) {
	for _, table := range [][]Definition{topicTable, brokerTable} {
		for i := range table {
			f.Add(table[i].Name, table[i].Default)
		}
	}
	for _, name := range append(groupNames(), "match", "metrics", "interval.ms") {
		f.Add(name, "1000")
	}
	f.Add("match", "client_id=a.*,client_software_name=[b")
	f.Add("cleanup.policy", "compact, delete,")
	f.Add("retention.ms", " -9223372036854775808 ")
	cluster, err := NewCluster(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		set := map[string]string{name: value}
		if ValidateTopic(set) == nil {
			cluster.Topic(set)
			cluster.DescribeTopic(set)
		}
		if ValidateBroker(set, func(string) bool { return false }) == nil {
			changed := cluster.with(set, set)
			changed.Topic(nil)
			changed.DescribeBroker(nil)
			changed.DescribeBrokers()
		}
		if cluster.ValidateGroup(set) == nil {
			if beat, session := cluster.groupTime(heartbeatInterval, set), cluster.groupTime(sessionTimeout, set); beat <= 0 || beat >= session {
				t.Errorf("%s=%q: a heartbeat each %v, sessions of %v", name, value, beat, session)
			}
			cluster.DescribeGroup(set)
		}
		if ValidateClientMetrics(set) == nil {
			if m, ok := ClientMetricsOf(set); !ok || m.Interval <= 0 {
				t.Errorf("%s=%q: %+v, %v", name, value, m, ok)
			}
			DescribeClientMetrics(set)
		}
		_ = CheckCluster(name, value)
	})
}
