package broker

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// DeleteTopics (20), versions 1 to 6: removes topics, each for itself, by name or (v6, KIP-516) by id. The name is free
// at once: a topic created under it has another id, and nothing of the old one shows in it. A topic that the request
// names twice stays, and is answered once, with INVALID_REQUEST. Committed offsets of the
// topic are forgotten as well as can be: those that stay name the old id, which no lookup finds.
//
// Who may not delete a topic is told its name for its id only if they may describe it; who may not describe it, that they are
// not authorized, whether it exists or not.

func (b *Broker) deleteTopics(ctx context.Context, c *wire.Conn, req *kmsg.DeleteTopicsRequest) *kmsg.DeleteTopicsResponse {
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	asked := req.Topics
	for _, name := range req.TopicNames {
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		asked = append(asked, topic)
	}
	resp := respond[*kmsg.DeleteTopicsResponse](req)
	times := make(map[metastore.TopicID]int)
	d := b.deleter(c)
	for _, a := range asked {
		if t, _, err := d.find(a); err == nil {
			times[t.ID]++
		}
	}
	for _, a := range asked {
		answer := kmsg.NewDeleteTopicsResponseTopic()
		answer.Topic, answer.TopicID = a.Topic, a.TopicID
		t, name, err := d.find(a)
		if name != "" {
			answer.Topic = &name
		}
		switch {
		case err != nil:
		case times[t.ID] == 0: // answered already
			continue
		case times[t.ID] > 1:
			times[t.ID] = 0
			err = refuse(kerr.InvalidRequest, "the request names the topic twice")
		default:
			answer.Topic, answer.TopicID = &t.Name, t.ID
			err = b.deleteTopic(ctx, c, t)
		}
		answer.ErrorCode, answer.ErrorMessage = failure(err)
		if answer.ErrorCode == kerr.TopicDeletionDisabled.Code && req.Version < 3 {
			answer.ErrorCode = kerr.InvalidRequest.Code
		}
		resp.Topics = append(resp.Topics, answer)
	}
	return resp
}

func (b *Broker) topicToDelete(asked kmsg.DeleteTopicsRequestTopic) (*metastore.Topic, error) {
	named, byID := asked.Topic != nil, asked.TopicID != [16]byte{}
	switch {
	case !b.Settings.Load().DeleteTopics:
		return nil, refuse(kerr.TopicDeletionDisabled, "delete.topic.enable is false")
	case named == byID:
		return nil, refuse(kerr.InvalidRequest, "a topic is named either by its name or by its id")
	case byID:
		if t, ok := b.Topics.TopicByID(asked.TopicID); ok {
			return t, nil
		}
		return nil, errNoSuchID
	}
	if t, ok := b.Topics.Topic(*asked.Topic); ok {
		return t, nil
	}
	return nil, errNoSuchName
}

// deleter finds what a client may delete.
type deleter struct {
	*Broker
	all                bool
	describes, deletes *permits
}

func (b *Broker) deleter(c *wire.Conn) *deleter {
	return &deleter{
		Broker: b, all: b.sees(c, acl.Delete, acl.Cluster, acl.ClusterName),
		describes: b.permits(c, acl.Describe, acl.Topic), deletes: b.permits(c, acl.Delete, acl.Topic),
	}
}

// find finds a topic. The name is that of an id if the client may know it, although it may not delete the topic.
func (d *deleter) find(asked kmsg.DeleteTopicsRequestTopic) (t *metastore.Topic, name string, err error) {
	t, err = d.topicToDelete(asked)
	switch {
	case d.all || err != nil && !errors.Is(err, errNoSuchName):
		return t, "", err
	case asked.Topic == nil && !d.deletes.allow(t.Name):
		if d.describes.allow(t.Name) {
			name = t.Name
		}
		return nil, name, errTopicDenied
	case asked.Topic != nil && !d.describes.allow(*asked.Topic):
		return nil, "", errTopicDenied
	case err == nil && !d.deletes.allow(t.Name):
		return nil, "", errTopicDenied
	}
	return t, "", err
}

func (b *Broker) deleteTopic(ctx context.Context, c *wire.Conn, t *metastore.Topic) error {
	if err := tollOf(ctx).change(t.Partitions); err != nil {
		return err
	}
	if err := b.Changes.DeleteTopic(ctx, t.ID); err != nil {
		b.mayHaveChanged(c, "DeleteTopics", topicResource(t.Name), err)
		return err
	}
	b.Logger.Info("deleted topic", "topic", t.Name, "topic_id", t.ID.String())
	b.changed(c, "DeleteTopics", topicResource(t.Name), topicFacts(t), nil)
	forget, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := b.TopicOffsets.DeleteTopicOffsets(forget, t.ID); err != nil {
		b.Logger.Warn("cannot forget the committed offsets of a deleted topic", "topic", t.Name, "topic_id", t.ID.String(), "error", err)
	}
	return nil
}
