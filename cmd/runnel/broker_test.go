package main

import (
	"net"
	"strings"
	"testing"
)

// TestABrokerThatOthersCannotReachSaysSo starts brokers at a taken address, which end at once.
func TestABrokerThatOthersCannotReachSaysSo(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, tt := range []struct {
		name   string
		env    []string
		silent bool
	}{
		{"without a secret", nil, false},
		{"without a port", []string{"RUNNEL_PEER_SECRET=a secret of the tests alone", "RUNNEL_PEER_LISTEN="}, false},
		{"with both", []string{"RUNNEL_PEER_SECRET=a secret of the tests alone", "RUNNEL_PEER_LISTEN=127.0.0.1:0"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, errOut, code := run(t, tt.env, "broker", "--listen", ln.Addr().String(), "--admin-listen", "",
				"--metastore-url", "memory://", "--object-store-url", "memory://", "--zone", "a")
			if code != exitError || !strings.Contains(errOut, "zone=a") || strings.Contains(errOut, "set peer.secret") == tt.silent {
				t.Errorf("exit %d: %s", code, errOut)
			}
		})
	}
}

func TestABrokerLogsNoSecrets(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, from := range [][]string{
		{"RUNNEL_METASTORE_URL=postgres://u:s3cr3t-password@127.0.0.1:1/db"},
		{"RUNNEL_METASTORE_URL=postgres://u@127.0.0.1:1/db", "RUNNEL_METASTORE_PASSWORD=s3cr3t-password"},
		{"RUNNEL_METASTORE_URL=postgres://127.0.0.1:1/db?user=u", "RUNNEL_METASTORE_PASSWORD=s3cr3t-password"},
	} {
		env := append([]string{"RUNNEL_PEER_SECRET=s3cr3t of the tests alone", "RUNNEL_PEER_LISTEN=127.0.0.1:0", "RUNNEL_LOG_LEVEL=debug"}, from...)
		out, errOut, code := run(t, env, "broker", "--listen", ln.Addr().String(), "--admin-listen", "", "--object-store-url", "file://"+t.TempDir())
		if code != exitError || !strings.Contains(errOut, "127.0.0.1:1/db") || strings.Contains(out+errOut, "s3cr3t") {
			t.Errorf("%v: exit %d: %s", from, code, errOut)
		}
	}
}

// TestShowingAConfigurationAsksNobody: what the platform is to say stays auto.
func TestShowingAConfigurationAsksNobody(t *testing.T) {
	environ := []string{
		"RUNNEL_METASTORE_URL=memory://", "RUNNEL_OBJECT_STORE_URL=memory://", "RUNNEL_ZONE=auto", "RUNNEL_ADVERTISE=auto:9092",
		"ECS_CONTAINER_METADATA_URI_V4=http://127.0.0.1:1/",
	}
	for _, line := range [][]string{{"config", "print", "--effective"}, {"config", "check"}} {
		out, errOut, code := run(t, environ, line...)
		if code != 0 || errOut != "" && !strings.Contains(errOut, "warning") {
			t.Errorf("%v: exit %d, %s", line, code, errOut)
		}
		if line[1] == "print" && (!strings.Contains(out, "zone: auto ") || !strings.Contains(out, "advertise: auto:9092 ")) {
			t.Errorf("%s", out)
		}
	}
	// A broker does ask, and says whom; it never listens.
	t.Setenv("ECS_CONTAINER_METADATA_URI_V4", "")
	_, errOut, code := run(t, []string{"RUNNEL_METASTORE_URL=memory://", "RUNNEL_OBJECT_STORE_URL=memory://", "RUNNEL_ZONE=auto:ecs"}, "broker")
	if code != exitError || !strings.Contains(errOut, "ask ecs where this broker is") {
		t.Errorf("exit %d, %s", code, errOut)
	}
}
