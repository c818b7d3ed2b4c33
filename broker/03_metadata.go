package broker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// Metadata (3), versions 0 to 13: brokers, topics, and who is to be asked for each partition. Null topics are all
// topics and an empty list is none, except in v0, where the empty list is all. v10 answers topic ids, v12 takes them
// (KIP-516). A topic that is not there is created if the client (v4+) and auto.create.topics.enable allow it, and is in
// the answer when the commit was in time. Brokers are those that have the listener by which the client came.
//
// The leader of a partition is a live broker of the client's zone, by rendezvous hashing, at leader epoch 0; one of all
// brokers, if the zone is unknown or has none. It is where the clients of a zone meet, nothing more: every other would do.
// The replicas are brokers of further zones, so that assignors that look at racks (KIP-881) find every partition in as many
// zones as the replication factor allows. A broker that is about to leave is listed and leads nothing.
//
// Of all topics those that the client may not describe are left out; if they are named they are refused, whether they exist or
// not. An id says only that a topic exists, which Kafka does not hide either. Who may not create what is not there is refused after
// a look at the commit log, and told to ask again if that fails.

// autoCreateWait bounds how long a Metadata request waits for the topics it makes.
const autoCreateWait = 5 * time.Second

func (b *Broker) metadata(ctx context.Context, c *wire.Conn, req *kmsg.MetadataRequest) metadataResponse {
	return metadataResponse{b.metadataFor(ctx, c, b.zone(c), req)}
}

// metadataResponse makes room for itself at once: it may be large, and a buffer that grows is copied over and over.
type metadataResponse struct{ *kmsg.MetadataResponse }

// AppendTo implements kmsg.Response.
func (r metadataResponse) AppendTo(dst []byte) []byte {
	const broker, topic, partition = 300, 300, 40 // more than they take, without lists of replicas
	size := broker * (len(r.Brokers) + 1)
	for i := range r.Topics {
		size += topic
		for j := range r.Topics[i].Partitions {
			size += partition + 8*len(r.Topics[i].Partitions[j].Replicas) // and as many in sync
		}
	}
	return r.MetadataResponse.AppendTo(slices.Grow(dst, size))
}

// metadataFor answers a client in a zone.
func (b *Broker) metadataFor(ctx context.Context, c *wire.Conn, zone string, req *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	listener := c.Endpoint().Name
	resp := respond[*kmsg.MetadataResponse](req)
	live := b.brokers(listener)
	placement := cluster.Place(live, zone)
	for _, l := range b.listed(listener) {
		broker := kmsg.NewMetadataResponseBroker()
		broker.NodeID, broker.Host, broker.Port, broker.Rack = int32(l.NodeID), l.Host, l.Port, orNil(l.Zone)
		resp.Brokers = append(resp.Brokers, broker)
	}
	resp.ClusterID = orNil(b.Membership.ClusterID())
	resp.ControllerID = b.controller(live)
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = b.clusterOperations(c)
	}

	if req.Topics == nil || (req.Version == 0 && len(req.Topics) == 0) {
		topics, shown := b.Topics.Topics(), b.sights(c, acl.Describe, acl.Topic)
		resp.Topics = make([]kmsg.MetadataResponseTopic, 0, len(topics))
		for _, t := range topics {
			if shown.allow(t.Name) {
				resp.Topics = append(resp.Topics, metadataTopic(t, placement))
			}
		}
	} else {
		ctx, cancel := context.WithTimeout(ctx, autoCreateWait)
		defer cancel()
		q := topicQuery{Broker: b, conn: c, version: req.Version, placement: placement}
		q.create = b.Settings.Load().AutoCreateTopics && (req.Version < 4 || req.AllowAutoTopicCreation)
		for _, asked := range once(req.Topics, keyOf(req.Version)) {
			resp.Topics = append(resp.Topics, q.answer(ctx, asked))
		}
	}
	if req.IncludeTopicAuthorizedOperations {
		for i := range resp.Topics {
			t := &resp.Topics[i]
			if t.Topic != nil && t.ErrorCode != kerr.TopicAuthorizationFailed.Code { // whether it exists or not
				t.AuthorizedOperations = b.operations(c, acl.Topic, *t.Topic)
			}
		}
	}
	return resp
}

// topicKey is how a request names a topic.
type topicKey struct {
	name string
	id   [16]byte
}

// keyOf tells what counts of how a request of a version names topics: beside an id that is looked at, any name means the
// same topic.
func keyOf(version int16) func(kmsg.MetadataRequestTopic) topicKey {
	return func(t kmsg.MetadataRequestTopic) topicKey {
		if version >= 12 && t.TopicID != [16]byte{} {
			return topicKey{id: t.TopicID}
		}
		return topicKey{deref(t.Topic), t.TopicID}
	}
}

// topicQuery is what a client asks of topics that it names.
type topicQuery struct {
	*Broker
	conn      *wire.Conn
	version   int16
	create    bool // what is not there
	placement *cluster.Placement
	looked    bool // at the log
	fresh     bool // since that look: what is not there does not exist
}

