package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newTopic(env *environment) *cobra.Command {
	return clientFlags(env, parent("topic", "Create, list, describe, configure and delete topics",
		newTopicCreate(env), newTopicList(env), newTopicDescribe(env), newTopicDelete(env), newTopicAddPartitions(env),
		newSettings(env, configured{kind: kmsg.ConfigResourceTypeTopic, noun: "topic", names: topicNames, hint: "retention.ms=86400000"})))
}

func newTopicCreate(env *environment) *cobra.Command {
	var (
		partitions  int32
		replication int16
		configs     []string
		ifNotExists bool
		checkOnly   bool
	)
	cmd := &cobra.Command{
		Use:     "create NAME...",
		Short:   "Create topics",
		Example: "  runnel topic create orders --partitions 6 --config retention.ms=86400000",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			settings, err := parseConfigs(configs)
			if err != nil {
				return err
			}
			admin, err := connectAdmin(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer admin.Close()
			create := admin.CreateTopics
			if checkOnly {
				create = admin.ValidateCreateTopics
			}
			answers, err := create(cmd.Context(), partitions, replication, settings, names...)
			if err != nil {
				return fmt.Errorf("create topics: %w", err)
			}
			return writeCreated(env, answers, ifNotExists, checkOnly)
		},
	}
	flags := cmd.Flags()
	flags.Int32VarP(&partitions, "partitions", "p", -1, "number of partitions; -1 is the cluster's default")
	flags.Int16Var(&replication, "replication-factor", -1, "replication factor; -1 is the cluster's default")
	flags.StringArrayVar(&configs, "config", nil, "topic setting as `name=value`; may be repeated")
	flags.BoolVar(&ifNotExists, "if-not-exists", false, "do not fail for topics that exist")
	flags.BoolVar(&checkOnly, "validate-only", false, "ask whether it would work and change nothing")
	return cmd
}

// parseConfigs reads name=value pairs.
func parseConfigs(pairs []string) (map[string]*string, error) {
	configs := make(map[string]*string)
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usagef("--config %q is not of the form name=value", pair)
		}
		configs[name] = &value
	}
	return configs, nil
}

type createdJSON struct {
	Name       string `json:"name"`
	ID         string `json:"id,omitempty"`
	Partitions int32  `json:"partitions"`
	Replicas   int16  `json:"replicas"`
	Existed    bool   `json:"existed,omitempty"`
}

func writeCreated(env *environment, answers kadm.CreateTopicResponses, ifNotExists, checkOnly bool) error {
	var errs []error
	created := []createdJSON{}
	for _, a := range answers.Sorted() {
		existed := errors.Is(a.Err, kerr.TopicAlreadyExists) && ifNotExists
		if a.Err != nil && !existed {
			errs = append(errs, withDetail("topic "+a.Topic, a.Err, a.ErrMessage))
			continue
		}
		created = append(created, createdJSON{a.Topic, idText(a.ID), a.NumPartitions, a.ReplicationFactor, existed})
	}
	if env.json {
		return errors.Join(append(errs, writeJSON(env.out, created))...)
	}
	for _, c := range created {
		switch {
		case c.Existed:
			fmt.Fprintf(env.out, "topic %s exists\n", c.Name)
		case checkOnly:
			fmt.Fprintf(env.out, "topic %s could be created\n", c.Name)
		default:
			fmt.Fprintf(env.out, "created topic %s with %s\n", c.Name, plural(int64(c.Partitions), "partition", "partitions"))
		}
	}
	return errors.Join(errs...)
}

