package broker

import (
	"context"
	"regexp"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/wire"
)

// ApiVersions (18), versions 0 to 4: tells which APIs are served, from the protocol table. v3 (KIP-511) brings the name
// and version of the client software, which must look like one. Requests of a version above ours never come here:
// package wire answers them in the body of v0.
//
// v3 also brings features (KIP-584). They are the software's, the same on every broker, and finalized at their highest level:
// transaction.version 2 is what makes clients speak the second protocol of transactions (KIP-890), group.version 1 that of
// KIP-848, and metadata.version tells tools of Kafka's which of its releases the cluster is like. A client looks again only
// when the epoch grows. Clients before v4 choke on features whose minimum is 0 (KAFKA-17492), which are not told to them as
// supported.

var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

// apiVersionsTo is the Handler: it remembers the client's software.
func (b *Broker) apiVersionsTo(_ context.Context, c *wire.Conn, req kmsg.Request) wire.Pending {
	asked := req.(*kmsg.ApiVersionsRequest)
	resp := b.apiVersions(asked)
	if asked.Version >= 3 && resp.ErrorCode == 0 {
		software := &attached(c).software
		software.name, software.version = asked.ClientSoftwareName, asked.ClientSoftwareVersion
	}
	return wire.Ready(resp)
}

func (b *Broker) apiVersions(req *kmsg.ApiVersionsRequest) *kmsg.ApiVersionsResponse {
	resp := respond[*kmsg.ApiVersionsResponse](req)
	if req.Version >= 3 && !(softwareName.MatchString(req.ClientSoftwareName) && softwareName.MatchString(req.ClientSoftwareVersion)) {
		resp.ErrorCode = kerr.InvalidRequest.Code
		return resp
	}
	for _, a := range b.apis() {
		key := kmsg.NewApiVersionsResponseApiKey()
		key.ApiKey, key.MinVersion, key.MaxVersion = a.key, a.min-a.claimed, a.max
		resp.ApiKeys = append(resp.ApiKeys, key)
	}
	if req.Version < 3 {
		return resp
	}
	resp.FinalizedFeaturesEpoch = featuresEpoch
	for _, f := range features {
		if f.min > 0 || req.Version >= 4 {
			resp.SupportedFeatures = append(resp.SupportedFeatures, kmsg.ApiVersionsResponseSupportedFeature{
				Name: f.name, MinVersion: f.min, MaxVersion: f.max,
			})
		}
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, kmsg.ApiVersionsResponseFinalizedFeature{
			Name: f.name, MinVersionLevel: f.finalized, MaxVersionLevel: f.finalized,
		})
	}
	return resp
}
