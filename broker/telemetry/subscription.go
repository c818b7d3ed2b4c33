package telemetry

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The configs of a subscription, by Kafka's names.
const (
	metricsConfig  = "metrics"     // list of prefixes of metrics' names; "*" is all
	intervalConfig = "interval.ms" // between pushes of a client
	matchConfig    = "match"       // list of selectors, name=pattern; all must match
)

const (
	allMetrics      = "*"
	defaultInterval = 5 * time.Minute
	minInterval     = 100 * time.Millisecond
	maxInterval     = time.Hour
)

// ErrInvalidSubscription: configs that no subscription can have.
var ErrInvalidSubscription = errors.New("invalid client metrics subscription")

// Subscription asks the clients that match for metrics.
type Subscription struct {
	Name     string
	Metrics  []string
	Interval time.Duration
	Match    map[string]*regexp.Regexp // by selector; none match every client
}

// Client is who asks or pushes.
type Client struct {
	Instance              uuid.UUID
	ID, Software, Version string
	Address, Port         string
}

// instanceText is an id as Kafka writes it.
func instanceText(id uuid.UUID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// selectors are what a Match can look at.
var selectors = map[string]func(*Client) string{
	"client_instance_id":      func(c *Client) string { return instanceText(c.Instance) },
	"client_id":               func(c *Client) string { return c.ID },
	"client_software_name":    func(c *Client) string { return c.Software },
	"client_software_version": func(c *Client) string { return c.Version },
	"client_source_address":   func(c *Client) string { return c.Address },
	"client_source_port":      func(c *Client) string { return c.Port },
}

// Parse makes a subscription of the configs of a CLIENT_METRICS resource. ErrInvalidSubscription, with a text.
func Parse(name string, configs map[string]string) (Subscription, error) {
	s := Subscription{Name: name, Interval: defaultInterval}
	if name == "" {
		return s, fmt.Errorf("%w: it needs a name", ErrInvalidSubscription)
	}
	for _, config := range slices.Sorted(maps.Keys(configs)) {
		value := configs[config]
		switch config {
		case metricsConfig:
			s.Metrics = items(value)
		case intervalConfig:
			ms, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32)
			s.Interval = time.Duration(ms) * time.Millisecond
			if err != nil || s.Interval < minInterval || s.Interval > maxInterval {
				return s, fmt.Errorf("%w: %s must be %d to %d, not %q", ErrInvalidSubscription, config, minInterval.Milliseconds(), maxInterval.Milliseconds(), value)
			}
		case matchConfig:
			var err error
			if s.Match, err = parseMatch(items(value)); err != nil {
				return s, err
			}
		default:
			return s, fmt.Errorf("%w: there is no config %q", ErrInvalidSubscription, config)
		}
	}
	return s, nil
}

func parseMatch(texts []string) (map[string]*regexp.Regexp, error) {
	match := make(map[string]*regexp.Regexp)
	for _, text := range texts {
		name, pattern, ok := strings.Cut(text, "=")
		name, pattern = strings.TrimSpace(name), strings.TrimSpace(pattern)
		if selectors[name] == nil || !ok || pattern == "" || strings.Contains(pattern, "=") {
			return nil, fmt.Errorf("%w: %q is no selector and pattern", ErrInvalidSubscription, text)
		}
		compiled, err := regexp.Compile("^(?:" + pattern + ")$")
		if err != nil {
			return nil, fmt.Errorf("%w: pattern of %q: %w", ErrInvalidSubscription, text, err)
		}
		match[name] = compiled
	}
	return match, nil
}

func items(value string) (found []string) {
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			found = append(found, item)
		}
	}
	return found
}

func (s *Subscription) matches(c *Client) bool {
	for name, pattern := range s.Match {
		if !pattern.MatchString(selectors[name](c)) {
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
func evaluate(subscriptions []Subscription, c *Client) Asked {
	asked := Asked{Instance: c.Instance, Metrics: []string{}, Interval: defaultInterval}
	for i := range subscriptions {
		if s := &subscriptions[i]; s.matches(c) {
			asked.Metrics = append(asked.Metrics, s.Metrics...)
			asked.Interval = min(asked.Interval, s.Interval)
		}
	}
	slices.Sort(asked.Metrics)
	asked.Metrics = slices.Compact(asked.Metrics)
	if slices.Contains(asked.Metrics, allMetrics) {
		asked.Metrics = []string{allMetrics}
	}
	text := strings.Join(asked.Metrics, ",") + strconv.FormatInt(asked.Interval.Milliseconds(), 10)
	sum := crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)) ^ crc32.ChecksumIEEE(c.Instance[:])
	asked.SubscriptionID = int32(sum)
	return asked
}

// wants tells whether a metric was asked for.
func (a *Asked) wants(name string) bool {
	return slices.ContainsFunc(a.Metrics, func(prefix string) bool { return prefix == allMetrics || strings.HasPrefix(name, prefix) })
}

// parseAll makes subscriptions of resources, by name. Those that cannot be parsed ask for nothing: they were refused when
// they were set, so that they can only come from a later version.
func parseAll(resources map[string]map[string]string) []Subscription {
	var subscriptions []Subscription
	for name, configs := range resources {
		if s, err := Parse(name, configs); err == nil {
			subscriptions = append(subscriptions, s)
		}
	}
	slices.SortFunc(subscriptions, func(a, b Subscription) int { return cmp.Compare(a.Name, b.Name) })
	return subscriptions
}
