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

func (b *Broker) alterConfigs(ctx context.Context, c *wire.Conn, req *kmsg.AlterConfigsRequest) *kmsg.AlterConfigsResponse {
	resp := respond[*kmsg.AlterConfigsResponse](req)
	named := func(r kmsg.AlterConfigsRequestResource) namedResource {
		return namedResource{r.ResourceType, r.ResourceName}
	}
	alterEach(ctx, b, c, req.Resources, named, func(ctx context.Context, asked kmsg.AlterConfigsRequestResource) error {
		return b.replaceConfigs(ctx, c, asked, req.ValidateOnly)
	}, func(r namedResource, err error) {
		answer := kmsg.NewAlterConfigsResponseResource()
		answer.ResourceType, answer.ResourceName = r.kind, r.name
		answer.ErrorCode, answer.ErrorMessage = failure(err)
		resp.Resources = append(resp.Resources, answer)
	})
	return resp
}

func (b *Broker) replaceConfigs(ctx context.Context, conn *wire.Conn, asked kmsg.AlterConfigsRequestResource, validateOnly bool) error {
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
	changed, err := c.alter(ctx, set, unset, validateOnly)
	if changed {
		b.changedConfigs(conn, "AlterConfigs", c.resource, c.overrides, set, unset)
	}
	b.mayHaveChanged(conn, "AlterConfigs", c.resource, err)
	return err
}
