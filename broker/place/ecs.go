package place

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// task is asked by the task metadata endpoint, version 4, which the agent puts into the environment of every container.
type task struct {
	*client
	at string
}

func newTask(o Options) (platform, error) {
	at := strings.TrimSuffix(o.Getenv(ecsVariable), "/")
	if at == "" {
		return nil, fmt.Errorf("%s is not set, as it is in tasks of ECS", ecsVariable)
	}
	// The agent answers at a link-local address. A name would be looked up who knows where.
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" {
		return nil, fmt.Errorf("%s is %q, not a URL that begins with http://", ecsVariable, at)
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err != nil || !ip.IsLinkLocalUnicast() && !ip.IsLoopback() {
		return nil, fmt.Errorf("%s is %q, whose host is not a link-local address", ecsVariable, at)
	}
	return &task{newClient(o.Request, nil), at}, nil
}

// container is what the endpoint says of one.
type container struct {
	Name     string
	Networks []struct {
		NetworkMode    string
		IPv4Addresses  []string
		IPv6Addresses  []string
		PrivateDNSName string
	}
}

func (t *task) find(ctx context.Context, ask Ask) (p Place, err error) {
	var said struct {
		AvailabilityZone string
		Containers       []container
	}
	if err := t.json(ctx, t.at+"/task", &said); err != nil {
		return p, err
	}
	p.Zone = said.AvailabilityZone
	if !ask.Address && !ask.Name {
		return p, nil
	}
	// All containers of a task in mode awsvpc share an address. In other modes it is not one that others reach.
	mode := ""
	for _, c := range said.Containers {
		for _, n := range c.Networks {
			if mode = n.NetworkMode; mode != "awsvpc" {
				continue
			}
			p.Name = n.PrivateDNSName
			for _, text := range append(n.IPv4Addresses, n.IPv6Addresses...) {
				if p.Address, err = netip.ParseAddr(text); err == nil {
					return p, nil
				}
			}
		}
	}
	if mode != "" && mode != "awsvpc" {
		return p, lasting("the task's network mode is %q, in which others do not reach it by an address of its own: use awsvpc, or host with advertise: auto:ec2", mode)
	}
	return p, fmt.Errorf("%s/task tells no address of any container", t.at)
}

// json reads an answer that is a JSON object.
func (c *client) json(ctx context.Context, url string, into any) error {
	return c.jsonWith(ctx, url, nil, into)
}

func (c *client) jsonWith(ctx context.Context, url string, header map[string]string, into any) error {
	body, err := c.do(ctx, http.MethodGet, url, header)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the answer to GET %s: %w", url, err)
	}
	return nil
}
