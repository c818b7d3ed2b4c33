package telemetry

import (
	"encoding/base64"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-io/runnel/broker/settings"
)

// defaultInterval is that of clients that no subscription is for. Kafka's is the same.
const defaultInterval = 5 * time.Minute

// Client is who asks or pushes.
type Client struct {
	Instance              uuid.UUID
	ID, Software, Version string
	Address, Port         string
}

// instanceText is an id as Kafka writes it.
func instanceText(id uuid.UUID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// attributeOf tells what a subscription can match.
var attributeOf = map[string]func(*Client) string{
	settings.ClientInstanceID:      func(c *Client) string { return instanceText(c.Instance) },
	settings.ClientID:              func(c *Client) string { return c.ID },
	settings.ClientSoftwareName:    func(c *Client) string { return c.Software },
	settings.ClientSoftwareVersion: func(c *Client) string { return c.Version },
	settings.ClientSourceAddress:   func(c *Client) string { return c.Address },
	settings.ClientSourcePort:      func(c *Client) string { return c.Port },
}

func matches(s *settings.ClientMetrics, c *Client) bool {
	for name, pattern := range s.Match {
		if attribute, ok := attributeOf[name]; !ok || !pattern.MatchString(attribute(c)) {
			return false
		}
	}
	return true
}

// Asked is what a client is asked for.
type Asked struct {
	Instance       uuid.UUID
	SubscriptionID int32
	Metrics        []string // prefixes of names; empty: none; "*": all
	Interval       time.Duration
	MaxBytes       int
}

// evaluate puts the subscriptions that match a client together. The id is the same from every broker that knows the same
// subscriptions, so that a client may push to another broker than it asked.
func evaluate(subscriptions []settings.ClientMetrics, c *Client) Asked {
	asked := Asked{Instance: c.Instance, Metrics: []string{}, Interval: defaultInterval}
	for i := range subscriptions {
		if s := &subscriptions[i]; matches(s, c) {
			asked.Metrics = append(asked.Metrics, s.Metrics...)
			asked.Interval = min(asked.Interval, s.Interval)
		}
	}
	slices.Sort(asked.Metrics)
	asked.Metrics = slices.Compact(asked.Metrics)
	asked.Metrics = slices.DeleteFunc(asked.Metrics, func(prefix string) bool { return prefix == "" }) // it would be all
	if slices.Contains(asked.Metrics, settings.AllMetrics) {
		asked.Metrics = []string{settings.AllMetrics}
	}
	text := strings.Join(asked.Metrics, ",") + strconv.FormatInt(asked.Interval.Milliseconds(), 10)
	sum := crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)) ^ crc32.ChecksumIEEE(c.Instance[:])
	asked.SubscriptionID = int32(sum)
	return asked
}

// wants tells whether a metric was asked for.
func (a *Asked) wants(name string) bool {
	return slices.ContainsFunc(a.Metrics, func(prefix string) bool { return prefix == settings.AllMetrics || strings.HasPrefix(name, prefix) })
}

// resolve makes subscriptions of resources. Those whose selectors cannot be understood ask for nothing: they were refused
// when they were set, so that they can only come from a later version.
func resolve(resources map[string]map[string]string) []settings.ClientMetrics {
	var subscriptions []settings.ClientMetrics
	for _, configs := range resources {
		if s, ok := settings.ClientMetricsOf(configs); ok {
			subscriptions = append(subscriptions, s)
		}
	}
	return subscriptions
}