func (q *topicQuery) answer(ctx context.Context, asked kmsg.MetadataRequestTopic) kmsg.MetadataResponseTopic {
	t, err := q.find(ctx, asked)
	if err == nil {
		return metadataTopic(t, q.placement)
	}
	failed := kmsg.NewMetadataResponseTopic()
	failed.ErrorCode, failed.Topic, failed.TopicID = code(err), asked.Topic, asked.TopicID
	switch {
	case asked.TopicID != [16]byte{} && q.version >= 12:
		failed.Topic = nil // the id counts
	case failed.Topic == nil && q.version < 12:
		failed.Topic = kmsg.StringPtr("")
	}
	return failed
}

// find finds or creates a topic that the client may know of.
func (q *topicQuery) find(ctx context.Context, asked kmsg.MetadataRequestTopic) (*metastore.Topic, error) {
	t, err := q.findTopic(q.version, asked)
	switch {
	case errors.Is(err, errEarlyID), errors.Is(err, errNoSuchID):
		return nil, err
	case !q.may(q.conn, acl.Describe, acl.Topic, nameOf(t, deref(asked.Topic))):
		return nil, errTopicDenied
	case !errors.Is(err, errNoSuchName) || !q.create:
		return t, err
	case !q.sees(q.conn, acl.Create, acl.Cluster, acl.ClusterName) && !q.may(q.conn, acl.Create, acl.Topic, *asked.Topic):
		return q.findNew(ctx, asked)
	}
	return q.autoCreate(ctx, q.conn, *asked.Topic)
}

// findNew finds a topic that this broker has not heard of for a client that may not create it. Somebody else may just have done so
// through another broker: a refusal would be the end of a producer that is right. The log is looked at once for a request.
func (q *topicQuery) findNew(ctx context.Context, asked kmsg.MetadataRequestTopic) (*metastore.Topic, error) {
	if !q.looked {
		q.looked, q.fresh = true, q.refreshed(ctx)
	}
	t, err := q.findTopic(q.version, asked)
	switch {
	case !errors.Is(err, errNoSuchName):
		return t, err
	case !q.fresh:
		return nil, refuse(kerr.LeaderNotAvailable, "whether there is such a topic is not known")
	}
	return nil, errTopicDenied
}

var (
	errNoSuchName = refuse(kerr.UnknownTopicOrPartition, "there is no such topic")
	errNoSuchID   = refuse(kerr.UnknownTopicID, "there is no topic of this id")
	errEarlyID    = refuse(kerr.InvalidRequest, "topics are asked for by id from version 12 on")
)

func (b *Broker) findTopic(version int16, asked kmsg.MetadataRequestTopic) (*metastore.Topic, error) {
	byID := asked.TopicID != [16]byte{} || asked.Topic == nil
	switch {
	case byID && version < 12:
		return nil, errEarlyID
	case byID:
		if t, ok := b.Topics.TopicByID(asked.TopicID); ok {
			return t, nil
		}
		return nil, errNoSuchID
	}
	if t, ok := b.Topics.Topic(*asked.Topic); ok {
		return t, nil
	}
	if err := settings.ValidTopicName(*asked.Topic); err != nil {
		return nil, refuse(kerr.InvalidTopicException, err.Error())
	}
	return nil, errNoSuchName
}

// autoCreate makes a topic with the cluster's defaults. If that does not succeed in time, clients are told to ask again.
func (b *Broker) autoCreate(ctx context.Context, c *wire.Conn, name string) (*metastore.Topic, error) {
	if ctx.Err() != nil {
		return nil, refuse(kerr.LeaderNotAvailable, "the topics before it took too long")
	}
	plan, err := b.planTopic(kmsg.CreateTopicsRequestTopic{Topic: name, NumPartitions: -1, ReplicationFactor: -1})
	if err != nil {
		return nil, err
	}
	if err := tollOf(ctx).change(plan.Partitions); err != nil { // never: what clients create by asking is counted
		return nil, err
	}
	t, err := b.Changes.CreateTopic(ctx, plan)
	if err == nil {
		b.Logger.Info("created a topic that a client asked for", "topic", name, "topic_id", t.ID.String(), "partitions", t.Partitions)
		b.changed(c, "Metadata", topicResource(t.Name), nil, topicFacts(t))
		return t, nil
	}
	if t, ok := b.Topics.Topic(name); ok { // somebody was faster
		return t, nil
	}
	b.mayHaveChanged(c, "Metadata", topicResource(name), err)
	b.Logger.Warn("cannot create a topic that a client asked for", "topic", name, "error", err)
	return nil, refuse(kerr.LeaderNotAvailable, err.Error())
}

func metadataTopic(t *metastore.Topic, placement *cluster.Placement) kmsg.MetadataResponseTopic {
	answer := kmsg.NewMetadataResponseTopic()
	answer.Topic, answer.TopicID = &t.Name, t.ID
	answer.Partitions = make([]kmsg.MetadataResponseTopicPartition, t.Partitions)
	for i, replicas := range replicaLists(t, 0, int(t.Partitions), placement) {
		p := &answer.Partitions[i]
		p.Default()
		p.Partition, p.Replicas, p.ISR = int32(i), replicas, replicas
		p.Leader, p.LeaderEpoch = replicas[0], leaderEpoch
	}
	return answer
}
