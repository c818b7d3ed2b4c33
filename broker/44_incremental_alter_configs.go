package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// IncrementalAlterConfigs (44), versions 0 and 1 (KIP-339): sets, removes, and for lists extends or shortens settings of
// topics; a resource changes as a whole or not at all. APPEND and SUBTRACT work on the value as this broker knows it;
// two of them at the same time on two brokers may lose one, as two SETs would.
//
// Brokers' settings come from their configuration and cannot be altered: INVALID_REQUEST.

func (b *Broker) incrementalAlterConfigs(ctx context.Context, _ *wire.Conn, req *kmsg.IncrementalAlterConfigsRequest) *kmsg.IncrementalAlterConfigsResponse {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	type resource struct {
		kind kmsg.ConfigResourceType
		name string
	}
	times := make(map[resource]int)
	for _, r := range req.Resources {
		times[resource{r.ResourceType, r.ResourceName}]++
	}
	resp := respond[*kmsg.IncrementalAlterConfigsResponse](req)
	for _, asked := range req.Resources {
		var err error
		if times[resource{asked.ResourceType, asked.ResourceName}] > 1 {
			err = refuse(kerr.InvalidRequest, "the request names the resource twice")
		} else {
			err = b.alterConfigs(ctx, asked, req.ValidateOnly)
		}
		answer := kmsg.NewIncrementalAlterConfigsResponseResource()
		answer.ResourceType, answer.ResourceName = asked.ResourceType, asked.ResourceName
		answer.ErrorCode, answer.ErrorMessage = failure(err)
		resp.Resources = append(resp.Resources, answer)
	}
	return resp
}

func (b *Broker) alterConfigs(ctx context.Context, asked kmsg.IncrementalAlterConfigsRequestResource, validateOnly bool) error {
	if asked.ResourceType != kmsg.ConfigResourceTypeTopic {
		return refuse(kerr.InvalidRequest, "only settings of topics can be altered; brokers have theirs from their configuration")
	}
	if asked.ResourceName == "" {
		return refuse(kerr.InvalidRequest, "default settings of all topics are the cluster's")
	}
	if err := settings.ValidTopicName(asked.ResourceName); err != nil {
		return refuse(kerr.InvalidTopicException, err.Error())
	}
	t, ok := b.Topics.Topic(asked.ResourceName)
	if !ok {
		return errNoSuchName
	}
	set, unset, err := b.configChanges(t, asked.Configs)
	if err == nil {
		err = settings.ValidateTopic(set)
	}
	if err != nil || validateOnly {
		return err
	}
	return b.Changes.AlterTopicConfigs(ctx, t.ID, set, unset)
}

func (b *Broker) configChanges(t *metastore.Topic, changes []kmsg.IncrementalAlterConfigsRequestResourceConfig) (set map[string]string, unset []string, err error) {
	set = make(map[string]string)
	seen := make(map[string]bool)
	for _, c := range changes {
		definition, known := settings.LookupTopic(c.Name)
		value := ""
		if c.Value != nil {
			value = *c.Value
		}
		switch {
		case seen[c.Name]:
			return nil, nil, refuse(kerr.InvalidRequest, fmt.Sprintf("the request names %s twice", c.Name))
		case !known && c.Op == kmsg.IncrementalAlterConfigOpDelete: // it is not set, and that is what is wanted
		case !known:
			return nil, nil, settings.ValidateTopic(map[string]string{c.Name: value})
		case c.Op == kmsg.IncrementalAlterConfigOpDelete:
			unset = append(unset, c.Name)
		case c.Value == nil:
			return nil, nil, refuse(kerr.InvalidRequest, fmt.Sprintf("null is no value for %s", c.Name))
		case c.Op == kmsg.IncrementalAlterConfigOpSet:
			set[c.Name] = value
		case c.Op != kmsg.IncrementalAlterConfigOpAppend && c.Op != kmsg.IncrementalAlterConfigOpSubtract:
			return nil, nil, refuse(kerr.InvalidRequest, fmt.Sprintf("unknown operation %d", c.Op))
		case definition.Type != settings.List:
			return nil, nil, refuse(kerr.InvalidConfig, fmt.Sprintf("%s is not a list: it can be set or deleted", c.Name))
		default:
			set[c.Name] = alteredList(b.topicSetting(t, c.Name), value, c.Op == kmsg.IncrementalAlterConfigOpAppend)
		}
		seen[c.Name] = true
	}
	return set, unset, nil
}

// topicSetting is the value in force.
func (b *Broker) topicSetting(t *metastore.Topic, name string) string {
	for _, e := range b.Settings.DescribeTopic(t.Configs) {
		if e.Name == name && e.Value != nil {
			return *e.Value
		}
	}
	return ""
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
