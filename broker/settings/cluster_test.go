package settings

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func mustCluster(t *testing.T, overrides map[string]string) *Cluster {
	t.Helper()
	c, err := NewCluster(overrides)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaultsAreKafkas(t *testing.T) {
	c := mustCluster(t, nil)
	if c.NumPartitions != 1 || c.DefaultReplicationFactor != 1 || !c.AutoCreateTopics || !c.DeleteTopics {
		t.Errorf("topic creation: %+v", c)
	}
	if c.MessageMaxBytes != 1048588 || c.SocketRequestMaxBytes != 104857600 || c.FetchMaxBytes != 57671680 {
		t.Errorf("sizes: %+v", c)
	}
	if c.GroupInitialRebalanceDelay != 3*time.Second || c.GroupMinSessionTimeout != 6*time.Second || c.GroupMaxSessionTimeout != 30*time.Minute {
		t.Errorf("groups: %+v", c)
	}
	if !c.CleanerEnabled || c.CleanerBackoff != 15*time.Second || c.CleanerDedupeBuffer != 128<<20 || c.RetentionCheckInterval != 5*time.Minute {
		t.Errorf("cleaning: %+v", c)
	}
	want := Topic{MaxMessageBytes: 1048588, SegmentBytes: 1 << 30, TimestampType: CreateTime, TimestampBeforeMax: 1<<63 - 1,
		TimestampAfterMax: 3600000, CompressionType: "producer", GzipLevel: -1, LZ4Level: 9, ZstdLevel: 3, Deleted: true, RetentionMs: 604800000, RetentionBytes: -1, DeleteRetentionMs: 86400000,
		MaxCompactionLagMs: 1<<63 - 1, MinCleanableRatio: 0.5, SegmentMs: 604800000, MinInsyncReplicas: 1, LingerMaxMs: -1}
	if got := c.Topic(nil); got != want {
		t.Errorf("topic defaults\n got %+v\nwant %+v", got, want)
	}
}

func TestEveryDefaultPassesItsOwnCheck(t *testing.T) {
	for _, d := range Topics() {
		if err := d.checkValue(d.Default); err != nil {
			t.Error(err)
		}
	}
	for _, name := range ClusterNames() {
		s, ok := lookupCluster(name)
		if !ok || s.Name != name {
			t.Errorf("%s: looked up as %q", name, s.Name)
			continue
		}
		if s.value == nil {
			continue
		}
		if err := CheckCluster(name, *s.value); err != nil {
			t.Error(err)
		}
	}
}

func TestTablesAreSortedWithoutRepeats(t *testing.T) {
	for _, table := range [][]Definition{topicTable, brokerTable} {
		for i := 1; i < len(table); i++ {
			if table[i-1].Name >= table[i].Name {
				t.Errorf("%s stands before %s", table[i-1].Name, table[i].Name)
			}
		}
	}
	names := ClusterNames()
	for i := 1; i < len(names); i++ {
		if names[i-1] == names[i] {
			t.Errorf("%s is defined twice", names[i])
		}
	}
}

func TestStrongerAliasWins(t *testing.T) {
	tests := []struct {
		name      string
		overrides map[string]string
		want      int64
	}{
		{"hours", map[string]string{"log.retention.hours": "2"}, 2 * hours},
		{"minutes over hours", map[string]string{"log.retention.hours": "2", "log.retention.minutes": "5"}, 5 * minutes},
		{"ms over all", map[string]string{"log.retention.hours": "2", "log.retention.minutes": "5", "log.retention.ms": "7"}, 7},
		{"for ever in hours", map[string]string{"log.retention.hours": "-1"}, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustCluster(t, tt.overrides).Topic(nil).RetentionMs; got != tt.want {
				t.Errorf("retention %d, want %d", got, tt.want)
			}
		})
	}
}

func TestNewClusterNamesEveryMistake(t *testing.T) {
	_, err := NewCluster(map[string]string{
		"num.partition":               "3",
		"auto.create.topics.enable":   "yes",
		"retention.ms":                "5",
		"message.max.bytes":           "4294967296",
		"compression.type":            "brotli",
		"entirely.different.from.all": "1",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`unknown setting "num.partition" (did you mean "num.partitions"?)`,
		`invalid value "yes" for auto.create.topics.enable: must be true or false`,
		`unknown setting "retention.ms" (did you mean "log.retention.ms"?)`,
		`invalid value "4294967296" for message.max.bytes: must be a whole number between -2147483648 and 2147483647`,
		`invalid value "brotli" for compression.type: must be one of uncompressed, zstd, lz4, snappy, gzip, producer`,
		"unknown setting \"entirely.different.from.all\"",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in\n%v", want, err)
		}
	}
}

