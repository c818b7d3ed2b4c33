package main

import (
	"net"
	"strings"
	"testing"
	"time"
)

// A broker that is stopped by SIGSTOP, or whose machine hangs, takes connections and says nothing.
func TestASeedThatDoesNotAnswerIsPassedOver(t *testing.T) {
	bootstrap, _ := startDev(t)
	for range 4 { // clients begin with any of them
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		bootstrap = silent.Addr().String() + "," + bootstrap
	}
	began := time.Now()
	out, errOut, code := run(t, nil, "cluster", "describe", "--bootstrap", bootstrap)
	if code != 0 || !strings.Contains(out, "127.0.0.1:") {
		t.Errorf("exit %d:\n%s%s", code, out, errOut)
	}
	if took := time.Since(began); took > connectTimeout/2 {
		t.Errorf("took %v", took)
	}
}
