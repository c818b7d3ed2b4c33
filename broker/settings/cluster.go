package settings

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Cluster is the resolved broker-level settings as of some time. It does not change and may be shared; see Live.
type Cluster struct {
	NumPartitions              int32
	DefaultReplicationFactor   int16
	AutoCreateTopics           bool
	DeleteTopics               bool
	MessageMaxBytes            int32 // of a batch, where the topic does not say otherwise
	SocketRequestMaxBytes      int32 // of a request frame, without its size field
	FetchMaxBytes              int32
	FetchSessionSlots          int
	MaxConnections             int
	MaxConnectionsPerIP        int
	PerIPOverrides             map[netip.Addr]int // of MaxConnectionsPerIP
	MaxTopics                  int
	MaxPartitions              int // of all topics
	MaxGroups                  int // of a broker
	MaxTransactionalIDs        int
	MaxConnectionRate          int           // a second
	ConnectionsMaxIdle         time.Duration // negative: for ever
	ConnectionsMaxReauth       time.Duration // 0: no limit
	FailedAuthenticationDelay  time.Duration
	QuotaWindow                QuotaWindow
	MutationQuotaWindow        QuotaWindow
	OffsetMetadataMaxBytes     int // UTF-16 units, as Java counts
	OffsetsRetention           time.Duration
	OffsetsRetentionCheck      time.Duration // how often
	ProducerIDExpiration       time.Duration
	GroupInitialRebalanceDelay time.Duration
	GroupMinSessionTimeout     time.Duration
	GroupMaxSessionTimeout     time.Duration
	GroupMaxSize               int
	GroupConsumer              GroupConsumer
	GroupConsumerProtocol      bool // served
	TelemetryMaxBytes          int
	TransactionMaxTimeout      time.Duration
	TransactionAbortInterval   time.Duration
	TransactionForgetInterval  time.Duration
	TransactionalIDExpiration  time.Duration
	RetentionCheckInterval     time.Duration
	CleanerEnabled             bool
	CleanerBackoff             time.Duration
	CleanerDedupeBuffer        int64  // bytes
	SuperUsers                 string // as in Kafka, by semicolons
	AllowEveryone              bool   // what no access rule is about

	static    map[string]string // of the configuration
	brokers   map[string]string // set for all brokers while they ran
	broker    map[string]string // set for this one
	overrides map[string]string // what is in force of these
	topic     Topic             // of a topic without settings of its own
	group     ConsumerTimes     // of a group without settings of its own
	defaults  map[string]string // of every topic setting, after overrides
}

// clusterSetting is a broker-level setting with its default, nil if it has none (log.retention.ms: its weaker alias
// log.retention.hours has).
type clusterSetting struct {
	Definition
	value *string
}

// aliasSetting makes the broker-level setting for the n-th alias of a topic setting. Of several aliases the last, and
// weakest, has the default; it is the only one that Kafka gives one.
func aliasSetting(topic *Definition, n int) clusterSetting {
	alias := topic.Cluster[n]
	s := clusterSetting{Definition: *topic}
	s.Name, s.Cluster = alias.Name, nil
	s.Dynamic = n == 0 // the weaker ones are fixed, as in Kafka
	s.Doc = "Default of the topic setting " + topic.Name + ". " + topic.Doc
	if alias.Factor != 1 {
		s.Type = Int
		s.Doc = "Default of the topic setting " + topic.Name + ", in " + unit(alias.Factor) + ". " + topic.Doc
	}
	s.Default = ""
	if n == len(topic.Cluster)-1 {
		s.Default = topic.Default
		if alias.Factor != 1 {
			s.Default = strconv.FormatInt(parseLong(topic.Default)/alias.Factor, 10)
		}
		s.value = stringPointer(s.Default)
	}
	if c, ok := s.Check.(atLeast); ok && alias.Factor != 1 && c > 0 {
		s.Check = atLeast(1) // the least whole unit above the topic setting's minimum
	}
	return s
}

func unit(factor int64) string {
	if factor == hours {
		return "hours"
	}
	return "minutes"
}

