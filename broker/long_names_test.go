package broker

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// In versions that are not flexible a text can have 32,767 bytes; an error that repeated a name as long as that had more, and
// its answer could not be read.
func TestErrorsAboutLongNamesCanBeRead(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 1, 1)
	long := strings.Repeat("\xff", 1<<15-1) // which takes four times as much in quotes
	alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
	alter.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "events", Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: long}},
	}}
	check := func(what string, code int16, text *string) {
		t.Helper()
		if code == 0 || text == nil || len(*text) > 2*mostText {
			t.Errorf("%s: error %d with a text of %d bytes", what, code, len(deref(text)))
		}
	}
	h.versions(44, func(t *testing.T, v int16) {
		row := ask[*kmsg.IncrementalAlterConfigsResponse](h, v, alter).Resources[0]
		check("alter configs", row.ErrorCode, row.ErrorMessage)
	})
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: long, NumPartitions: 1, ReplicationFactor: 1}}
	h.versions(19, func(t *testing.T, v int16) {
		row := ask[*kmsg.CreateTopicsResponse](h, v, create).Topics[0]
		check("create topics", row.ErrorCode, row.ErrorMessage)
	})
	elect := kmsg.NewPtrElectLeadersRequest()
	elect.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: long, Partitions: []int32{0, 0, 0}}}
	h.versions(43, func(t *testing.T, v int16) {
		for _, row := range ask[*kmsg.ElectLeadersResponse](h, v, elect).Topics[0].Partitions {
			check("elect leaders", row.ErrorCode, row.ErrorMessage)
			if len(deref(row.ErrorMessage)) > 100 { // a request of four bytes for each would have answers of gigabytes
				t.Errorf("a partition's text has %d bytes", len(*row.ErrorMessage))
			}
		}
	})
}

func TestProduceToLongNamesIsRefusedInAnswersThatCanBeRead(t *testing.T) {
	h := newRecordHarness(t, nil)
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = 1, 1000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: strings.Repeat("\xff", 1<<15-1), Partitions: make([]kmsg.ProduceRequestTopicPartition, 3)}}
	for version := int16(8); version < 13; version++ {
		for _, row := range h.sendRequest(version, req) {
			if row.ErrorCode == 0 || row.ErrorMessage == nil || len(*row.ErrorMessage) > 100 {
				t.Errorf("v%d: error %d with a text of %d bytes", version, row.ErrorCode, len(deref(row.ErrorMessage)))
			}
		}
	}
}
