package zone

import (
	"cmp"
	"net/netip"
	"strings"
	"testing"
)

func TestTag(t *testing.T) {
	for clientID, want := range map[string]string{
		"":                             "",
		"app":                          "",
		"zone=a":                       "a",
		"app-1,zone=eu-central-1a":     "eu-central-1a",
		"app-1;zone=eu-central-1a":     "eu-central-1a",
		"app-1 zone=a":                 "a",
		"a=b,zone=z,c=d":               "z",
		"a=b, zone=z, c=d":             "z",
		"broker_count=1;zone=z":        "z",
		"zone=a,zone=b":                "a",
		"zone=,zone=b":                 "b",
		"zone=":                        "",
		"zone":                         "",
		"=a":                           "",
		"ozone=a":                      "",
		"my-zone=a":                    "",
		"Zone=a":                       "",
		"zone=germanywestcentral/1":    "germanywestcentral/1",
		"zone=a=b":                     "a=b",
		"ws_az=us-east-1a":             "us-east-1a",
		"warpstream_az=us-east-1a,x=y": "us-east-1a",
		"diskless_az=use1-az1":         "use1-az1",
		"loadtest;inkless_az=az1":      "az1",
		"automq_type=producer&automq_role=p&automq_az=us-east-1a&p-1": "us-east-1a",
		"automq_az=westeurope%2F1":                                    "westeurope/1",
		"automq_az=%zz":                                               "%zz",
		"zone=westeurope%2F1":                                         "westeurope%2F1",
		"zone=\x00":                                                   "",
		"zone=\xff\xfe":                                               "",
		"zone=é":                                                      "",
		"automq_az=%00":                                               "",
		"zone=a\nzone=b":                                              "",
		"zone=" + strings.Repeat("z", longestZone):                    strings.Repeat("z", longestZone),
		"zone=" + strings.Repeat("z", longestZone+1):                  "",
		strings.Repeat("x", longest-7) + ",zone=a":                    "a",
		strings.Repeat("x", longest-8) + ",zone=ab":                   "ab",
		strings.Repeat("x", longest-7) + ",zone=ab":                   "",
		strings.Repeat("x", longest-8) + ",zone=a,more":               "a",
		strings.Repeat(",", 32<<10) + "zone=a":                        "",
	} {
		if got := Tag(clientID); got != want {
			t.Errorf("%.60q: %q, want %q", clientID, got, want)
		}
	}
}

func FuzzTag(f *testing.F) {
	f.Add("app,zone=a")
	f.Add("automq_az=%2")
	f.Fuzz(func(t *testing.T, clientID string) {
		zone := Tag(clientID)
		if zone != "" && !plausible(zone) {
			t.Errorf("%q is no zone", zone)
		}
	})
}

func TestClients(t *testing.T) {
	subnet := func(prefix, zone string) Subnet { return Subnet{netip.MustParsePrefix(prefix), zone} }
	c := New([]Subnet{
		subnet("10.0.0.0/8", "far"), subnet("10.0.1.0/24", "a"), subnet("10.0.2.7/24", "b"), subnet("10.0.2.128/25", "c"),
		subnet("fd00::/64", "six"), subnet("fe80::/10", "link"), subnet("10.0.1.0/24", "twice"),
	}, "l")
	for _, test := range []struct{ name, clientID, address, agreed, of string }{
		{"nothing known", "app", "192.168.0.1", "", "l"},
		{"subnet", "app", "10.0.1.200", "a", "a"},
		{"host bits of a prefix", "app", "10.0.2.8", "b", "b"},
		{"longest prefix", "app", "10.0.2.200", "c", "c"},
		{"shortest prefix", "app", "10.9.9.9", "far", "far"},
		{"IPv6", "app", "fd00::1", "six", "six"},
		{"IPv6 with its zone", "app", "fe80::1%eth0", "link", "link"},
		{"IPv4 in IPv6", "app", "::ffff:10.0.1.1", "a", "a"},
		{"tag before subnet", "app,zone=t", "10.0.1.1", "t", "t"},
		{"empty tag", "app,zone=", "10.0.1.1", "a", "a"},
		{"no address", "app", "pipe", "", "l"},
		{"none at all", "", "", "", "l"},
	} {
		if got := c.Agreed(test.clientID, test.address); got != test.agreed {
			t.Errorf("%s: all brokers agree on %q, want %q", test.name, got, test.agreed)
		}
		if got := c.Of(test.clientID, test.address, ""); got != test.of {
			t.Errorf("%s: zone %q, want %q", test.name, got, test.of)
		}
		if got, want := c.Of(test.clientID, test.address, "own"), cmp.Or(test.agreed, "own"); got != want {
			t.Errorf("%s: zone %q by a listener that has one, want %q", test.name, got, want)
		}
	}
	if got := new(Clients).Of("app", "10.0.1.1", ""); got != "" {
		t.Errorf("without any setting: %q", got)
	}
}
