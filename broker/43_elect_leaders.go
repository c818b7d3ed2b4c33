package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
)

// ElectLeaders (43), versions 0 to 2 (KIP-183, KIP-460 for the type of the election): every broker leads every partition, so
// that no election is needed, preferred or unclean: ELECTION_NOT_NEEDED for each partition asked for. Null topics are all
// partitions; of those only the ones with an election are answered, which are none, each topic with an empty list, as in
// Kafka. v2 is flexible.

const (
	preferredElection = 0
	uncleanElection   = 1
)

// errNoSuchPartition does not repeat the name of the topic, which stands above all of its partitions, and may be long.
var errNoSuchPartition = refuse(kerr.UnknownTopicOrPartition, "there is no such partition")

func (b *Broker) electLeaders(_ context.Context, c *wire.Conn, req *kmsg.ElectLeadersRequest) *kmsg.ElectLeadersResponse {
	resp := respond[*kmsg.ElectLeadersResponse](req)
	var refused error
	if !b.mayOnCluster(c, acl.Alter) {
		refused = errClusterDenied
	} else if req.ElectionType != preferredElection && req.ElectionType != uncleanElection {
		refused = refuse(kerr.InvalidRequest, fmt.Sprintf("there is no election type %d", req.ElectionType))
	}
	resp.ErrorCode = code(refused) // which v0 does not have
	if req.Topics == nil && refused == nil {
		for _, t := range b.Topics.Topics() {
			resp.Topics = append(resp.Topics, kmsg.ElectLeadersResponseTopic{Topic: t.Name})
		}
	}
	for _, asked := range req.Topics {
		topic := kmsg.NewElectLeadersResponseTopic()
		topic.Topic = asked.Topic
		for _, partition := range asked.Partitions {
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition = partition
			err := refuse(kerr.ElectionNotNeeded, "every broker leads every partition")
			if refused != nil {
				err = refused
			} else if !b.hasPartition(asked.Topic, partition) {
				err = errNoSuchPartition
			}
			p.ErrorCode, p.ErrorMessage = failure(err)
			topic.Partitions = append(topic.Partitions, p)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}
