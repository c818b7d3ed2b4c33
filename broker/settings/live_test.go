package settings

import (
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// fake is overrides in memory.
type fake struct {
	mu      sync.Mutex
	version uint64
	of      map[metastore.ConfigResource]map[string]string
}

func (f *fake) set(kind metastore.ConfigKind, name string, overrides map[string]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil {
		f.of = make(map[metastore.ConfigResource]map[string]string)
	}
	f.of[metastore.ConfigResource{Kind: kind, Name: name}] = overrides
	f.version++
}

func (f *fake) Configs(of metastore.ConfigResource) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.of[of]
}

func (f *fake) ConfigResources(kind metastore.ConfigKind) (names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for of := range f.of {
		if of.Kind == kind {
			names = append(names, of.Name)
		}
	}
	slices.Sort(names)
	return names
}

func (f *fake) ConfigsVersion() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.version
}

func TestOverridesActWithTheNextLoadInKafkasOrder(t *testing.T) {
	overrides := &fake{}
	l := NewLive(mustCluster(t, map[string]string{"message.max.bytes": "1000", "log.retention.hours": "1"}), overrides)
	l.SetNode(3)
	check := func(what string, messageMax int32, retention int64) {
		t.Helper()
		if got := l.Load().Topic(nil); got.MaxMessageBytes != messageMax || got.RetentionMs != retention {
			t.Errorf("%s: max.message.bytes %d, retention.ms %d; want %d, %d", what, got.MaxMessageBytes, got.RetentionMs, messageMax, retention)
		}
	}
	check("configuration", 1000, hours)
	overrides.set(metastore.BrokerConfig, "", map[string]string{"message.max.bytes": "2000", "log.retention.ms": "7"})
	check("all brokers", 2000, 7)
	overrides.set(metastore.BrokerConfig, "4", map[string]string{"message.max.bytes": "9"})
	check("another broker", 2000, 7)
	overrides.set(metastore.BrokerConfig, "3", map[string]string{"message.max.bytes": "3000"})
	check("this broker", 3000, 7)
	l.SetNode(4)
	check("with another id", 9, 7)
	l.SetNode(3)
	overrides.set(metastore.BrokerConfig, "3", nil)
	overrides.set(metastore.BrokerConfig, "", nil)
	check("none any more", 1000, hours)
	if got := l.Load().Topic(map[string]string{"max.message.bytes": "5"}).MaxMessageBytes; got != 5 {
		t.Errorf("the topic's own: %d", got)
	}
}

func TestOverridesOfAnotherVersionAreLeftOut(t *testing.T) {
	overrides := &fake{}
	overrides.set(metastore.BrokerConfig, "", map[string]string{"num.partitions": "9", "no.such": "1", "message.max.bytes": "many", "max.connections": "5"})
	c := NewLive(mustCluster(t, nil), overrides).Load()
	if c.NumPartitions != 1 || c.MessageMaxBytes != 1048588 || c.MaxConnections != 5 {
		t.Errorf("%+v", c)
	}
	if names := entryNames(c.DescribeBrokers()); !slices.Equal(names, []string{"max.connections"}) {
		t.Errorf("described: %v", names)
	}
}

func TestLoadDuringChangesNeverGoesBack(t *testing.T) {
	overrides := &fake{}
	l := NewLive(mustCluster(t, nil), overrides)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 500 {
			overrides.set(metastore.BrokerConfig, "", map[string]string{"max.connections": string(rune('0'+i/100)) + "00"})
		}
	}()
	last := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if now := l.Load().MaxConnections; now < 1<<31-1 {
			if now < last {
				t.Fatalf("%d after %d", now, last)
			}
			last = now
		}
	}
	if last != 400 {
		t.Errorf("at the end: %d", last)
	}
}

func TestValidateBroker(t *testing.T) {
	fixed := func(name string) bool { return name == "node.id" }
	for name, c := range map[string]struct {
		overrides map[string]string
		want      any
	}{
		"dynamic":        {map[string]string{"log.retention.ms": "5", "max.connections": "3", "min.insync.replicas": "2"}, nil},
		"read-only":      {map[string]string{"num.partitions": "5", "node.id": "3", "log.retention.ms": "x"}, &ReadOnlyError{[]string{"node.id", "num.partitions"}}},
		"weaker alias":   {map[string]string{"log.retention.hours": "5"}, &ReadOnlyError{[]string{"log.retention.hours"}}},
		"unknown":        {map[string]string{"log.retention.mss": "5"}, &UnknownError{"log.retention.mss", "log.retention.ms"}},
		"no such number": {map[string]string{"max.connections": "x"}, &ValueError{Name: "max.connections", Value: "x", Reason: "must be a whole number between -2147483648 and 2147483647"}},
	} {
		if err := ValidateBroker(c.overrides, fixed); !reflect.DeepEqual(any(err), c.want) {
			t.Errorf("%s: got %#v, want %#v", name, err, c.want)
		}
	}
}

