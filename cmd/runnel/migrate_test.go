package main

import (
	"strings"
	"testing"
)

// What it does to an S3 server is tested where it does it (objstore/s3), and from the command line in integration/containers.
func TestMigrateMakesABucketOnlyWhereThereCanBeOne(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--metastore-url", "memory://", "--bucket"}, 2, "object_store.url"},
		{[]string{"--metastore-url", "memory://", "--bucket", "--object-store-url", "memory://"}, 1, "names no bucket"},
		{[]string{"--metastore-url", "memory://"}, 0, ""},
	} {
		out, errOut, code := run(t, nil, append([]string{"migrate"}, tt.args...)...)
		if code != tt.code || !strings.Contains(errOut, tt.says) {
			t.Errorf("%v: exit %d, %s%s", tt.args, code, out, errOut)
		}
	}
}
