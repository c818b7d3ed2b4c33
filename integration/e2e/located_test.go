package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/harness"
)

// TestABrokerIsToldByItsPlatformWhereItIs: one configuration for all brokers, and each tells clients its own zone and address. The
// task's metadata answers late, as it does when a task has just begun.
func TestABrokerIsToldByItsPlatformWhereItIs(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v4/me/task" || asked.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"LaunchType": "FARGATE", "AvailabilityZone": "eu-central-1b", "Containers": [
			{"Name": "runnel", "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.2.61"]}]}]}`)
	}))
	t.Cleanup(metadata.Close)
	stores := harness.NewStores(t)
	b := harness.Node(t, stores, harness.NodeOptions{Env: []string{
		"ECS_CONTAINER_METADATA_URI_V4=" + metadata.URL + "/v4/me", "RUNNEL_ZONE=auto", "RUNNEL_ADVERTISE=auto:19092",
		"RUNNEL_PEER_ADVERTISE=auto", "RUNNEL_PEER_SECRET=of these brokers alone", "RUNNEL_PEER_LISTEN=127.0.0.1:0",
	}})
	b.Start()
	b.WaitReady()
	// The address is that of no broker here: one that is asked and told of says so, all the same.
	c, err := harness.Client(t, kgo.SeedBrokers(b.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answer, err := kmsg.NewPtrMetadataRequest().RequestWith(harness.Soon(t), c.SeedBrokers()[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Brokers) != 1 {
		t.Fatalf("%+v", answer.Brokers)
	}
	if got := answer.Brokers[0]; got.Host != "10.0.2.61" || got.Port != 19092 || got.Rack == nil || *got.Rack != "eu-central-1b" {
		t.Errorf("%+v", got)
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}

	// Without a platform it says what to do, and does not start.
	began := time.Now()
	nowhere := stores.Command(t, "broker")
	nowhere.Env = append(nowhere.Env, "RUNNEL_ZONE=auto:ecs", "RUNNEL_LISTEN="+net.JoinHostPort("127.0.0.1", "0"), "RUNNEL_ADMIN_LISTEN=")
	out, err := nowhere.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "ask ecs where this broker is: ECS_CONTAINER_METADATA_URI_V4 is not set") || !strings.Contains(string(out), "set zone and advertise to their values") {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("it took %s to say so", time.Since(began))
}