// idText is a topic id as Kafka's tools write it, "" if the broker has none.
func idText(id kadm.TopicID) string {
	if id == (kadm.TopicID{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

func newTopicList(env *environment) *cobra.Command {
	var internal bool
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List topics",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := connectAdmin(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer admin.Close()
			list := admin.ListTopics
			if internal {
				list = admin.ListTopicsWithInternal
			}
			details, err := list(cmd.Context())
			if err != nil {
				return fmt.Errorf("list topics: %w", err)
			}
			return writeTopicList(env, details)
		},
	}
	cmd.Flags().BoolVar(&internal, "internal", false, "list Kafka's internal topics, too")
	return cmd
}

type listedJSON struct {
	Name       string `json:"name"`
	ID         string `json:"id,omitempty"`
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"`
	Internal   bool   `json:"internal,omitempty"`
}

func writeTopicList(env *environment, details kadm.TopicDetails) error {
	topics := []listedJSON{}
	for _, d := range details.Sorted() {
		topics = append(topics, listedJSON{d.Topic, idText(d.ID), len(d.Partitions), d.Partitions.NumReplicas(), d.IsInternal})
	}
	if env.json {
		return writeJSON(env.out, topics)
	}
	t := newTable(env.out, "TOPIC", "PARTITIONS", "REPLICAS")
	for _, topic := range topics {
		t.row(topic.Name, topic.Partitions, topic.Replicas)
	}
	return t.flush()
}

func newTopicDelete(env *environment) *cobra.Command {
	var ifExists bool
	cmd := &cobra.Command{
		Use:               "delete NAME...",
		Short:             "Delete topics with all their records",
		Args:              args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeNames(env, 0, topicNames),
		RunE: func(cmd *cobra.Command, names []string) error {
			admin, err := connectAdmin(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer admin.Close()
			answers, err := admin.DeleteTopics(cmd.Context(), names...)
			if err != nil {
				return fmt.Errorf("delete topics: %w", err)
			}
			var errs []error
			deleted := []string{}
			for _, a := range answers.Sorted() {
				if ifExists && errors.Is(a.Err, kerr.UnknownTopicOrPartition) {
					if !env.json {
						fmt.Fprintf(env.out, "topic %s does not exist\n", a.Topic)
					}
				} else if a.Err != nil {
					errs = append(errs, withDetail("topic "+a.Topic, a.Err, a.ErrMessage))
				} else {
					deleted = append(deleted, a.Topic)
				}
			}
			return errors.Join(append(errs, writeDeleted(env, "topic", deleted))...)
		},
	}
	cmd.Flags().BoolVar(&ifExists, "if-exists", false, "do not fail for topics that do not exist")
	return cmd
}

func writeDeleted(env *environment, kind string, names []string) error {
	slices.Sort(names)
	if env.json {
		return writeJSON(env.out, map[string][]string{"deleted": names})
	}
	for _, name := range names {
		fmt.Fprintf(env.out, "deleted %s %s\n", kind, name)
	}
	return nil
}

func newTopicAddPartitions(env *environment) *cobra.Command {
	var total int
	cmd := &cobra.Command{
		Use:   "add-partitions NAME --total N",
		Short: "Raise a topic's number of partitions",
		Long: "Raise a topic's number of partitions. Records of one key then go to another partition than before, so that the\n" +
			"order between old and new records of a key is lost. The number can never be lowered.",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: completeNames(env, 1, topicNames),
		RunE: func(cmd *cobra.Command, names []string) error {
			if total < 1 {
				return usagef("--total must say how many partitions the topic will have")
			}
			admin, err := connectAdmin(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer admin.Close()
			answers, err := admin.UpdatePartitions(cmd.Context(), total, names...)
			if err != nil {
				return fmt.Errorf("add partitions: %w", err)
			}
			for _, a := range answers {
				if a.Err != nil {
					return withDetail("topic "+a.Topic, a.Err, a.ErrMessage)
				}
			}
			if env.json {
				return writeJSON(env.out, map[string]any{"name": names[0], "partitions": total})
			}
			fmt.Fprintf(env.out, "topic %s has %d partitions\n", names[0], total)
			return nil
		},
	}
	cmd.Flags().IntVar(&total, "total", 0, "number of partitions that the topic will have")
	return cmd
}
