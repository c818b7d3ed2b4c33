// Package zone finds out in which availability zone a client is.
package zone

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Subnet is addresses that lie in one zone.
type Subnet struct {
	Prefix netip.Prefix
	Zone   string
}

// Clients knows what tells the zone of a client, beside the rack that a consumer names in Fetch. It does not change, and
// the zero value knows only of client ids.
type Clients struct {
	subnets []Subnet // the longest prefix first
	rest    string
}

// New makes a Clients. rest is the zone of clients of which nothing else is known, "" if that says nothing. Of subnets of the
// same prefix the first counts.
func New(subnets []Subnet, rest string) *Clients {
	c := &Clients{subnets: slices.Clone(subnets), rest: rest}
	for i := range c.subnets {
		c.subnets[i].Prefix = c.subnets[i].Prefix.Masked()
	}
	slices.SortStableFunc(c.subnets, func(a, b Subnet) int { return cmp.Compare(b.Prefix.Bits(), a.Prefix.Bits()) })
	return c
}

// Of returns the zone of a client with the client id, at the address of its connection, "" if it is unknown: by a tag of
// the client id, else by the subnet of the address, else that of the listener by
// which it came, else that of all the rest.
func (c *Clients) Of(clientID, address, listener string) string {
	return cmp.Or(c.Agreed(clientID, address), listener, c.rest)
}

// Agreed is Of without the last two: what every broker with the same subnets says of the client.
func (c *Clients) Agreed(clientID, address string) string {
	if zone := Tag(clientID); zone != "" {
		return zone
	}
	if len(c.subnets) == 0 {
		return ""
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	ip = ip.Unmap().WithZone("") // a prefix contains no address that has an IPv6 zone
	for i := range c.subnets {
		if c.subnets[i].Prefix.Contains(ip) {
			return c.subnets[i].Zone
		}
	}
	return ""
}

// tags are the keys by which a client id names a zone: ours, which is Bufstream's, too, and those that clients of other
// diskless brokers have: WarpStream, AutoMQ, Aiven's Inkless.
var tags = []string{"zone", "warpstream_az", "ws_az", "automq_az", "diskless_az", "inkless_az"}

// escapedTag is the one whose value is written as in a URL.
const escapedTag = "automq_az"

const (
	// separators stand between the tags of a client id, and between them and the rest of it: `app-1,zone=a`.
	separators = ",;& \t"
	// longest is how much of a client id is looked at, and may be thousands of times that of any real one.
	longest = 1024
	// longestZone is the longest name of a zone.
	longestZone = 255
)

// Tag returns the zone that a client id names, "" if it names none: the first key=value whose key is a known one and
// whose value could be a zone. Keys are compared as they are. A client id is whatever a client sends: what is not
// printable ASCII, or too long, is no zone.
func Tag(clientID string) string {
	if len(clientID) > longest {
		clientID = clientID[:longest+1] // a tag that ends at the cut might have gone on
	}
	cut := len(clientID) > longest
	for clientID != "" {
		field := clientID
		end := strings.IndexAny(clientID, separators)
		if end < 0 {
			if cut {
				return ""
			}
			clientID = ""
		} else {
			field, clientID = clientID[:end], clientID[end+1:]
		}
		key, zone, ok := strings.Cut(field, "=")
		if !ok || !slices.Contains(tags, key) {
			continue
		}
		if key == escapedTag {
			if plain, err := url.QueryUnescape(zone); err == nil {
				zone = plain
			}
		}
		if plausible(zone) {
			return zone
		}
	}
	return ""
}

func plausible(zone string) bool {
	if zone == "" || len(zone) > longestZone {
		return false
	}
	for i := range len(zone) {
		if zone[i] < ' ' || zone[i] > '~' {
			return false
		}
	}
	return true
}
