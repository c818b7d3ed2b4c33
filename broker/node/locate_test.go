package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/place"
)

func TestPlatformsAreThoseThatCanBeAsked(t *testing.T) {
	if want := []string{place.ECS, place.Kubernetes, place.EC2}; !slices.Equal(config.Platforms, want) {
		t.Errorf("%q, want %q", config.Platforms, want)
	}
}

func TestABrokerLearnsWhereItIs(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprint(w, `{"AvailabilityZone": "eu-1b", "Containers": [{"Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.2.61"]}]}]}`)
	}))
	defer s.Close()
	env := map[string]string{"ECS_CONTAINER_METADATA_URI_V4": s.URL}
	o := place.Options{Getenv: func(name string) string { return env[name] }, Total: 10 * time.Second}
	flags := map[string]string{
		"metastore.url": "memory://", "object_store.url": "memory://", "zone": "auto", "advertise": "auto", "listen": "127.0.0.1:0",
		"peer.advertise": "auto:19645", "peer.secret": "0123456789abcdef",
	}
	loaded, err := config.Load(config.Sources{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	c := &loaded.Config
	if err := locate(t.Context(), c, slog.New(slog.DiscardHandler), o); err != nil {
		t.Fatal(err)
	}
	if c.Zone != "eu-1b" || c.Listeners[0].Advertise != "10.0.2.61:" || c.Peer.Advertise != "10.0.2.61:19645" || asked != 1 {
		t.Errorf("%+v after %d questions", c, asked)
	}
	if err := locate(t.Context(), c, slog.New(slog.DiscardHandler), o); err != nil || asked != 1 {
		t.Errorf("asked again: %v", err)
	}
	delete(env, "ECS_CONTAINER_METADATA_URI_V4")
	flags["zone"] = "auto:ecs"
	if loaded, err = config.Load(config.Sources{Flags: flags}); err != nil {
		t.Fatal(err)
	}
	err = locate(t.Context(), &loaded.Config, slog.New(slog.DiscardHandler), place.Options{Getenv: o.Getenv, InstanceAt: "http://127.0.0.1:1", Total: 50 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "where this broker is") {
		t.Errorf("%v", err)
	}
}

func TestABrokerWhosePlaceIsNotAskedForDoesNotOpen(t *testing.T) {
	for _, key := range []string{"zone", "advertise", "client.zone"} {
		loaded, err := config.Load(config.Sources{Flags: map[string]string{
			"metastore.url": "memory://", "object_store.url": "memory://", "listen": "127.0.0.1:0", "admin.listen": "", key: "auto",
		}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), Options{Config: &loaded.Config}); !errors.Is(err, errNotLocated) {
			t.Errorf("%s: auto: %v", key, err)
		}
	}
}
