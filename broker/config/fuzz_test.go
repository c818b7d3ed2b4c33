package config

import (
	"errors"
	"testing"
)

// FuzzLoad looks for configurations that are neither taken nor told what is wrong with them.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(whole), "RUNNEL_LISTEN=:9", "num.partitions=3")
	f.Add([]byte("a: &a [*a]"), "RUNNEL_LISTE=", "=")
	f.Add([]byte("metastore: {url: memory://}\nobject_store: {url: memory://}\nsegment: {size: 9223372036854775807KiB}"), "RUNNEL_CLIENT_SUBNETS=10.0.0.0/33=a", "log.retention.ms=-1")
	f.Fuzz(func(t *testing.T, file []byte, env, set string) {
		loaded, err := Load(Sources{FileName: "runnel.yaml", File: file, Env: []string{env}, Set: []string{set}})
		var problem *Problem
		switch {
		case err == nil && loaded.Config.Segment.Size < 1:
			t.Errorf("segments of %d bytes", loaded.Config.Segment.Size)
		case err != nil && (!errors.As(err, &problem) || problem.Text == ""):
			t.Errorf("error %v", err)
		}
	})
}
