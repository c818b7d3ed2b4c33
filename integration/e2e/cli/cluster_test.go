package cli

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/harness"
)

type description struct {
	ClusterID string `json:"cluster_id"`
	Brokers   []struct {
		Port           int    `json:"port"`
		Zone           string `json:"zone"`
		Version        string `json:"version"`
		Epoch          int64  `json:"epoch"`
		LeaseRemaining *int64 `json:"lease_remaining_ms"`
		Roles          []struct {
			Name  string `json:"name"`
			Epoch int64  `json:"epoch"`
		} `json:"roles"`
		Error string `json:"error"`
	} `json:"brokers"`
}

func (s *shell) describeCluster() (d description) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.run("", "cluster describe --json")), &d); err != nil {
		s.t.Fatal(err)
	}
	return d
}

// TestClusterDescribe: brokers tell their zones, versions, leases and roles; one that hangs and one that is gone are shown
// as what they are, soon, as long as the cluster counts them in.
func TestClusterDescribe(t *testing.T) {
	stores, secret := harness.NewStores(t), rand.Text()
	var brokers []*harness.Broker
	for _, zone := range []string{"a", "b", "c"} {
		b := harness.Node(t, stores, harness.NodeOptions{Env: []string{
			"RUNNEL_ZONE=" + zone, "RUNNEL_PEER_SECRET=" + secret, "RUNNEL_PEER_LISTEN=" + harness.FreeAddress(t),
		}})
		b.Start()
		brokers = append(brokers, b)
	}
	for _, b := range brokers {
		b.WaitReady()
	}
	s := &shell{t: t, binary: harness.Binary(t), bootstrap: brokers[0].Addr}
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		d := s.describeCluster()
		sequencers := 0
		for _, b := range d.Brokers {
			for _, r := range b.Roles {
				if r.Name == "sequencer" && r.Epoch > 0 {
					sequencers++
				}
			}
		}
		if len(d.Brokers) == 3 && sequencers == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no three brokers, of which one sequences: %+v", d)
		}
	}
	d := s.describeCluster()
	for _, b := range d.Brokers {
		if b.Zone == "" || b.Version == "" || b.Epoch < 1 || b.LeaseRemaining == nil || *b.LeaseRemaining <= 0 || b.Error != "" {
			t.Errorf("%+v", b)
		}
	}
	table := s.run("", "cluster describe")
	for _, want := range []string{d.ClusterID, "NODE", "ZONE", "VERSION", "LEASE", " c  ", "controller", "sequencer (epoch ", brokers[2].Addr} {
		if !strings.Contains(table, want) {
			t.Errorf("missing %q in\n%s", want, table)
		}
	}

	for _, c := range []struct {
		name, want string
		fail       func(*harness.Broker)
		broker     *harness.Broker
	}{
		{"killed", "connection refused", (*harness.Broker).Kill, brokers[1]},
		{"paused", "no answer within", (*harness.Broker).Pause, brokers[2]},
	} {
		c.fail(c.broker)
		begun := time.Now()
		d := s.describeCluster()
		if took := time.Since(begun); took > 8*time.Second {
			t.Errorf("%s: it took %v", c.name, took)
		}
		found := false
		for _, b := range d.Brokers {
			if fmt.Sprintf("127.0.0.1:%d", b.Port) == c.broker.Addr {
				found = strings.Contains(b.Error, c.want) && b.Version == ""
			}
		}
		if !found {
			t.Errorf("%s: want %q in %+v", c.name, c.want, d)
		}
	}
	brokers[2].Resume()
}
