package main

import (
	"net"
	"strings"
	"testing"
)

// What it does to a database is tested where it does it (metastore/postgres).
func TestGrantIAMSaysWhatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"--metastore-url", "postgres://postgres@db.example.com/runnel", "--grant-iam", ""}, "--grant-iam needs the name of a user"},
		{[]string{"--metastore-url", "memory://", "--grant-iam", "runnel"}, "metastore.url names no PostgreSQL"},
	} {
		if _, errOut, code := run(t, nil, append([]string{"migrate"}, tt.args...)...); code == 0 || !strings.Contains(errOut, tt.says) {
			t.Errorf("%v: exit %d, %s", tt.args, code, errOut)
		}
	}
}

// TestMigrateDoesNotWaitForEver for a server that takes connections and never says a word.
func TestMigrateDoesNotWaitForEver(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	url := "postgres://postgres@" + silent.Addr().String() + "/runnel?sslmode=disable"
	for name, more := range map[string][]string{"migrate": nil, "grant": {"--grant-iam", "runnel"}} {
		args := append([]string{"migrate", "--metastore-url", url, "--timeout", "50ms"}, more...)
		if _, errOut, code := run(t, nil, args...); code != exitError || !strings.Contains(errOut, "gave up after 50ms (--timeout)") {
			t.Errorf("%s: exit %d: %s", name, code, errOut)
		}
	}
	if _, errOut, code := run(t, nil, "migrate", "--metastore-url", "memory://", "--timeout", "-1s"); code != exitUsage {
		t.Errorf("exit %d: %s", code, errOut)
	}
}
