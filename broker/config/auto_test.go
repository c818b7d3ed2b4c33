package config

import (
	"net"
	"strings"
	"testing"
)

func TestParseAuto(t *testing.T) {
	for text, want := range map[string]struct {
		auto  Auto
		is    bool
		wrong bool
	}{
		"auto":                 {Auto{}, true, false},
		"auto:9092":            {Auto{Port: "9092"}, true, false},
		"auto:ecs":             {Auto{Platform: "ecs"}, true, false},
		"auto:kubernetes:9092": {Auto{Platform: "kubernetes", Port: "9092"}, true, false},
		"auto:ec2:1":           {Auto{Platform: "ec2", Port: "1"}, true, false},
		"auto:name":            {Auto{Name: true}, true, false},
		"auto:ecs:name:9092":   {Auto{"ecs", true, "9092"}, true, false},
		"auto:9092:name":       {Auto{}, true, true},
		"auto:name:ecs":        {Auto{}, true, true},
		"auto:name:":           {Auto{}, true, true},
		"auto:":                {Auto{}, true, true},
		"auto:0":               {Auto{}, true, true},
		"auto:65536":           {Auto{}, true, true},
		"auto:gcp":             {Auto{}, true, true},
		"auto:9092:ecs":        {Auto{}, true, true},
		"auto:ecs:9092:1":      {Auto{}, true, true},
		"automat:9092":         {},
		"eu-1a":                {},
		"":                     {},
		"auto.example.com:1":   {},
	} {
		got, is, err := ParseAuto(text)
		if is != want.is || (err != nil) != want.wrong || err == nil && got != want.auto {
			t.Errorf("%q: %+v, %v, %v", text, got, is, err)
		}
	}
}

// TestWhatThePlatformSays is put where it was asked for, and nowhere else.
func TestWhatThePlatformSays(t *testing.T) {
	flags := inMemory()
	for name, text := range map[string]string{
		"zone": "auto", "client.zone": "auto:ec2", "peer.advertise": "auto", "peer.secret": "0123456789abcdef",
	} {
		flags[name] = text
	}
	src := Sources{Flags: flags, Listener: []string{
		"internal.listen=127.0.0.1:9092", "internal.protocol=PLAINTEXT", "internal.advertise=auto",
		"outer.listen=127.0.0.1:9094", "outer.protocol=PLAINTEXT", "outer.advertise=auto:19094", "outer.zone=auto",
		"public.listen=127.0.0.1:9095", "public.protocol=PLAINTEXT", "public.advertise=broker.example.com:9095", "public.zone=elsewhere",
	}}
	loaded := load(t, src)
	c := &loaded.Config
	asks := c.Unlocated()
	if len(asks) != 2 || asks[""] != (Ask{Zone: true, Address: true}) || asks["ec2"] != (Ask{Zone: true}) {
		t.Errorf("%+v", asks)
	}
	var b strings.Builder
	if err := loaded.WriteYAML(&b, true); err != nil || !strings.Contains(b.String(), "zone: auto ") || !strings.Contains(b.String(), "advertise: auto:19094") {
		t.Errorf("%v\n%s", err, b.String()) // what is shown is what was set
	}
	c.Locate("", "eu-1a", "fd00::7", "")
	c.Locate("ec2", "eu-1b", "", "")
	if c.Zone != "eu-1a" || c.Client.Zone != "eu-1b" || c.Listeners[1].Zone != "eu-1a" || c.Listeners[2].Zone != "elsewhere" || len(c.Unlocated()) != 0 {
		t.Errorf("%+v", c)
	}
	bound := &net.TCPAddr{IP: net.IPv4zero, Port: 7777}
	type address struct {
		host string
		port int32
	}
	for i, want := range []address{{"fd00::7", 7777}, {"fd00::7", 19094}, {"broker.example.com", 9095}} {
		host, port, err := c.Listeners[i].Advertised(bound)
		if got := (address{host, port}); err != nil || got != want {
			t.Errorf("listener %d: %+v, %v", i, got, err)
		}
	}
	if host, port, err := c.Peer.Advertised(bound); err != nil || host != "fd00::7" || port != 7777 {
		t.Errorf("peers: %s %d %v", host, port, err)
	}
}

// TestANameIsPutWhereANameWasAskedFor: clients are told a name that certificates can have, and brokers each other their addresses.
func TestANameIsPutWhereANameWasAskedFor(t *testing.T) {
	flags := inMemory()
	flags["advertise"], flags["peer.advertise"], flags["peer.secret"] = "auto:name:9093", "auto", "0123456789abcdef"
	c := &load(t, Sources{Flags: flags}).Config
	if asks := c.Unlocated(); len(asks) != 1 || asks[""] != (Ask{Address: true, Name: true}) {
		t.Errorf("%+v", asks)
	}
	c.Locate("", "", "10.0.2.61", "ip-10-0-2-61.eu-central-1.compute.internal")
	if got := c.Listeners[0].Advertise; got != "ip-10-0-2-61.eu-central-1.compute.internal:9093" {
		t.Errorf("clients are told %s", got)
	}
	if host, _, err := c.Peer.Advertised(&net.TCPAddr{Port: 9645}); err != nil || host != "10.0.2.61" {
		t.Errorf("brokers are told %s, %v", host, err)
	}
}

func TestTheOnlyListenerMayAskToo(t *testing.T) {
	flags := inMemory()
	flags["advertise"], flags["peer.advertise"] = "auto:9092", "auto" // there is no peer port without a secret: nobody is asked for it
	c := &load(t, Sources{Flags: flags}).Config
	if asks := c.Unlocated(); len(asks) != 1 || asks[""] != (Ask{Address: true}) {
		t.Errorf("%+v", asks)
	}
	c.Locate("", "", "10.0.0.7", "")
	if got := c.Listeners[0].Advertise; got != "10.0.0.7:9092" || c.Zone != "" {
		t.Errorf("%s, zone %q", got, c.Zone)
	}
}

func TestWrongAuto(t *testing.T) {
	for _, tt := range []struct{ key, text, want string }{
		{"zone", "auto:9092", "must be auto, auto:ecs, auto:kubernetes or auto:ec2, or the name of a zone"},
		{"zone", "auto:gcp", "or the name of a zone"},
		{"zone", "auto:name", "or the name of a zone"},
		{"client.zone", "auto:", "or the name of a zone"},
		{"advertise", "auto:gcp:9092", "the port may follow, as auto:9092"},
		{"peer.advertise", "auto:70000", "the port may follow"},
	} {
		flags := inMemory()
		flags[tt.key] = tt.text
		if _, err := Load(Sources{Flags: flags}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %s: %v", tt.key, tt.text, err)
		}
	}
}