func TestOnlyWhatKafkaChangesWhileItRunsIsDynamic(t *testing.T) {
	want := map[string]bool{
		"log.cleaner.backoff.ms": true, "log.cleaner.dedupe.buffer.size": true, "log.cleaner.threads": true,
		"max.connections": true, "max.connections.per.ip": true, "max.connections.per.ip.overrides": true, "max.connection.creation.rate": true,
		"runnel.groups.max": true, "runnel.partitions.max": true, "runnel.topics.max": true, "runnel.transactional.ids.max": true, // Runnel's own
		"producer.id.expiration.ms": true,
	}
	for i := range topicTable {
		if aliases := topicTable[i].Cluster; len(aliases) > 0 {
			want[aliases[0].Name] = true
		}
	}
	got := make(map[string]bool)
	for _, name := range ClusterNames() {
		if s, _ := lookupCluster(name); s.Dynamic {
			got[name] = true
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestSynonymsAreToldStrongestFirst(t *testing.T) {
	overrides := &fake{}
	overrides.set(metastore.BrokerConfig, "", map[string]string{"log.retention.ms": "600"})
	overrides.set(metastore.BrokerConfig, "1", map[string]string{"log.retention.ms": "500"})
	l := NewLive(mustCluster(t, map[string]string{"log.retention.minutes": "9"}), overrides)
	l.SetNode(1)
	type synonym struct {
		name, value string
		source      Source
	}
	of := func(entries []Entry, name string) (got []synonym) {
		for _, e := range entries {
			if e.Name != name {
				continue
			}
			for _, s := range e.Synonyms {
				got = append(got, synonym{s.Name, *s.Value, s.Source})
			}
			if len(got) > 0 && (e.Source != got[0].source) {
				t.Errorf("%s: source %d", name, e.Source)
			}
		}
		return got
	}
	dynamic := []synonym{{"log.retention.ms", "500", FromBroker}, {"log.retention.ms", "600", FromBrokers}, {"log.retention.minutes", "9", FromCluster}}
	broker, topic := l.Load().DescribeBroker(nil), l.Load().DescribeTopic(map[string]string{"retention.ms": "1"})
	for name, c := range map[string]struct{ got, want []synonym }{
		"broker, ms":      {of(broker, "log.retention.ms"), append(dynamic[:3:3], synonym{"log.retention.hours", "168", FromDefault})},
		"broker, minutes": {of(broker, "log.retention.minutes"), []synonym{dynamic[2], {"log.retention.hours", "168", FromDefault}}},
		"broker, hours":   {of(broker, "log.retention.hours"), []synonym{{"log.retention.hours", "168", FromDefault}}},
		"broker, roll":    {of(broker, "log.roll.ms"), nil},
		"topic":           {of(topic, "retention.ms"), append([]synonym{{"retention.ms", "1", FromTopic}}, dynamic...)},
		"all brokers":     {of(l.Load().DescribeBrokers(), "log.retention.ms"), dynamic[1:2]},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s\n got %v\nwant %v", name, c.got, c.want)
		}
	}
}

func entryNames(entries []Entry) (names []string) {
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names
}

func TestGroupTimesAreBoundedByTheBrokers(t *testing.T) {
	overrides := &fake{}
	l := NewLive(mustCluster(t, map[string]string{"group.consumer.max.session.timeout.ms": "50000"}), overrides)
	check := func(group string, interval, timeout time.Duration) {
		t.Helper()
		if got := l.ConsumerTimes(group); got.HeartbeatInterval != interval || got.SessionTimeout != timeout {
			t.Errorf("%s: %v; want %v, %v", group, got, interval, timeout)
		}
	}
	check("g", 5*time.Second, 45*time.Second)
	overrides.set(metastore.GroupConfig, "g", map[string]string{"consumer.heartbeat.interval.ms": "7000", "consumer.session.timeout.ms": "60000"})
	check("g", 7*time.Second, 50*time.Second) // it was set while the bound was another
	check("h", 5*time.Second, 45*time.Second)
}

func TestValidateGroup(t *testing.T) {
	c := mustCluster(t, map[string]string{"group.consumer.min.session.timeout.ms": "6000"})
	for name, tt := range map[string]struct {
		overrides map[string]string
		want      string
	}{
		"fine":     {map[string]string{"consumer.heartbeat.interval.ms": "5000", "consumer.session.timeout.ms": "60000"}, ""},
		"too low":  {map[string]string{"consumer.heartbeat.interval.ms": "4999"}, `invalid value "4999" for consumer.heartbeat.interval.ms: must be between group.consumer.min.heartbeat.interval.ms (5000) and group.consumer.max.heartbeat.interval.ms (15000)`},
		"too high": {map[string]string{"consumer.session.timeout.ms": "60001"}, `invalid value "60001" for consumer.session.timeout.ms: must be between group.consumer.min.session.timeout.ms (6000) and group.consumer.max.session.timeout.ms (60000)`},
		"crossed":  {map[string]string{"consumer.heartbeat.interval.ms": "7000", "consumer.session.timeout.ms": "7000"}, `invalid value "7000" for consumer.heartbeat.interval.ms: must be less than consumer.session.timeout.ms`},
		"share":    {map[string]string{"share.isolation.level": "x"}, `invalid value "x" for share.isolation.level: there are no share groups here`},
		"unknown":  {map[string]string{"consumer.session.timeout": "1"}, `unknown setting "consumer.session.timeout" (did you mean "consumer.session.timeout.ms"?)`},
	} {
		got := ""
		if err := c.ValidateGroup(tt.overrides); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", name, got, tt.want)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	static, err := NewCluster(nil)
	if err != nil {
		b.Fatal(err)
	}
	r := metastore.NewReplica(nil, metastore.ReplicaOptions{})
	l := NewLive(static, r)
	for b.Loop() {
		l.Load()
	}
}
