package metastore_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

func TestConfigsReachEveryReplicaAndNewOnes(t *testing.T) {
	store := memory.New(memory.Options{})
	a, b := open(t, store, metastore.ReplicaOptions{}), open(t, store, metastore.ReplicaOptions{})
	all := metastore.ConfigResource{Kind: metastore.BrokerConfig}
	want := map[string]string{"log.retention.ms": "5"}
	before := b.ConfigsVersion()
	err := a.AlterConfigs(t.Context(), []metastore.ConfigChange{
		{ConfigResource: all, Set: want},
		{ConfigResource: metastore.ConfigResource{Kind: metastore.GroupConfig, Name: "g2"}, Set: map[string]string{"a": "1"}},
		{ConfigResource: metastore.ConfigResource{Kind: metastore.GroupConfig, Name: "g1"}, Set: map[string]string{"a": "1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Configs(all); !maps.Equal(got, want) {
		t.Errorf("whoever altered them sees %v", got)
	}
	if b.ConfigsVersion() != before {
		t.Error("the version moved without a change that was seen")
	}
	if err := b.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.SnapshotNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*metastore.Replica{"follower": b, "from a snapshot": open(t, store, metastore.ReplicaOptions{})} {
		if got := r.Configs(all); !maps.Equal(got, want) {
			t.Errorf("%s: %v", name, got)
		}
		if got := r.ConfigResources(metastore.GroupConfig); !slices.Equal(got, []string{"g1", "g2"}) {
			t.Errorf("%s: groups %v", name, got)
		}
		if r.ConfigsVersion() == before {
			t.Errorf("%s: the version did not move", name)
		}
	}
}

func TestTopicChangesDoNotMoveTheConfigsVersion(t *testing.T) {
	r := open(t, memory.New(memory.Options{}), metastore.ReplicaOptions{})
	before := r.ConfigsVersion()
	createTopic(t, r, "t", 1)
	if r.ConfigsVersion() != before {
		t.Error("moved")
	}
}