// toTopic converts an alias's value to the topic setting's unit.
func (a Alias) toTopic(value string) string {
	if a.Factor == 1 {
		return value
	}
	n := parseLong(value)
	if n < 0 {
		return "-1"
	}
	return strconv.FormatInt(n*a.Factor, 10)
}

// CheckCluster tells whether a broker-level setting exists and takes the value: *UnknownError, *ValueError.
func CheckCluster(name, value string) error {
	s, ok := lookupCluster(name)
	if ok {
		return s.checkValue(value)
	}
	if d, ok := LookupTopic(name); ok && len(d.Cluster) > 0 {
		return &UnknownError{Name: name, Suggestion: d.Cluster[0].Name}
	}
	return &UnknownError{Name: name, Suggestion: Nearest(name, ClusterNames())}
}

// ClusterNames returns the names of all broker-level settings, sorted.
func ClusterNames() []string {
	var names []string
	for i := range brokerTable {
		names = append(names, brokerTable[i].Name)
	}
	for i := range topicTable {
		for _, alias := range topicTable[i].Cluster {
			names = append(names, alias.Name)
		}
	}
	slices.Sort(names)
	return names
}

// NewCluster resolves the broker-level settings from the overrides, which are named as Kafka's broker configs. The
// error joins an *UnknownError or *ValueError for each override that is wrong, by name.
func NewCluster(overrides map[string]string) (*Cluster, error) {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if err := CheckCluster(name, overrides[name]); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	c := &Cluster{static: maps.Clone(overrides)}
	c.overrides = c.static
	if err := c.checkOrder(); err != nil {
		return nil, err
	}
	c.resolve()
	return c, nil
}

// ordered are settings of which each must not be above the next.
var ordered = [][]string{
	{"group.min.session.timeout.ms", "group.max.session.timeout.ms"},
	{"group.consumer.min.assignment.interval.ms", "group.consumer.assignment.interval.ms", "group.consumer.max.assignment.interval.ms"},
	{"group.consumer.min.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"},
	{"group.consumer.min.session.timeout.ms", "group.consumer.session.timeout.ms", "group.consumer.max.session.timeout.ms"},
	{"group.consumer.heartbeat.interval.ms", "group.consumer.session.timeout.ms"},
}

func (c *Cluster) checkOrder() error {
	for _, names := range ordered {
		for i, name := range names[1:] {
			if low, high := c.Int(names[i]), c.Int(name); low > high {
				return &ValueError{Name: names[i], Value: strconv.FormatInt(low, 10),
					Reason: "must not be above " + name + " (" + strconv.FormatInt(high, 10) + ")"}
			}
		}
	}
	return nil
}

