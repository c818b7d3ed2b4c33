package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newCluster(env *environment) *cobra.Command {
	describe := &cobra.Command{
		Use:   "describe",
		Short: "Show the cluster's id and brokers",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := connectAdmin(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer admin.Close()
			metadata, err := admin.BrokerMetadata(cmd.Context())
			if err != nil {
				return fmt.Errorf("read cluster metadata: %w", err)
			}
			return writeCluster(env, metadata)
		},
	}
	return clientFlags(env, parent("cluster", "Look at a cluster", describe))
}

type clusterJSON struct {
	ClusterID  string       `json:"cluster_id"`
	Controller int32        `json:"controller"`
	Brokers    []brokerJSON `json:"brokers"`
}

type brokerJSON struct {
	NodeID int32  `json:"node_id"`
	Host   string `json:"host"`
	Port   int32  `json:"port"`
	Rack   string `json:"rack,omitempty"`
}

func writeCluster(env *environment, m kadm.Metadata) error {
	c := clusterJSON{ClusterID: m.Cluster, Controller: m.Controller, Brokers: []brokerJSON{}}
	for _, b := range m.Brokers {
		rack := ""
		if b.Rack != nil {
			rack = *b.Rack
		}
		c.Brokers = append(c.Brokers, brokerJSON{b.NodeID, b.Host, b.Port, rack})
	}
	if env.json {
		return writeJSON(env.out, c)
	}
	fmt.Fprintf(env.out, "cluster %s\n\n", cmp.Or(c.ClusterID, "without id"))
	t := newTable(env.out, "NODE", "ADDRESS", "RACK", "")
	for _, b := range c.Brokers {
		role := ""
		if b.NodeID == c.Controller {
			role = "controller"
		}
		t.row(b.NodeID, fmt.Sprintf("%s:%d", b.Host, b.Port), orDash(b.Rack), role)
	}
	return t.flush()
}
