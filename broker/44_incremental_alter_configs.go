package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
)

// IncrementalAlterConfigs (44), versions 0 and 1 (KIP-339): sets, removes, and for lists extends or shortens settings of
// topics, of all brokers (the empty name), of the broker that is asked, of groups (KIP-848) and of subscriptions to
// clients' metrics (KIP-714); a resource changes as a whole or not at all. What is altered acts on every broker as soon as
// it hears of it, and on this one before the answer. APPEND and SUBTRACT work on the value as of the request's arrival; two of
// them at the same time on two brokers may lose one, as two SETs would.
//
// Settings of brokers that Kafka cannot change while it runs cannot be changed here either: INVALID_REQUEST. Names that
// are not known are refused: INVALID_CONFIG, where Kafka keeps them for brokers. Levels of loggers are in broker_logger.go.

const alterConfigsWait = 20 * time.Second

func (b *Broker) incrementalAlterConfigs(ctx context.Context, c *wire.Conn, req *kmsg.IncrementalAlterConfigsRequest) *kmsg.IncrementalAlterConfigsResponse {
	resp := respond[*kmsg.IncrementalAlterConfigsResponse](req)
	named := func(r kmsg.IncrementalAlterConfigsRequestResource) namedResource {
		return namedResource{r.ResourceType, r.ResourceName}
	}
	alterEach(ctx, b, c, req.Resources, named, func(ctx context.Context, asked kmsg.IncrementalAlterConfigsRequestResource) error {
		return b.alterConfigsBy(ctx, c, asked, req.ValidateOnly)
	}, func(r namedResource, err error) {
		answer := kmsg.NewIncrementalAlterConfigsResponseResource()
		answer.ResourceType, answer.ResourceName = r.kind, r.name
		answer.ErrorCode, answer.ErrorMessage = failure(err)
		resp.Resources = append(resp.Resources, answer)
	})
	return resp
}

type namedResource struct {
	kind kmsg.ConfigResourceType
	name string
}

// alterEach alters what a request names, in order, and nothing that it names twice.
func alterEach[R any](ctx context.Context, b *Broker, conn *wire.Conn, resources []R, named func(R) namedResource, alter func(context.Context, R) error, answer func(namedResource, error)) {
	ctx, cancel := context.WithTimeout(ctx, alterConfigsWait)
	defer cancel()
	b.refreshed(ctx) // topics and settings that another broker has just made or changed
	times := make(map[namedResource]int)
	for _, r := range resources {
		times[named(r)]++
	}
	for _, r := range resources {
		err := errResourceTwice
		if times[named(r)] == 1 {
			if err = b.mayConfigure(conn, acl.AlterConfigs, named(r).kind, named(r).name); err == nil {
				err = alter(ctx, r)
			}
		}
		answer(named(r), err)
	}
}

var errResourceTwice = refuse(kerr.InvalidRequest, "the request names the resource twice")

func (b *Broker) alterConfigsBy(ctx context.Context, conn *wire.Conn, asked kmsg.IncrementalAlterConfigsRequestResource, validateOnly bool) error {
	if err := checkOperations(asked.Configs); err != nil {
		return err
	}
	if asked.ResourceType == kmsg.ConfigResourceTypeBrokerLogger {
		return b.alterLoggers(conn, asked.ResourceName, asked.Configs, validateOnly)
	}
	c, err := b.configurable(asked.ResourceType, asked.ResourceName)
	if err != nil {
		return err
	}
	set, unset, err := c.changes(asked.Configs)
	if err != nil {
		return err
	}
	changed, err := c.alter(ctx, set, unset, validateOnly)
	if changed {
		b.changedConfigs(conn, "IncrementalAlterConfigs", c.resource, c.overrides, set, unset)
	}
	b.mayHaveChanged(conn, "IncrementalAlterConfigs", c.resource, err)
	return err
}

// checkOperations refuses what no resource takes.
func checkOperations(changes []kmsg.IncrementalAlterConfigsRequestResourceConfig) error {
	seen := make(map[string]bool)
	for _, c := range changes {
		switch {
		case seen[c.Name]:
			return refuse(kerr.InvalidRequest, fmt.Sprintf("the request names %s twice", c.Name))
		case c.Op < kmsg.IncrementalAlterConfigOpSet || c.Op > kmsg.IncrementalAlterConfigOpSubtract:
			return refuse(kerr.InvalidRequest, fmt.Sprintf("unknown operation %d", c.Op))
		case c.Op != kmsg.IncrementalAlterConfigOpDelete && c.Value == nil:
			return refuse(kerr.InvalidRequest, fmt.Sprintf("null is no value for %s", c.Name))
		}
		seen[c.Name] = true
	}
	return nil
}

// changes translates operations to what is to be set and removed. Removing what is not set, or not known, is nothing.
func (c *configurable) changes(operations []kmsg.IncrementalAlterConfigsRequestResourceConfig) (set map[string]string, unset []string, err error) {
	set = make(map[string]string)
	for _, o := range operations {
		switch {
		case o.Op == kmsg.IncrementalAlterConfigOpDelete:
			if _, ok := c.overrides[o.Name]; ok {
				unset = append(unset, o.Name)
			}
		case o.Op == kmsg.IncrementalAlterConfigOpSet:
			set[o.Name] = *o.Value
		case !c.isList(o.Name):
			return nil, nil, refuse(kerr.InvalidConfig, fmt.Sprintf("%s is not a list: it can be set or deleted", o.Name))
		default:
			set[o.Name] = alteredList(c.value(o.Name), *o.Value, o.Op == kmsg.IncrementalAlterConfigOpAppend)
		}
	}
	return set, unset, nil
}

// alter validates changes, and makes them unless that is all; it tells whether it made them.
func (c *configurable) alter(ctx context.Context, set map[string]string, unset []string, validateOnly bool) (changed bool, err error) {
	after := make(map[string]string, len(c.overrides)+len(set))
	maps.Copy(after, c.overrides)
	maps.Copy(after, set)
	for _, name := range unset {
		delete(after, name)
	}
	if err := c.validate(set, after); err != nil || validateOnly || len(set)+len(unset) == 0 {
		return false, err
	}
	err = c.store(ctx, set, unset)
	return err == nil, err
}

// alteredList adds words to a comma-separated list, where they are missing, or removes them.
func alteredList(list, words string, add bool) string {
	changed := listWords(list)
	for _, w := range listWords(words) {
		at := slices.Index(changed, w)
		switch {
		case add && at < 0:
			changed = append(changed, w)
		case !add && at >= 0:
			changed = slices.Delete(changed, at, at+1)
		}
	}
	return strings.Join(changed, ",")
}

func listWords(list string) []string {
	var words []string
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}
