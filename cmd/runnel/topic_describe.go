package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newTopicDescribe(env *environment) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:               "describe NAME...",
		Short:             "Show partitions, offsets and settings of topics",
		Args:              args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeNames(env, 0, topicNames),
		RunE: func(cmd *cobra.Command, names []string) error {
			client, err := connect(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer client.Close()
			topics, err := describeTopics(cmd.Context(), client, names, all)
			return writeDescribed(env, topics, err)
		},
	}
	cmd.Flags().BoolVar(&all, "all-configs", false, "show settings that have their default, too")
	return cmd
}

type topicJSON struct {
	Name       string          `json:"name"`
	ID         string          `json:"id,omitempty"`
	Partitions []partitionJSON `json:"partitions"`
	Configs    []settingJSON   `json:"configs"`
}

type partitionJSON struct {
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"`
	Replicas  []int32 `json:"replicas"`
	ISR       []int32 `json:"isr"`
	Start     int64   `json:"start_offset"`
	End       int64   `json:"end_offset"`
	Error     string  `json:"error,omitempty"`
}

// describeTopics returns what can be told, and an error for each topic that cannot be described.
func describeTopics(ctx context.Context, client *kgo.Client, names []string, all bool) ([]topicJSON, error) {
	admin := kadm.NewClient(client)
	details, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return []topicJSON{}, fmt.Errorf("describe topics: %w", err)
	}
	var errs []error
	var known []string
	for _, d := range details.Sorted() {
		if d.Err != nil {
			errs = append(errs, withDetail("topic "+d.Topic, d.Err, ""))
			continue
		}
		known = append(known, d.Topic)
	}
	if len(known) == 0 {
		return []topicJSON{}, errors.Join(errs...)
	}
	start, err := admin.ListStartOffsets(ctx, known...)
	errs = append(errs, err)
	end, err := admin.ListEndOffsets(ctx, known...)
	errs = append(errs, err)
	described, err := describeSettings(ctx, client, kmsg.ConfigResourceTypeTopic, known...)
	errs = append(errs, err)
	configs := make(map[string][]settingJSON)
	for _, r := range described {
		configs[r.ResourceName] = listSettings(r, all)
	}
	topics := []topicJSON{}
	for _, name := range known {
		t := topicJSON{Name: name, ID: idText(details[name].ID), Configs: append([]settingJSON{}, configs[name]...)}
		for _, p := range details[name].Partitions.Sorted() {
			t.Partitions = append(t.Partitions, describePartition(p, start, end))
		}
		topics = append(topics, t)
	}
	return topics, errors.Join(errs...)
}

func describePartition(p kadm.PartitionDetail, start, end kadm.ListedOffsets) partitionJSON {
	j := partitionJSON{Partition: p.Partition, Leader: p.Leader, Replicas: p.Replicas, ISR: p.ISR, Start: -1, End: -1}
	first, ok1 := start.Lookup(p.Topic, p.Partition)
	last, ok2 := end.Lookup(p.Topic, p.Partition)
	if ok1 && first.Err == nil {
		j.Start = first.Offset
	}
	if ok2 && last.Err == nil {
		j.End = last.Offset
	}
	if err := errors.Join(p.Err, first.Err, last.Err); err != nil {
		j.Error = err.Error()
	}
	return j
}

func (t topicJSON) write(env *environment) error {
	records := int64(0)
	for _, p := range t.Partitions {
		records += max(p.End-p.Start, 0)
	}
	fmt.Fprintf(env.out, "topic %s, id %s, %s, about %s\n\n", t.Name, orDash(t.ID),
		plural(int64(len(t.Partitions)), "partition", "partitions"), plural(records, "record", "records"))
	partitions := newTable(env.out, "PARTITION", "LEADER", "REPLICAS", "IN SYNC", "START", "END", "")
	for _, p := range t.Partitions {
		partitions.row(p.Partition, p.Leader, joinInts(p.Replicas), joinInts(p.ISR), p.Start, p.End, p.Error)
	}
	if err := partitions.flush(); err != nil || len(t.Configs) == 0 {
		return err
	}
	fmt.Fprintln(env.out)
	return writeSettings(env, t.Configs)
}
