package broker

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// changed records what the peer of a connection changed, after it did. The action is the name of the API. Values of what is
// secret by its name are hidden.
func (b *Broker) changed(c *wire.Conn, action, resource string, before, after map[string]string) {
	b.Audit.Record(audit.Event{
		Kind: audit.Change, Principal: c.Session().Principal, Host: c.ClientHost(), ClientID: c.ClientID(), Listener: c.Endpoint().Name,
		Action: action, Resource: resource, Before: hideSecrets(before), After: hideSecrets(after),
	})
}

// mayHaveChanged records a change that failed as the client left or time was over: it may be made all the same.
func (b *Broker) mayHaveChanged(c *wire.Conn, action, resource string, err error) {
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return
	}
	b.Audit.Record(audit.Event{
		Kind: audit.Change, Principal: c.Session().Principal, Host: c.ClientHost(), ClientID: c.ClientID(), Listener: c.Endpoint().Name,
		Action: action, Resource: resource, Failed: true, Detail: "the change may have been made: " + err.Error(),
	})
}

const hiddenValue = "[hidden]"

// secretWords stand in the names of Kafka's settings that are secrets (org.apache.kafka.common.config.ConfigDef.Type.PASSWORD).
var secretWords = []string{"password", "secret", "jaas", "keystore.key"}

func hideSecrets(values map[string]string) map[string]string {
	for name := range values {
		for _, word := range secretWords {
			if strings.Contains(name, word) {
				values[name] = hiddenValue
			}
		}
	}
	return values
}

func topicResource(name string) string { return acl.Topic.String() + ":" + name }
func groupResource(id string) string   { return acl.Group.String() + ":" + id }

// topicFacts are what makes a topic.
func topicFacts(t *metastore.Topic) map[string]string {
	facts := map[string]string{
		"topic.id": t.ID.String(), "partitions": strconv.Itoa(int(t.Partitions)), "replication.factor": strconv.Itoa(int(t.ReplicationFactor)),
	}
	for name, value := range t.Configs {
		facts[name] = value
	}
	return facts
}

// mostPartitionsTold bounds an event about partitions: what is left out is counted.
const mostPartitionsTold = 100

// tellPartition notes a value for a partition, under "topic-N", or that there are more.
func tellPartition(facts map[string]string, topic string, partition int32, value string) {
	if len(facts) < mostPartitionsTold {
		facts[topic+"-"+strconv.Itoa(int(partition))] = value
		return
	}
	more, _ := strconv.Atoi(facts["more"])
	facts["more"] = strconv.Itoa(more + 1)
}

// logStarts are where the partitions of topics began before and begin after a deletion of records.
type logStarts struct {
	known         Topics
	start         map[namedPartition]metastore.Offset
	topics        []string                     // that have changed, in order
	before, after map[string]map[string]string // by topic
}

func newLogStarts(topics Topics) *logStarts {
	return &logStarts{
		known: topics, start: make(map[namedPartition]metastore.Offset),
		before: make(map[string]map[string]string), after: make(map[string]map[string]string),
	}
}

func (l *logStarts) note(t *metastore.Topic, partition int32) {
	marks, _ := l.known.Watermarks(metastore.TopicPartition{Topic: t.ID, Partition: partition})
	l.start[namedPartition{t.Name, partition}] = marks.LogStart
}

func (l *logStarts) moved(topic string, partition int32, to metastore.Offset) {
	from := l.start[namedPartition{topic, partition}]
	if from == to {
		return
	}
	if l.after[topic] == nil {
		l.topics = append(l.topics, topic)
		l.before[topic], l.after[topic] = make(map[string]string), make(map[string]string)
	}
	tellPartition(l.before[topic], topic, partition, strconv.FormatInt(int64(from), 10))
	tellPartition(l.after[topic], topic, partition, strconv.FormatInt(int64(to), 10))
}

// changedConfigs records which of a resource's settings have other values now. Before are all that were set.
func (b *Broker) changedConfigs(c *wire.Conn, action, resource string, before, set map[string]string, unset []string) {
	was, is := make(map[string]string), make(map[string]string)
	for name, value := range set {
		old, had := before[name]
		if had && old == value {
			continue
		}
		if had {
			was[name] = old
		}
		is[name] = value
	}
	for _, name := range unset {
		was[name] = before[name]
	}
	if len(was)+len(is) > 0 {
		b.changed(c, action, resource, was, is)
	}
}
