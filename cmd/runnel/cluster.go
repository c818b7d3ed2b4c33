package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker"
)

// stateTimeout is how long a broker may take to tell its state. All are asked at once.
const stateTimeout = 4 * time.Second

func newCluster(env *environment) *cobra.Command {
	describe := &cobra.Command{
		Use:   "describe",
		Short: "Show the cluster's id and brokers: zones, versions, leases and roles",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := connect(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer client.Close()
			metadata, err := kadm.NewClient(client).BrokerMetadata(cmd.Context())
			if err != nil {
				return fmt.Errorf("read cluster metadata: %w", err)
			}
			return writeCluster(env, clusterOf(cmd.Context(), client, metadata))
		},
	}
	return clientFlags(env, parent("cluster", "Look at a cluster and change its settings", describe,
		newSettings(env, configured{kind: kmsg.ConfigResourceTypeBroker, hint: "log.retention.ms=86400000"})))
}

type clusterJSON struct {
	ClusterID  string       `json:"cluster_id"`
	Controller int32        `json:"controller"`
	Brokers    []brokerJSON `json:"brokers"`
}

// brokerJSON is what the cluster's metadata says of a broker, and what it says of itself: nothing, if it is no Runnel
// broker, or did not answer.
type brokerJSON struct {
	NodeID         int32      `json:"node_id"`
	Host           string     `json:"host"`
	Port           int32      `json:"port"`
	Zone           string     `json:"zone,omitempty"`
	Version        string     `json:"version,omitempty"`
	Epoch          *int64     `json:"epoch,omitempty"`              // of its registration
	LeaseRemaining *int64     `json:"lease_remaining_ms,omitempty"` // 0: it may have run out
	Roles          []roleJSON `json:"roles"`
	Error          string     `json:"error,omitempty"` // why it did not tell its state
}

type roleJSON struct {
	Name  string `json:"name"`
	Epoch int64  `json:"epoch"`
}

// clusterOf asks all brokers at once for their state.
func clusterOf(ctx context.Context, client *kgo.Client, m kadm.Metadata) clusterJSON {
	c := clusterJSON{ClusterID: m.Cluster, Controller: m.Controller, Brokers: make([]brokerJSON, len(m.Brokers))}
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	var asking sync.WaitGroup
	for i, b := range m.Brokers {
		row := &c.Brokers[i]
		*row = brokerJSON{NodeID: b.NodeID, Host: b.Host, Port: b.Port, Roles: []roleJSON{}}
		if b.Rack != nil {
			row.Zone = *b.Rack
		}
		asking.Go(func() {
			state, err := brokerState(ctx, client, b.NodeID)
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				row.Error = fmt.Sprintf("no answer within %s", stateTimeout)
			case err != nil:
				row.Error = reason(err)
			default:
				row.tell(state)
			}
		})
	}
	asking.Wait()
	slices.SortFunc(c.Brokers, func(a, b brokerJSON) int { return cmp.Compare(a.NodeID, b.NodeID) })
	return c
}

// brokerState asks a broker for its settings that tell of its state. Brokers of other software have none.
func brokerState(ctx context.Context, client *kgo.Client, id int32) (map[string]string, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(id))
	resource.ConfigNames = []string{broker.VersionSetting, broker.EpochSetting, broker.LeaseLeftSetting, broker.RolesSetting}
	req.Resources = append(req.Resources, resource)
	answer, err := client.Broker(int(id)).Request(ctx, req)
	if err != nil {
		return nil, err
	}
	state := make(map[string]string)
	for _, r := range answer.(*kmsg.DescribeConfigsResponse).Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return nil, err
		}
		for _, c := range r.Configs {
			if c.Value != nil {
				state[c.Name] = *c.Value
			}
		}
	}
	return state, nil
}

func (b *brokerJSON) tell(state map[string]string) {
	number := func(name string) *int64 {
		n, err := strconv.ParseInt(state[name], 10, 64)
		if err != nil {
			return nil
		}
		return &n
	}
	b.Version = state[broker.VersionSetting]
	b.Epoch, b.LeaseRemaining = number(broker.EpochSetting), number(broker.LeaseLeftSetting)
	for _, r := range broker.ParseRoles(state[broker.RolesSetting]) {
		b.Roles = append(b.Roles, roleJSON{r.Name, r.Epoch})
	}
}

func writeCluster(env *environment, c clusterJSON) error {
	if env.json {
		return writeJSON(env.out, c)
	}
	fmt.Fprintf(env.out, "cluster %s\n\n", cmp.Or(c.ClusterID, "without id"))
	t := newTable(env.out, "NODE", "ADDRESS", "ZONE", "VERSION", "EPOCH", "LEASE", "ROLES")
	for i := range c.Brokers {
		b := &c.Brokers[i]
		var roles []string
		if b.NodeID == c.Controller {
			roles = append(roles, "controller")
		}
		for _, r := range b.Roles {
			roles = append(roles, fmt.Sprintf("%s (epoch %d)", r.Name, r.Epoch))
		}
		if b.Error != "" {
			roles = append(roles, "unknown: "+b.Error)
		}
		epoch, lease := "", ""
		if b.Epoch != nil {
			epoch = strconv.FormatInt(*b.Epoch, 10)
		}
		if b.LeaseRemaining != nil {
			lease = fmt.Sprintf("%.1f s", float64(*b.LeaseRemaining)/1000)
		}
		t.row(b.NodeID, fmt.Sprintf("%s:%d", b.Host, b.Port), orDash(b.Zone), orDash(b.Version), orDash(epoch), orDash(lease),
			orDash(strings.Join(roles, ", ")))
	}
	return t.flush()
}
