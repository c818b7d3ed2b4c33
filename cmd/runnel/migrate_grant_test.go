package main

import (
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