func TestSessionTimeoutBoundsMustBeOrdered(t *testing.T) {
	_, err := NewCluster(map[string]string{"group.min.session.timeout.ms": "9000", "group.max.session.timeout.ms": "8000"})
	var value *ValueError
	if !errors.As(err, &value) || value.Name != "group.min.session.timeout.ms" {
		t.Errorf("got %v", err)
	}
}

func TestDefaultsOfGroupsMustLieWithinTheirBounds(t *testing.T) {
	_, err := NewCluster(map[string]string{"group.consumer.max.session.timeout.ms": "44999"})
	var value *ValueError
	if !errors.As(err, &value) || value.Name != "group.consumer.session.timeout.ms" {
		t.Errorf("got %v", err)
	}
}

func TestLongTimesDoNotOverflow(t *testing.T) {
	c := mustCluster(t, map[string]string{"connections.max.idle.ms": "9223372036854775807"})
	if c.ConnectionsMaxIdle != 1<<63-1 {
		t.Errorf("idle %v", c.ConnectionsMaxIdle)
	}
}

// TestRetentionOfOffsetsIsKeptInRange: the most minutes that Kafka takes are more than a time.Duration holds.
func TestRetentionOfOffsetsIsKeptInRange(t *testing.T) {
	for minutes, want := range map[string]time.Duration{"": 7 * 24 * time.Hour, "1": time.Minute, "2147483647": longest.Truncate(time.Minute)} {
		overrides := map[string]string{"offsets.retention.minutes": minutes}
		if minutes == "" {
			overrides = nil
		}
		c, err := NewCluster(overrides)
		if err != nil {
			t.Fatal(err)
		}
		if c.OffsetsRetention != want || c.OffsetsRetentionCheck != 10*time.Minute {
			t.Errorf("%q: %v, looked for every %v; want %v", minutes, c.OffsetsRetention, c.OffsetsRetentionCheck, want)
		}
	}
}

func TestSettingsOfConsumerGroups(t *testing.T) {
	c := mustCluster(t, nil)
	g := c.GroupConsumer
	if times := NewLive(c, nil).ConsumerTimes("g"); times != (ConsumerTimes{5 * time.Second, 45 * time.Second, time.Second}) {
		t.Errorf("times: %+v", times)
	}
	if strings.Join(g.Assignors, " ") != "uniform range" || g.MigrationPolicy != "bidirectional" || !c.GroupConsumerProtocol {
		t.Errorf("defaults: %+v, served %v", g, c.GroupConsumerProtocol)
	}
	for name, overrides := range map[string]map[string]string{
		"heartbeats below the minimum": {"group.consumer.heartbeat.interval.ms": "4999"},
		"heartbeats above the maximum": {"group.consumer.heartbeat.interval.ms": "15001"},
		"session below the minimum":    {"group.consumer.session.timeout.ms": "44999"},
		"session above the maximum":    {"group.consumer.session.timeout.ms": "60001"},
		"session before a heartbeat":   {"group.consumer.min.session.timeout.ms": "1", "group.consumer.session.timeout.ms": "4000"},
		"assignments above":            {"group.consumer.assignment.interval.ms": "15001"},
		"no assignor":                  {"group.consumer.assignors": ""},
		"unknown assignor":             {"group.consumer.assignors": "uniform,sticky"},
		"unknown policy":               {"group.consumer.migration.policy": "sideways"},
		"unknown protocol":             {"group.coordinator.rebalance.protocols": "classic,streams"},
	} {
		var wrong *ValueError
		if _, err := NewCluster(overrides); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if mustCluster(t, map[string]string{"group.coordinator.rebalance.protocols": "classic"}).GroupConsumerProtocol {
		t.Error("the consumer protocol is served although it is not listed")
	}
}

func TestSuperUsersArePrincipals(t *testing.T) {
	c := mustCluster(t, map[string]string{"super.users": " User:a; User:CN=b,O=c;", "allow.everyone.if.no.acl.found": "true"})
	if c.SuperUsers != " User:a; User:CN=b,O=c;" || !c.AllowEveryone {
		t.Errorf("%q, %t", c.SuperUsers, c.AllowEveryone)
	}
	if c = mustCluster(t, nil); c.SuperUsers != "" || c.AllowEveryone {
		t.Errorf("by default: %q, %t", c.SuperUsers, c.AllowEveryone)
	}
	_, err := NewCluster(map[string]string{"super.users": "User:a;b"})
	if value, ok := errors.AsType[*ValueError](err); !ok || value.Name != "super.users" || !strings.Contains(value.Reason, `"b"`) {
		t.Errorf("got %v", err)
	}
}
