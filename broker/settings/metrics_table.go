package settings

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// metricsTable holds the settings of a subscription to clients' metrics (KIP-714), sorted by name. Names, types,
// defaults and ranges are those of Kafka 4.3.
var metricsTable = []Definition{
	{Name: "interval.ms", Type: Int, Default: "300000", Check: interval{100, 3_600_000},
		Doc: "How often clients send their metrics."},
	{Name: "match", Type: List, Check: selectors{},
		Doc:  "Which clients are meant: name=regular expression, separated by commas, all of which must match in full; none is every client.",
		Note: "Expressions are those of RE2, which has no references back and does not look around."},
	{Name: "metrics", Type: List,
		Doc: "Which metrics clients send: prefixes of their names; * is all, an empty list is none."},
}

// The attributes of a client that a subscription can match.
const (
	ClientInstanceID      = "client_instance_id"
	ClientID              = "client_id"
	ClientSoftwareName    = "client_software_name"
	ClientSoftwareVersion = "client_software_version"
	ClientSourceAddress   = "client_source_address"
	ClientSourcePort      = "client_source_port"
)

var clientAttributes = []string{ClientID, ClientInstanceID, ClientSoftwareName, ClientSoftwareVersion, ClientSourceAddress, ClientSourcePort}

// AllMetrics as a prefix of a subscription stands for all metrics.
const AllMetrics = "*"

// ClientMetrics says which metrics which clients are to send, and how often.
type ClientMetrics struct {
	Interval time.Duration
	Metrics  []string                  // prefixes, or AllMetrics; none asks for nothing
	Match    map[string]*regexp.Regexp // by attribute, of the whole value; none match every client
}

// ClientMetricsOf resolves the overrides of a subscription. What does not fit is left out, as in Topic.apply; of a selector
// that is not understood it tells !ok: nobody knows whom the subscription is for.
func ClientMetricsOf(overrides map[string]string) (m ClientMetrics, ok bool) {
	value := func(name string) string {
		d, _ := lookup(metricsTable, name)
		if v, ok := overrides[name]; ok && (d.checkValue(v) == nil || d.Name == "match") {
			return v
		}
		return d.Default
	}
	match, err := parseSelectors(value("match"))
	return ClientMetrics{
		Interval: time.Duration(parseLong(value("interval.ms"))) * time.Millisecond,
		Metrics:  splitList(value("metrics")), Match: match,
	}, err == nil
}

// selectors takes what a subscription matches clients by.
type selectors struct{}

func (selectors) String() string {
	return "list of NAME=REGEX, each NAME one of " + strings.Join(clientAttributes, ", ")
}

func (selectors) check(value string) error {
	_, err := parseSelectors(value)
	return err
}

func parseSelectors(value string) (map[string]*regexp.Regexp, error) {
	words := splitList(value)
	match := make(map[string]*regexp.Regexp, len(words))
	for _, word := range words {
		name, text, ok := strings.Cut(word, "=")
		name, text = strings.TrimSpace(name), strings.TrimSpace(text)
		if !ok || text == "" || strings.Contains(text, "=") || !slices.Contains(clientAttributes, name) {
			return nil, fmt.Errorf("illegal client matching pattern %q: must be NAME=REGEX, with NAME one of %s", word, strings.Join(clientAttributes, ", "))
		}
		expression, err := regexp.Compile(`^(?:` + text + `)$`)
		if err != nil {
			return nil, fmt.Errorf("illegal client matching pattern %q: %w", word, err)
		}
		match[name] = expression
	}
	return match, nil
}

// interval takes whole numbers in a closed interval, with a *RangeError for others.
type interval struct{ min, max int64 }

func (i interval) String() string { return fmt.Sprintf("%d to %d", i.min, i.max) }

func (i interval) check(value string) error {
	if n := parseLong(value); n < i.min || n > i.max {
		return &RangeError{fmt.Sprintf("must be between %d and %d", i.min, i.max)}
	}
	return nil
}

// RangeError is a number that is one, and out of range, where Kafka makes the difference.
type RangeError struct{ text string }

func (e *RangeError) Error() string { return e.text }

// ValidateClientMetrics tells whether a subscription may have the overrides: as ValidateTopic, and *RangeError.
func ValidateClientMetrics(overrides map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		d, ok := lookup(metricsTable, name)
		if !ok {
			return &UnknownError{Name: name, Suggestion: Nearest(name, namesOf(metricsTable))}
		}
		if err := d.checkValue(overrides[name]); err != nil {
			return err
		}
	}
	return nil
}

// DescribeClientMetrics describes all settings of a subscription that has the overrides, by name.
func DescribeClientMetrics(overrides map[string]string) []Entry {
	entries := make([]Entry, 0, len(metricsTable))
	for i := range metricsTable {
		d := &metricsTable[i]
		e := Entry{Name: d.Name, Value: stringPointer(d.Default), Source: FromDefault, Default: true, Type: d.Type, Doc: d.document()}
		if v, ok := overrides[d.Name]; ok {
			e.Value, e.Source, e.Default = &v, FromClientMetrics, false
			e.Synonyms = []Synonym{{d.Name, &v, FromClientMetrics}}
		}
		entries = append(entries, e)
	}
	return entries
}
