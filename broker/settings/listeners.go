package settings

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// listenerPrefix begins the names of settings of one listener, by its name in lower case: listener.name.public.max.connections.
const listenerPrefix = "listener.name."

// perListener are the broker-level settings that a listener can have for itself.
var perListener = []string{"max.connections", "max.connection.creation.rate"}

// listenerSetting is the definition of a setting of one listener.
func listenerSetting(name string) (clusterSetting, bool) {
	rest, ok := strings.CutPrefix(name, listenerPrefix)
	if !ok {
		return clusterSetting{}, false
	}
	for _, of := range perListener {
		if listener, ok := strings.CutSuffix(rest, "."+of); ok && listener != "" && listener == strings.ToLower(listener) && !strings.Contains(listener, ".") {
			d, _ := lookup(brokerTable, of)
			d.Name, d.Default, d.Doc = name, "", d.Doc+" Of one listener."
			return clusterSetting{Definition: d}, true
		}
	}
	return clusterSetting{}, false
}

// listenerInt is a setting of one listener, or none if it is not set.
func (c *Cluster) listenerInt(listener, name string, none int) int {
	if v, ok := c.overrides[listenerPrefix+strings.ToLower(listener)+"."+name]; ok {
		return int(parseLong(v))
	}
	return none
}

// ListenerConnections is the most connections of a listener, 0 if it has no limit of its own.
func (c *Cluster) ListenerConnections(listener string) int {
	return c.listenerInt(listener, "max.connections", 0)
}

// ListenerConnectionRate is how many connections a second a listener takes.
func (c *Cluster) ListenerConnectionRate(listener string) int {
	return c.listenerInt(listener, "max.connection.creation.rate", unlimited)
}

const unlimited = 1<<31 - 1

// perAddress takes address:number, comma-separated.
type perAddress struct{}

func (perAddress) String() string { return "address:number, ..." }

func (perAddress) check(value string) error {
	_, err := parsePerAddress(value)
	return err
}

func parsePerAddress(value string) (map[netip.Addr]int, error) {
	limits := make(map[netip.Addr]int)
	for _, word := range splitList(value) {
		at := strings.LastIndexByte(word, ':')
		if at < 0 {
			return nil, fmt.Errorf("%q is not address:number", word)
		}
		address, err := netip.ParseAddr(strings.Trim(word[:at], "[]"))
		n, err2 := strconv.ParseInt(word[at+1:], 10, 32)
		if err != nil || err2 != nil || n < 0 {
			return nil, fmt.Errorf("%q is not address:number", word)
		}
		if _, twice := limits[address.Unmap()]; twice {
			return nil, fmt.Errorf("%s stands twice", address)
		}
		limits[address.Unmap()] = int(n)
	}
	return limits, nil
}
