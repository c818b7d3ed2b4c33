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