func (c *Cluster) resolve() {
	c.NumPartitions = int32(c.Int("num.partitions"))
	c.DefaultReplicationFactor = int16(min(c.Int("default.replication.factor"), 32767))
	c.AutoCreateTopics = c.Bool("auto.create.topics.enable")
	c.DeleteTopics = c.Bool("delete.topic.enable")
	c.MessageMaxBytes = int32(c.Int("message.max.bytes"))
	c.SocketRequestMaxBytes = int32(c.Int("socket.request.max.bytes"))
	c.FetchMaxBytes = int32(c.Int("fetch.max.bytes"))
	c.FetchSessionSlots = int(c.Int("max.incremental.fetch.session.cache.slots"))
	c.MaxConnections = int(c.Int("max.connections"))
	c.MaxTopics = int(c.Int("runnel.topics.max"))
	c.MaxPartitions = int(c.Int("runnel.partitions.max"))
	c.MaxGroups = int(c.Int("runnel.groups.max"))
	c.MaxTransactionalIDs = int(c.Int("runnel.transactional.ids.max"))
	c.MaxConnectionsPerIP = int(c.Int("max.connections.per.ip"))
	c.PerIPOverrides, _ = parsePerAddress(c.String("max.connections.per.ip.overrides"))
	c.MaxConnectionRate = int(c.Int("max.connection.creation.rate"))
	c.ConnectionsMaxIdle = c.milliseconds("connections.max.idle.ms")
	c.ConnectionsMaxReauth = max(c.milliseconds("connections.max.reauth.ms"), 0)
	c.FailedAuthenticationDelay = c.milliseconds("connections.failed.authentication.delay.ms")
	c.QuotaWindow = c.quotaWindow("quota.window.")
	c.MutationQuotaWindow = c.quotaWindow("controller.quota.window.")
	c.OffsetMetadataMaxBytes = int(c.Int("offset.metadata.max.bytes"))
	c.OffsetsRetention = time.Duration(min(c.Int("offsets.retention.minutes"), int64(longest/time.Minute))) * time.Minute
	c.OffsetsRetentionCheck = c.milliseconds("offsets.retention.check.interval.ms")
	c.ProducerIDExpiration = c.milliseconds("producer.id.expiration.ms")
	c.GroupInitialRebalanceDelay = c.milliseconds("group.initial.rebalance.delay.ms")
	c.GroupMinSessionTimeout = c.milliseconds("group.min.session.timeout.ms")
	c.GroupMaxSessionTimeout = c.milliseconds("group.max.session.timeout.ms")
	c.GroupMaxSize = int(c.Int("group.max.size"))
	c.GroupConsumer = c.groupConsumer()
	c.GroupConsumerProtocol = slices.Contains(splitList(c.String("group.coordinator.rebalance.protocols")), "consumer")
	c.TelemetryMaxBytes = int(c.Int("telemetry.max.bytes"))
	c.TransactionMaxTimeout = c.milliseconds("transaction.max.timeout.ms")
	c.TransactionAbortInterval = c.milliseconds("transaction.abort.timed.out.transaction.cleanup.interval.ms")
	c.TransactionForgetInterval = c.milliseconds("transaction.remove.expired.transaction.cleanup.interval.ms")
	c.TransactionalIDExpiration = c.milliseconds("transactional.id.expiration.ms")
	c.RetentionCheckInterval = c.milliseconds("log.retention.check.interval.ms")
	c.CleanerEnabled = c.Bool("log.cleaner.enable")
	c.CleanerBackoff = c.milliseconds("log.cleaner.backoff.ms")
	c.CleanerDedupeBuffer = c.Int("log.cleaner.dedupe.buffer.size")
	c.SuperUsers = c.String("super.users")
	c.AllowEveryone = c.Bool("allow.everyone.if.no.acl.found")

	c.defaults = make(map[string]string, len(topicTable))
	for i := range topicTable {
		c.defaults[topicTable[i].Name] = c.topicDefault(&topicTable[i])
	}
	c.topic.apply(c.defaults)
	c.group = c.consumerTimes(nil)
}

// topicDefault is what a topic without the setting has.
func (c *Cluster) topicDefault(d *Definition) string {
	for _, alias := range d.Cluster {
		if v, ok := c.overrides[alias.Name]; ok {
			return alias.toTopic(v)
		}
	}
	return d.Default
}

// String returns the value of a broker-level setting, "" if it has none. The name must be in the tables: one that is
// not is a mistake of the program, and panics.
func (c *Cluster) String(name string) string {
	s, ok := lookupCluster(name)
	if !ok {
		panic("settings: no broker-level setting " + strconv.Quote(name))
	}
	if v, ok := c.overrides[name]; ok {
		return v
	}
	return s.Default
}

// Int is String for whole numbers; 0 if the setting has no value.
func (c *Cluster) Int(name string) int64 { return parseLong(c.String(name)) }

// Bool is String for true and false.
func (c *Cluster) Bool(name string) bool { return parseBool(c.String(name)) }

// longest is about 292 years.
const longest = time.Duration(1<<63 - 1)

func (c *Cluster) milliseconds(name string) time.Duration {
	n := c.Int(name)
	if n > int64(longest/time.Millisecond) {
		return longest
	}
	return time.Duration(max(n, -1)) * time.Millisecond
}
