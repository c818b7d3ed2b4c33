package place

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// instance is asked by version 2 of the instance metadata service: a token first, by a PUT that no reflected GET can make, then
// what is to be known.
type instance struct {
	*client
	at string
}

func newInstance(o Options) (platform, error) {
	if strings.EqualFold(o.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		return nil, fmt.Errorf("AWS_EC2_METADATA_DISABLED is set")
	}
	return &instance{newClient(o.Request, nil), o.InstanceAt}, nil
}

const (
	tokenHeader    = "X-Aws-Ec2-Metadata-Token"
	tokenTTLHeader = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	longestToken   = 1024
)

func (i *instance) find(ctx context.Context, ask Ask) (p Place, err error) {
	token, err := i.do(ctx, http.MethodPut, i.at+"/latest/api/token", map[string]string{tokenTTLHeader: "60"})
	if err != nil {
		return p, fmt.Errorf("%w (in a container the instance needs a hop limit of 2)", err)
	}
	if !isToken(token) {
		return p, fmt.Errorf("PUT %s/latest/api/token answers what is no token", i.at)
	}
	header := map[string]string{tokenHeader: string(token)}
	if ask.Zone {
		if p.Zone, err = i.text(ctx, i.at+"/latest/meta-data/placement/availability-zone", header); err != nil {
			return p, err
		}
	}
	if ask.Name {
		if p.Name, err = i.text(ctx, i.at+"/latest/meta-data/local-hostname", header); err != nil {
			return p, err
		}
		// A set of DHCP options may name several domains, of which the metadata tells all.
		p.Name, _, _ = strings.Cut(p.Name, " ")
	}
	if !ask.Address {
		return p, nil
	}
	text, err := i.text(ctx, i.at+"/latest/meta-data/local-ipv4", header)
	if err != nil {
		return p, err
	}
	if p.Address, err = netip.ParseAddr(text); err != nil {
		return p, fmt.Errorf("local-ipv4: %.60q is no address", text)
	}
	return p, nil
}

// isToken tells what may stand in a header.
func isToken(text []byte) bool {
	for _, c := range text {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return len(text) > 0 && len(text) <= longestToken
}
