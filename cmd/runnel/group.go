package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newGroup(env *environment) *cobra.Command {
	return clientFlags(env, parent("group", "List, describe and delete consumer groups",
		newGroupList(env), newGroupDescribe(env), newGroupDelete(env),
		newSettings(env, configured{kind: kmsg.ConfigResourceTypeGroupConfig, noun: "group", names: groupNames, hint: "consumer.session.timeout.ms=60000"})))
}

func newGroupList(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List consumer groups",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := connectAdmin(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer admin.Close()
			listed, err := admin.ListGroups(cmd.Context())
			if err != nil {
				return fmt.Errorf("list groups: %w", err)
			}
			return writeGroupList(env, listed)
		},
	}
}

type listedGroupJSON struct {
	Group       string `json:"group"`
	State       string `json:"state"`
	Protocol    string `json:"protocol_type"`
	Coordinator int32  `json:"coordinator"`
}

func writeGroupList(env *environment, listed kadm.ListedGroups) error {
	groups := []listedGroupJSON{}
	for _, g := range listed.Sorted() {
		groups = append(groups, listedGroupJSON{g.Group, g.State, g.ProtocolType, g.Coordinator})
	}
	if env.json {
		return writeJSON(env.out, groups)
	}
	t := newTable(env.out, "GROUP", "STATE", "PROTOCOL", "COORDINATOR")
	for _, g := range groups {
		t.row(g.Group, orDash(g.State), orDash(g.Protocol), g.Coordinator)
	}
	return t.flush()
}

func newGroupDescribe(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:               "describe NAME...",
		Short:             "Show members, committed offsets and lag of consumer groups",
		Args:              args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeNames(env, 0, groupNames),
		RunE: func(cmd *cobra.Command, names []string) error {
			admin, err := connectAdmin(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer admin.Close()
			groups, err := describeGroups(cmd.Context(), admin, names)
			return writeDescribed(env, groups, err)
		},
	}
}

type groupJSON struct {
	Group       string           `json:"group"`
	Type        string           `json:"type"` // classic or consumer (KIP-848)
	State       string           `json:"state"`
	Protocol    string           `json:"protocol"` // by which partitions are assigned
	Coordinator int32            `json:"coordinator"`
	Lag         int64            `json:"lag"`
	Members     []memberJSON     `json:"members"`
	Partitions  []groupShareJSON `json:"partitions"`
}

type memberJSON struct {
	ID         string  `json:"id"`
	InstanceID *string `json:"instance_id,omitempty"`
	ClientID   string  `json:"client_id"`
	Host       string  `json:"host"`
}

// groupShareJSON is a group's place in one partition.
type groupShareJSON struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed_offset"` // -1 if nothing is committed
	End       int64  `json:"end_offset"`
	Lag       int64  `json:"lag"` // -1 if unknown
	Member    string `json:"member,omitempty"`
	Client    string `json:"client_id,omitempty"`
	Error     string `json:"error,omitempty"`
}

// describeGroups returns what can be told, and an error for each group that cannot be described. A group that does not
// exist is an error, although the protocol below version 6 answers that it is dead.
func describeGroups(ctx context.Context, admin *kadm.Client, names []string) ([]groupJSON, error) {
	lags, err := admin.Lag(ctx, names...)
	if err != nil {
		return []groupJSON{}, fmt.Errorf("describe groups: %w", err)
	}
	groups, errs := []groupJSON{}, []error{}
	for _, l := range lags.Sorted() {
		var g groupJSON
		var err error
		if l.State == "Dead" || errors.Is(l.DescribeErr, kerr.GroupIDNotFound) {
			g, err = describeConsumerGroup(ctx, admin, l.Group)
		} else if err = errors.Join(l.DescribeErr, l.FetchErr); err == nil {
			g = describeGroup(l)
		}
		if err != nil {
			errs = append(errs, withDetail("group "+l.Group, err, ""))
			continue
		}
		groups = append(groups, g)
	}
	return groups, errors.Join(errs...)
}

func describeGroup(l kadm.DescribedGroupLag) groupJSON {
	g := groupJSON{Group: l.Group, Type: "classic", State: l.State, Protocol: l.Protocol, Coordinator: l.Coordinator.NodeID, Lag: l.Lag.Total(),
		Members: []memberJSON{}, Partitions: []groupShareJSON{}}
	for _, m := range l.Members {
		g.Members = append(g.Members, memberJSON{m.MemberID, m.InstanceID, m.ClientID, m.ClientHost})
	}
	for _, p := range l.Lag.Sorted() {
		share := groupShareJSON{Topic: p.Topic, Partition: p.Partition, Committed: p.Commit.At, End: p.End.Offset, Lag: p.Lag}
		if p.Member != nil {
			share.Member, share.Client = p.Member.MemberID, p.Member.ClientID
		}
		if p.Err != nil {
			share.Error = p.Err.Error()
		}
		g.Partitions = append(g.Partitions, share)
	}
	return g
}

func (g groupJSON) write(env *environment) error {
	fmt.Fprintf(env.out, "group %s, %s, %s, %s, lag %s, coordinator %d\n\n", g.Group, g.Type, g.State,
		plural(int64(len(g.Members)), "member", "members"), grouped(g.Lag), g.Coordinator)
	t := newTable(env.out, "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "CLIENT", "MEMBER")
	for _, p := range g.Partitions {
		t.row(p.Topic, p.Partition, offsetText(p.Committed), offsetText(p.End), offsetText(p.Lag), orDash(p.Client), orDash(p.Member+p.Error))
	}
	return t.flush()
}

// offsetText shows a number that is -1 when there is none.
func offsetText(n int64) string {
	if n < 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

func newGroupDelete(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:               "delete NAME...",
		Short:             "Delete consumer groups with their committed offsets",
		Args:              args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeNames(env, 0, groupNames),
		RunE: func(cmd *cobra.Command, names []string) error {
			admin, err := connectAdmin(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer admin.Close()
			answers, err := admin.DeleteGroups(cmd.Context(), names...)
			if err != nil && len(answers) == 0 {
				return fmt.Errorf("delete groups: %w", err)
			}
			errs := []error{}
			deleted := []string{}
			for _, a := range answers.Sorted() {
				if a.Err != nil {
					errs = append(errs, withDetail("group "+a.Group, a.Err, a.ErrMessage))
					continue
				}
				deleted = append(deleted, a.Group)
			}
			return errors.Join(append(errs, writeDeleted(env, "group", deleted))...)
		},
	}
}
