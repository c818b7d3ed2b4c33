package cluster

import (
	"fmt"
	"testing"

	"github.com/runnel-io/runnel/metastore"
)

func brokers(n int) []metastore.Broker {
	live := make([]metastore.Broker, n)
	for i := range live {
		live[i].NodeID = metastore.NodeID(i)
	}
	return live
}

func TestNobodyOwnsAKeyIfNobodyLives(t *testing.T) {
	if _, ok := Owner("key", nil); ok {
		t.Error("an owner although nobody lives")
	}
}

func TestKeysSpreadEvenlyAndOnlyThoseOfALostBrokerMove(t *testing.T) {
	const keys = 10_000
	owned := make(map[metastore.NodeID]int)
	for i := range keys {
		key := fmt.Sprint("key-", i)
		before, _ := Owner(key, brokers(5))
		after, _ := Owner(key, brokers(4))
		owned[before.NodeID]++
		if before.NodeID != 4 && before.NodeID != after.NodeID {
			t.Fatalf("%s moved from %d to %d although broker 4 went", key, before.NodeID, after.NodeID)
		}
	}
	for id, n := range owned {
		if n < keys/5*8/10 || n > keys/5*12/10 {
			t.Errorf("broker %d owns %d of %d keys", id, n, keys)
		}
	}
}
