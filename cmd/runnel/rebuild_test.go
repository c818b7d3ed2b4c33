package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/index"
)

// indexed is the directory of a dev broker that has stopped, with an index object of all that there is.
func indexed(t *testing.T) (dir string) {
	t.Helper()
	dir, _ = filled(t)
	var c config.Config
	var err error
	if c.Metastore.URL, c.ObjectStore.URL, err = config.InDirectory(dir); err != nil {
		t.Fatal(err)
	}
	stores, err := node.OpenStores(t.Context(), &c)
	if err != nil {
		t.Fatal(err)
	}
	replica := metastore.NewReplica(stores.Metastore, metastore.ReplicaOptions{})
	if err := replica.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := index.NewTask(stores.Objects, stores.Metastore, replica, index.Options{}).Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := stores.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRebuildMakesALostMetastoreAnew(t *testing.T) {
	dir := indexed(t)
	if out, errOut, code := run(t, nil, "rebuild", "--data", dir, "--settle", "0"); code != exitUnfinished || !strings.Contains(errOut, "the metastore is not empty") {
		t.Errorf("while it is not lost: exit %d:\n%s%s", code, out, errOut)
	}
	meta := filepath.Join(dir, "metastore")
	if err := os.RemoveAll(meta); err != nil {
		t.Fatal(err)
	}
	if out, errOut, code := run(t, nil, "rebuild", "--data", dir); code != exitUnfinished || !strings.Contains(errOut, "was written to the bucket") {
		t.Errorf("at once: exit %d:\n%s%s", code, out, errOut)
	}
	if err := os.RemoveAll(meta); err != nil {
		t.Fatal(err)
	}
	out, errOut, code := run(t, nil, "rebuild", "--data", dir, "--settle", "0", "--dry-run")
	if code != 0 || errOut != "" || !strings.Contains(out, "Nothing is known to be lost.") || !strings.Contains(out, "dry run: nothing was changed") {
		t.Errorf("dry run: exit %d:\n%s%s", code, out, errOut)
	}
	if _, err := os.Stat(meta); !os.IsNotExist(err) {
		t.Errorf("a dry run made a metastore: %v", err)
	}
	out, errOut, code = run(t, nil, "rebuild", "--data", dir, "--settle", "0")
	if code != 0 || errOut != "" || !strings.Contains(out, "400, of which 0 newer than the copy") || !strings.Contains(out, "takes the place of") {
		t.Errorf("exit %d:\n%s%s", code, out, errOut)
	}
	if out, errOut, code := run(t, nil, "fsck", "--data", dir, "--deep"); code != 0 || errOut != "" || !strings.Contains(out, "of another cluster") {
		t.Errorf("fsck: exit %d:\n%s%s", code, out, errOut)
	}
	bootstrap, _, stop := startDevOn(t, dir)
	defer stop()
	out, errOut, code = run(t, nil, "consume", "orders", "--bootstrap", bootstrap, "--from", "earliest", "--count", "400")
	if code != 0 || strings.Count(out, "a record") != 400 {
		t.Errorf("consume: exit %d, %d records: %s", code, strings.Count(out, "a record"), errOut)
	}
}

// TestRebuildJSONKeepsItsShape: names are never changed, since scripts read them.
func TestRebuildJSONKeepsItsShape(t *testing.T) {
	dir := indexed(t)
	objects, err := filepath.Glob(filepath.Join(dir, "objects", "t0", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(objects[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "metastore")); err != nil {
		t.Fatal(err)
	}
	out, errOut, code := run(t, nil, "rebuild", "--data", dir, "--settle", "0", "--json")
	if code != exitError || errOut != "" {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	var got struct {
		Finished, Written, Losses bool
		Cluster                   string
		LostCluster               string `json:"lost_cluster"`
		Index                     string
		IndexTime                 string `json:"index_time"`
		Topics, Partitions        int
		Offsets                   int64
		MissingRanges             int64 `json:"missing_ranges"`
		MissingOffsets            int64 `json:"missing_offsets"`
		GoneObjects               int64 `json:"gone_objects"`
		Missing                   []struct {
			Topic     string
			Partition int
			From, To  int64
			Deleted   *bool
		}
		Damaged        []struct{ Key, Detail string }
		Unrecorded     struct{ Objects int64 }
		UnknownTopics  []struct{ ID string } `json:"unknown_topics"`
		NotRecoverable []string              `json:"not_recoverable"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if !got.Finished || !got.Written || !got.Losses || got.Cluster == "" || got.LostCluster == "" || got.Cluster == got.LostCluster || got.Index == "" || got.IndexTime == "" ||
		got.Topics != 1 || got.Offsets+got.MissingOffsets < 400 || got.MissingRanges != 1 || len(got.Missing) != 1 || got.GoneObjects != 1 ||
		got.Missing[0].Topic != "orders" || got.Missing[0].To-got.Missing[0].From != got.MissingOffsets || got.Missing[0].Deleted == nil ||
		got.Damaged == nil || got.UnknownTopics == nil || len(got.NotRecoverable) == 0 {
		t.Errorf("%s", out)
	}
}

func TestRebuildWithoutAnyCopyIsRefused(t *testing.T) {
	dir, _ := filled(t)
	if err := os.RemoveAll(filepath.Join(dir, "metastore")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "objects", "index")); err != nil {
		t.Fatal(err)
	}
	out, errOut, code := run(t, nil, "rebuild", "--data", dir, "--settle", "0", "--dry-run")
	if code != exitUnfinished || !strings.Contains(errOut, "--recover-unknown-topics") {
		t.Errorf("exit %d:\n%s%s", code, out, errOut)
	}
	if out, errOut, code := run(t, nil, "rebuild", "--data", filepath.Join(dir, "nowhere"), "--dry-run"); code != exitUnfinished || !strings.Contains(errOut, "is no directory of") {
		t.Errorf("no directory: exit %d:\n%s%s", code, out, errOut)
	}
}
