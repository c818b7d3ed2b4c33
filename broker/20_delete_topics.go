package broker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// DeleteTopics (20), versions 1 to 6: removes topics, each for itself, by name or (v6, KIP-516) by id. The name is free
// at once: a topic created under it has another id, and nothing of the old one shows in it. A topic that the request
// names twice stays, and is answered once, with INVALID_REQUEST. Committed offsets of the
// topic are forgotten as well as can be: those that stay name the old id, which no lookup finds.

func (b *Broker) deleteTopics(ctx context.Context, _ *wire.Conn, req *kmsg.DeleteTopicsRequest) *kmsg.DeleteTopicsResponse {
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
	for _, a := range asked {
		if t, err := b.topicToDelete(a); err == nil {
			times[t.ID]++
		}
	}
	for _, a := range asked {
		answer := kmsg.NewDeleteTopicsResponseTopic()
		answer.Topic, answer.TopicID = a.Topic, a.TopicID
		t, err := b.topicToDelete(a)
		switch {
		case err != nil:
		case times[t.ID] == 0: // answered already
			continue
		case times[t.ID] > 1:
			times[t.ID] = 0
			err = refuse(kerr.InvalidRequest, "the request names the topic twice")
		default:
			answer.Topic, answer.TopicID = &t.Name, t.ID
			err = b.deleteTopic(ctx, t)
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

func (b *Broker) deleteTopic(ctx context.Context, t *metastore.Topic) error {
	if err := b.Changes.DeleteTopic(ctx, t.ID); err != nil {
		return err
	}
	b.Logger.Info("deleted topic", "topic", t.Name, "topic_id", t.ID.String())
	forget, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := b.TopicOffsets.DeleteTopicOffsets(forget, t.ID); err != nil {
		b.Logger.Warn("cannot forget the committed offsets of a deleted topic", "topic", t.Name, "topic_id", t.ID.String(), "error", err)
	}
	return nil
}
