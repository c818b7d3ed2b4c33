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
// No features are finalized: transaction.version would make clients speak TV2, and group.version KIP-848. The epoch of
// the features is 0 on every broker, so that it can only grow when there are some.

var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

func (b *Broker) apiVersions(_ context.Context, _ *wire.Conn, req *kmsg.ApiVersionsRequest) *kmsg.ApiVersionsResponse {
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
	resp.FinalizedFeaturesEpoch = 0
	return resp
}
