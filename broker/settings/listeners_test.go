package settings

import (
	"net/netip"
	"slices"
	"testing"
)

func TestLimitsOfConnections(t *testing.T) {
	c, err := NewCluster(map[string]string{
		"listener.name.public.max.connections": "7", "listener.name.public.max.connection.creation.rate": "3",
		"max.connections.per.ip.overrides": "10.0.0.7:200, [2001:db8::1]:5,::ffff:10.0.0.8:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.ListenerConnections("PUBLIC") != 7 || c.ListenerConnectionRate("PUBLIC") != 3 || c.ListenerConnections("internal") != 0 || c.ListenerConnectionRate("internal") != unlimited {
		t.Errorf("limits of listeners: %d, %d", c.ListenerConnections("PUBLIC"), c.ListenerConnectionRate("PUBLIC"))
	}
	for address, want := range map[string]int{"10.0.0.7": 200, "2001:db8::1": 5, "10.0.0.8": 0} {
		if got, ok := c.PerIPOverrides[netip.MustParseAddr(address)]; !ok || got != want {
			t.Errorf("%s: %d, %v, want %d", address, got, ok, want)
		}
	}
	if names := entryNames(c.DescribeBroker(nil)); !slices.Contains(names, "listener.name.public.max.connections") {
		t.Error("what is set of a listener is not shown")
	}
	for name, value := range map[string]string{
		"listener.name.public.num.partitions": "1", "listener.name..max.connections": "1", "listener.name.PUBLIC.max.connections": "1",
		"listener.name.public.max.connections": "-1", "max.connections.per.ip": "-1",
		"max.connections.per.ip.overrides": "host:1",
	} {
		if CheckCluster(name, value) == nil {
			t.Errorf("%s=%s is taken", name, value)
		}
	}
	for _, value := range []string{"10.0.0.1", "10.0.0.1:x", "10.0.0.1:-1", "10.0.0.1:1,::ffff:10.0.0.1:2"} {
		if CheckCluster("max.connections.per.ip.overrides", value) == nil {
			t.Errorf("%q is taken", value)
		}
	}
}

// TestSomebodyIsLetIn: who forbids all connections could not take it back.
func TestSomebodyIsLetIn(t *testing.T) {
	none := func(string) bool { return false }
	for _, overrides := range []map[string]string{
		{"max.connections": "0"}, {"max.connections.per.ip": "0"},
		{"max.connections.per.ip": "0", "max.connections.per.ip.overrides": "10.0.0.1:0"},
	} {
		if err := ValidateBroker(overrides, none); err == nil {
			t.Errorf("%v is taken", overrides)
		}
	}
	if err := ValidateBroker(map[string]string{"max.connections.per.ip": "0", "max.connections.per.ip.overrides": "10.0.0.1:3"}, none); err != nil {
		t.Error(err)
	}
}
