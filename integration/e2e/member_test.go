package e2e

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/harness"
)

// member is a broker of a cluster whose brokers reach each other, with the ways between it and the rest.
type member struct {
	*harness.Broker
	peers    *harness.Link // on which the others reach it
	postgres *harness.Link // on which it reaches PostgreSQL
	bucket   *harness.Link // on which it reaches the S3 server
}

// startCluster starts brokers that reach each other, each in a zone of its own, and waits until they are ready.
func startCluster(t *testing.T, brokers int) []*member {
	t.Helper()
	return startClusterWith(t, brokers, nil)
}

// startClusterWith is startCluster with cluster defaults by their Kafka names.
func startClusterWith(t *testing.T, brokers int, set map[string]string) []*member {
	t.Helper()
	return startClusterOn(t, harness.NewStores(t), brokers, set)
}

// startClusterOn is startClusterWith on stores that the test knows.
func startClusterOn(t *testing.T, stores harness.Stores, brokers int, set map[string]string) []*member {
	t.Helper()
	secret := rand.Text()
	address, at := stores.MetastoreAddress(t)
	var all []*member
	for i := range brokers {
		listen := harness.FreeAddress(t)
		m := &member{
			peers: harness.NewLink(t, listen), postgres: harness.NewLink(t, address),
			bucket: harness.NewLink(t, strings.TrimPrefix(stores.Endpoint, "http://")),
		}
		own := stores
		own.Metastore, own.Endpoint = at(m.postgres.Addr), "http://"+m.bucket.Addr
		m.Broker = harness.Node(t, own, harness.NodeOptions{Set: set, Env: []string{
			"RUNNEL_PEER_SECRET=" + secret, "RUNNEL_PEER_LISTEN=" + listen, "RUNNEL_PEER_ADVERTISE=" + m.peers.Addr,
			fmt.Sprintf("RUNNEL_ZONE=zone-%c", 'a'+i),
		}})
		m.Start()
		all = append(all, m)
	}
	for _, m := range all {
		m.WaitReady()
	}
	return all
}
