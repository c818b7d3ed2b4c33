package config

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Auto is a value that the platform gives when a broker starts: nothing here asks it.
type Auto struct {
	Platform string // one of Platforms; "": the one that there is
	Name     bool   // of an address, its name in DNS
	Port     string // to go with an address; "": that on which is listened
}

// Platforms are those that can be asked.
var Platforms = []string{"ecs", "kubernetes", "ec2"}

const auto = "auto"

var (
	errAuto     = errors.New("must be auto, or say whom to ask: auto:ecs, auto:kubernetes or auto:ec2; of an address the port may follow, as auto:9092, and before it name, as auto:name:9092, for the name that it has in DNS")
	errAutoZone = errors.New("must be auto, auto:ecs, auto:kubernetes or auto:ec2, or the name of a zone")
)

const autoName = "name"

// ParseAuto reads auto[:PLATFORM][:name][:PORT]. isAuto is false of what means something else.
func ParseAuto(s string) (a Auto, isAuto bool, err error) {
	rest, isAuto := strings.CutPrefix(s, auto)
	if !isAuto || rest != "" && rest[0] != ':' {
		return a, false, nil
	}
	parts := strings.Split(rest, ":")[1:]
	if rest == "" {
		parts = nil
	}
	if len(parts) > 0 && slices.Contains(Platforms, parts[0]) {
		a.Platform, parts = parts[0], parts[1:]
	}
	if len(parts) > 0 && parts[0] == autoName {
		a.Name, parts = true, parts[1:]
	}
	if len(parts) > 0 {
		if n, err := strconv.ParseUint(parts[0], 10, 16); err != nil || n == 0 {
			return a, true, errAuto
		}
		a.Port, parts = parts[0], parts[1:]
	}
	if len(parts) > 0 {
		return a, true, errAuto
	}
	return a, true, nil
}

func parseZone(s string) (value, error) {
	if a, isAuto, err := ParseAuto(s); isAuto && (err != nil || a.Name || a.Port != "") {
		return value{}, errAutoZone
	}
	return value{text: s}, nil
}

// autos are the values that may be auto.
func (c *Config) autos() (zones, addresses []*string) {
	zones = []*string{&c.Zone, &c.Client.Zone}
	for i := range c.Listeners {
		zones = append(zones, &c.Listeners[i].Zone)
		addresses = append(addresses, &c.Listeners[i].Advertise)
	}
	if c.Peer.Enabled() {
		addresses = append(addresses, &c.Peer.Advertise)
	}
	return zones, addresses
}

// Ask is what is to be asked of a platform.
type Ask struct{ Zone, Address, Name bool }

// Unlocated tells what has to be asked of which platforms before a broker can start. It is empty if nothing is auto.
func (c *Config) Unlocated() map[string]Ask {
	asks := make(map[string]Ask)
	zones, addresses := c.autos()
	for _, z := range zones {
		if a, isAuto, err := ParseAuto(*z); isAuto && err == nil {
			asks[a.Platform] = Ask{Zone: true}
		}
	}
	for _, address := range addresses {
		if a, isAuto, err := ParseAuto(*address); isAuto && err == nil {
			ask := asks[a.Platform]
			ask.Address, ask.Name = ask.Address || !a.Name, ask.Name || a.Name
			asks[a.Platform] = ask
		}
	}
	return asks
}

// Locate puts what a platform says into the values that are auto and ask it. An address, or its name where that was asked for, gets
// the port that goes with it; if none does, that on which is listened.
func (c *Config) Locate(platform, zone, host, name string) {
	zones, addresses := c.autos()
	for _, z := range zones {
		if a, isAuto, err := ParseAuto(*z); isAuto && err == nil && a.Platform == platform {
			*z = zone
		}
	}
	for _, address := range addresses {
		if a, isAuto, err := ParseAuto(*address); isAuto && err == nil && a.Platform == platform {
			if a.Name {
				*address = net.JoinHostPort(name, a.Port)
				continue
			}
			*address = net.JoinHostPort(host, a.Port)
		}
	}
}
