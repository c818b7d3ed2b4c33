package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/wire"
)

// AlterConfigs (33), versions 0 to 2: replaces all that is set on a resource; what the request does not name gets its
// default. Old clients use it where IncrementalAlterConfigs (44) loses nothing that others set. The resources are the
// same, without loggers, as in Kafka.

func (b *Broker) alterConfigs(ctx context.Context, _ *wire.Conn, req *kmsg.AlterConfigsRequest) *kmsg.AlterConfigsResponse {
	ctx, cancel := context.WithTimeout(ctx, alterConfigsWait)
	defer cancel()
	b.refreshed(ctx) // topics and settings that another broker has just made or changed
	times := make(map[namedResource]int)
	for _, r := range req.Resources {
		times[namedResource{r.ResourceType, r.ResourceName}]++
	}
	resp := respond[*kmsg.AlterConfigsResponse](req)
	for _, asked := range req.Resources {
		var err error
		if times[namedResource{asked.ResourceType, asked.ResourceName}] > 1 {
			err = errResourceTwice
		} else {
			err = b.replaceConfigs(ctx, asked, req.ValidateOnly)
		}
		answer := kmsg.NewAlterConfigsResponseResource()
		answer.ResourceType, answer.ResourceName = asked.ResourceType, asked.ResourceName
		answer.ErrorCode, answer.ErrorMessage = failure(err)
		resp.Resources = append(resp.Resources, answer)
	}
	return resp
}

func (b *Broker) replaceConfigs(ctx context.Context, asked kmsg.AlterConfigsRequestResource, validateOnly bool) error {
	set := make(map[string]string)
	for _, c := range asked.Configs {
		_, twice := set[c.Name]
		switch {
		case c.Value == nil:
			return refuse(kerr.InvalidRequest, fmt.Sprintf("null is no value for %s", c.Name))
		case twice:
			return refuse(kerr.InvalidRequest, fmt.Sprintf("the request names %s twice", c.Name))
		}
		set[c.Name] = *c.Value
	}
	c, err := b.configurable(asked.ResourceType, asked.ResourceName)
	if err != nil {
		return err
	}
	var unset []string
	for name := range c.overrides {
		if _, ok := set[name]; !ok {
			unset = append(unset, name)
		}
	}
	return c.alter(ctx, set, unset, validateOnly)
}
