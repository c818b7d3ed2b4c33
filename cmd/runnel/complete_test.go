package main

import (
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	unreachable := " --bootstrap 127.0.0.1:1"
	tests := []struct{ name, line, want string }{
		{"codecs", "produce t --compression", "gzip lz4 none snappy zstd :4"},
		{"levels", "broker --log-level", "debug info warn error :4"},
		{"configuration files", "broker --config", "yaml yml :8"},
		{"directories", "dev --data", ":16"},
		{"files", "produce t --file", ":0"},
		{"free text", "broker --zone", ":4"},
		{"patterns of rules", "acl list --pattern", "literal prefixed any match :4"},
		{"types of resources", "acl explain User:a read", "topic group cluster transactional-id user delegation-token :4"},
		{"no argument", "topic list", ":4"},
		{"topics of a cluster that is down", "topic describe" + unreachable, ":4"},
		{"enough topics", "produce t" + unreachable, ":4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, _, code := run(t, nil, append(append([]string{"__complete"}, strings.Fields(tt.line)...), "")...)
			if got := strings.Join(strings.Fields(out), " "); code != 0 || got != tt.want {
				t.Errorf("exit %d, got %q, want %q", code, got, tt.want)
			}
		})
	}
}
