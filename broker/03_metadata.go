package broker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// Metadata (3), versions 0 to 13: brokers, topics, and who is to be asked for each partition. Null topics are all
// topics and an empty list is none, except in v0, where the empty list is all. v10 answers topic ids, v12 takes them
// (KIP-516). A topic that is not there is created if the client (v4+) and auto.create.topics.enable allow it, and is in
// the answer when the commit was in time.
//
// The leader of a partition is a live broker of the client's zone, by rendezvous hashing, at leader epoch 0; one of all
// brokers, if the zone is unknown or has none. It is where the clients of a zone meet, nothing more: every other would do.
// The replicas are brokers of further zones, so that assignors that look at racks (KIP-881) find every partition in as many
// zones as the replication factor allows. A broker that is about to leave is listed and leads nothing.

// autoCreateWait bounds how long a Metadata request waits for the topics it makes.
const autoCreateWait = 5 * time.Second

func (b *Broker) metadata(ctx context.Context, c *wire.Conn, req *kmsg.MetadataRequest) metadataResponse {
	return metadataResponse{b.metadataFor(ctx, b.zone(c), req)}
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
func (b *Broker) metadataFor(ctx context.Context, zone string, req *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	resp := respond[*kmsg.MetadataResponse](req)
	live := b.brokers()
	placement := cluster.Place(live, zone)
	for _, l := range b.listed() {
		broker := kmsg.NewMetadataResponseBroker()
		broker.NodeID, broker.Host, broker.Port, broker.Rack = int32(l.NodeID), l.Host, l.Port, orNil(l.Zone)
		resp.Brokers = append(resp.Brokers, broker)
	}
	resp.ClusterID = orNil(b.Membership.ClusterID())
	resp.ControllerID = b.controller(live)
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}

	if req.Topics == nil || (req.Version == 0 && len(req.Topics) == 0) {
		topics := b.Topics.Topics()
		resp.Topics = make([]kmsg.MetadataResponseTopic, 0, len(topics))
		for _, t := range topics {
			resp.Topics = append(resp.Topics, metadataTopic(t, placement))
		}
	} else {
		ctx, cancel := context.WithTimeout(ctx, autoCreateWait)
		defer cancel()
		create := b.Settings.Load().AutoCreateTopics && (req.Version < 4 || req.AllowAutoTopicCreation)
		for _, asked := range once(req.Topics, keyOf(req.Version)) {
			resp.Topics = append(resp.Topics, b.metadataOf(ctx, req.Version, asked, create, placement))
		}
	}
	if req.IncludeTopicAuthorizedOperations {
		for i := range resp.Topics {
			if resp.Topics[i].Topic != nil { // whether it exists or not
				resp.Topics[i].AuthorizedOperations = topicOperations
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

func (b *Broker) metadataOf(ctx context.Context, version int16, asked kmsg.MetadataRequestTopic, create bool, placement *cluster.Placement) kmsg.MetadataResponseTopic {
	t, err := b.findTopic(version, asked)
	if errors.Is(err, errNoSuchName) && create {
		t, err = b.autoCreate(ctx, *asked.Topic)
	}
	if err != nil {
		failed := kmsg.NewMetadataResponseTopic()
		failed.ErrorCode, failed.Topic, failed.TopicID = code(err), asked.Topic, asked.TopicID
		switch {
		case asked.TopicID != [16]byte{} && version >= 12:
			failed.Topic = nil // the id counts
		case failed.Topic == nil && version < 12:
			failed.Topic = kmsg.StringPtr("")
		}
		return failed
	}
	return metadataTopic(t, placement)
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
func (b *Broker) autoCreate(ctx context.Context, name string) (*metastore.Topic, error) {
	if ctx.Err() != nil {
		return nil, refuse(kerr.LeaderNotAvailable, "the topics before it took too long")
	}
	plan, err := b.planTopic(kmsg.CreateTopicsRequestTopic{Topic: name, NumPartitions: -1, ReplicationFactor: -1})
	if err != nil {
		return nil, err
	}
	t, err := b.Changes.CreateTopic(ctx, plan)
	if err == nil {
		b.Logger.Info("created a topic that a client asked for", "topic", name, "topic_id", t.ID.String(), "partitions", t.Partitions)
		return t, nil
	}
	if t, ok := b.Topics.Topic(name); ok { // somebody was faster
		return t, nil
	}
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
