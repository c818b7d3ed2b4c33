package settings

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// layer is where broker-level values come from, and the values by name.
type layer struct {
	source Source
	values map[string]string
}

// layers are those of a cluster, the strongest first.
func (c *Cluster) layers() [3]layer {
	return [3]layer{{FromBroker, c.broker}, {FromBrokers, c.brokers}, {FromCluster, c.static}}
}

// with is the cluster's settings after overrides of all brokers and of this one, which were validated when they were
// set. Those that do not fit their setting can only come from another version of Runnel and are left out.
func (c *Cluster) with(brokers, broker map[string]string) *Cluster {
	next := &Cluster{static: c.static, brokers: onlyDynamic(brokers), broker: onlyDynamic(broker)}
	next.overrides = make(map[string]string, len(next.static)+len(next.brokers)+len(next.broker))
	for _, l := range slices.Backward(layersOf(next)) {
		maps.Copy(next.overrides, l.values)
	}
	next.resolve()
	return next
}

func layersOf(c *Cluster) []layer {
	layers := c.layers()
	return layers[:]
}

func onlyDynamic(overrides map[string]string) map[string]string {
	fit := make(map[string]string, len(overrides))
	for name, value := range overrides {
		if s, ok := lookupCluster(name); ok && s.Dynamic && s.checkValue(value) == nil {
			fit[name] = value
		}
	}
	return fit
}

// ReadOnlyError is an attempt to change settings that only a broker's configuration sets.
type ReadOnlyError struct{ Names []string }

func (e *ReadOnlyError) Error() string {
	return fmt.Sprintf("Cannot update these configs dynamically: [%s]: they are set in the configuration of the brokers", strings.Join(e.Names, ", "))
}

// ValidateBroker tells whether broker-level settings may be overridden while brokers run: *ReadOnlyError, or as
// CheckCluster. readOnly are names of a broker that are no settings of the cluster.
func ValidateBroker(overrides map[string]string, readOnly func(name string) bool) error {
	var fixed []string
	for name := range overrides {
		if s, ok := lookupCluster(name); ok && !s.Dynamic || !ok && readOnly(name) {
			fixed = append(fixed, name)
		}
	}
	if len(fixed) > 0 {
		slices.Sort(fixed)
		return &ReadOnlyError{fixed}
	}
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if err := CheckCluster(name, overrides[name]); err != nil {
			return err
		}
	}
	return checkWayIn(overrides)
}

// checkWayIn refuses, as Kafka does, to let nobody in any more: nobody could take that back.
func checkWayIn(overrides map[string]string) error {
	most, ok := overrides[perIP]
	if !ok || parseLong(most) > 0 {
		return nil
	}
	limits, _ := parsePerAddress(overrides[perIPOverrides])
	for _, n := range limits {
		if n > 0 {
			return nil
		}
	}
	return &ValueError{Name: perIP, Value: most, Reason: "can be 0 only if " + perIPOverrides + " lets an address in"}
}

const (
	perIP          = "max.connections.per.ip"
	perIPOverrides = "max.connections.per.ip.overrides"
)

// IsList tells whether a broker-level setting is a list.
func IsList(name string) bool {
	s, ok := lookupCluster(name)
	return ok && s.Type == List
}
