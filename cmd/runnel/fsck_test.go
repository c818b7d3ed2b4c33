package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// filled is the directory of a dev broker that has stopped, and the names of its objects in the order of their keys.
func filled(t *testing.T) (dir string, objects []string) {
	t.Helper()
	dir = t.TempDir()
	bootstrap, _, stop := startDevOn(t, dir)
	input := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(input, []byte(strings.Repeat("a record\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if _, errOut, code := run(t, nil, "produce", "orders", "--bootstrap", bootstrap, "--file", input); code != 0 {
			t.Fatalf("exit %d: %s", code, errOut)
		}
	}
	if _, errOut, code := run(t, nil, "fsck", "--data", dir); code != exitUnfinished || !strings.Contains(errOut, "stop the broker first") {
		t.Errorf("beside the broker: exit %d: %s", code, errOut)
	}
	stop()
	objects, err := filepath.Glob(filepath.Join(dir, "objects", "t0", "*", "*"))
	if err != nil || len(objects) < 4 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	return dir, objects
}

func keyOf(t *testing.T, dir, name string) string {
	t.Helper()
	key, err := filepath.Rel(filepath.Join(dir, "objects"), name)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.ToSlash(key)
}

func damage(t *testing.T, name string, at int64) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFsckOfAStoppedBroker(t *testing.T) {
	dir, objects := filled(t)
	for _, deep := range []bool{false, true} {
		line := []string{"fsck", "--data", dir, "--strict"}
		if deep {
			line = append(line, "--deep")
		}
		out, errOut, code := run(t, nil, line...)
		if code != 0 || !strings.Contains(out, "clean: bucket and metastore agree") || errOut != "" || deep && !strings.Contains(out, "400 records in ") {
			t.Fatalf("exit %d:\n%s%s", code, out, errOut)
		}
	}

	if err := os.WriteFile(filepath.Join(dir, "objects", "readme.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errOut, code := run(t, nil, "fsck", "--data", dir); code != 0 || !strings.Contains(out, "foreign-object  warning   1") || errOut != "" {
		t.Errorf("a warning: exit %d:\n%s%s", code, out, errOut)
	}
	if _, errOut, code := run(t, nil, "fsck", "--data", dir, "--strict"); code != exitError || errOut != "" {
		t.Errorf("a warning, strictly: exit %d: %s", code, errOut)
	}

	if err := os.Remove(objects[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(objects[1], 90); err != nil {
		t.Fatal(err)
	}
	damage(t, objects[2], 120)
	environ := []string{"RUNNEL_METASTORE_URL=file://" + dir + "/metastore", "RUNNEL_OBJECT_STORE_URL=file://" + dir + "/objects"}
	out, errOut, code := run(t, environ, "fsck", "--deep")
	if code != exitError || errOut != "" {
		t.Errorf("exit %d: %s", code, errOut)
	}
	for _, want := range []string{"missing-object  error     1\n", "\nmissing-object\n  " + keyOf(t, dir, objects[0]) + ": named by", "    orders-",
		"\nsize-mismatch\n  " + keyOf(t, dir, objects[1]) + ": it has 90 bytes", "\ncorrupt-object\n  " + keyOf(t, dir, objects[2]) + ": ",
		"What to do:\nmissing-object, size-mismatch, corrupt-object: ", "3 errors, 1 warning\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("missing %q in\n%s", want, out)
		}
	}
}

// TestFsckJSONKeepsItsShape: names are never changed, since scripts read them.
func TestFsckJSONKeepsItsShape(t *testing.T) {
	dir, objects := filled(t)
	if err := os.Remove(objects[0]); err != nil {
		t.Fatal(err)
	}
	out, errOut, code := run(t, nil, "fsck", "--data", dir, "--json")
	if code != exitError || errOut != "" {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	var got struct {
		Finished bool
		Entry    int64
		Errors   int
		Counts   map[string]int
		Checked  map[string]int64
		Findings []struct {
			Kind, Severity, Key, Detail string
			Affects                     []struct {
				Topic     string
				Partition int32
				From, To  int64
			}
		}
		Unjudged []string
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if !got.Finished || got.Entry < 5 || got.Errors != 1 || got.Counts["missing-object"] != 1 || len(got.Findings) != 1 || got.Unjudged == nil {
		t.Fatalf("%+v", got)
	}
	f := got.Findings[0]
	if f.Kind != "missing-object" || f.Severity != "error" || f.Key != keyOf(t, dir, objects[0]) || f.Affects[0].Topic != "orders" || f.Affects[0].To <= f.Affects[0].From {
		t.Errorf("%+v", f)
	}
	if got.Checked["segments"] != int64(len(objects)) || got.Checked["segments_checked"] != int64(len(objects)-1) || got.Checked["marks"] < 1 ||
		got.Checked["objects"] != int64(len(objects)-1)+got.Checked["marks"] {
		t.Errorf("%+v", got.Checked)
	}
}

func TestFsckThatCannotFinish(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, tt := range []struct{ name, line, want string }{
		{"no directory", "fsck --data " + none, none + " is no directory of `runnel dev --data`: "},
		{"another directory", "fsck --data " + filepath.Dir(none), filepath.Dir(none) + " is no directory of `runnel dev --data`: "},
		{"in memory", "fsck --metastore-url memory:// --object-store-url memory://", "in the memory of a broker's process"},
		{"no database", "fsck --metastore-url postgres://127.0.0.1:1/x?connect_timeout=1 --object-store-url file://" + t.TempDir(), "127.0.0.1:1"},
		{"no configuration", "fsck", "metastore.url is required"},
		{"concurrency", "fsck --data x --concurrency 0", "--concurrency must be"},
		{"argument", "fsck here", `unexpected argument "here"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, errOut, code := run(t, nil, strings.Fields(tt.line)...)
			if code != exitUnfinished || !strings.Contains(errOut, tt.want) || out != "" {
				t.Errorf("exit %d: %s%s", code, out, errOut)
			}
		})
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("the directory was made")
	}
}

// TestSegmentDumpTellsTopicsByTheIdsOfTheCluster: an object knows no names, and who looks for one has that of topic describe.
func TestSegmentDumpTellsTopicsByTheIdsOfTheCluster(t *testing.T) {
	dir := t.TempDir()
	bootstrap, _, stop := startDevOn(t, dir)
	defer stop()
	input := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(input, []byte("a record\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errOut, code := run(t, nil, "produce", "orders", "--bootstrap", bootstrap, "--file", input); code != 0 {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	described, errOut, code := run(t, nil, "topic", "describe", "orders", "--bootstrap", bootstrap)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	objects, err := filepath.Glob(filepath.Join(dir, "objects", "t0", "*", "*"))
	if err != nil || len(objects) != 1 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	out, _, code := run(t, nil, "segment", "dump", "--json", objects[0])
	var dumps []segmentJSON
	if err := json.Unmarshal([]byte(out), &dumps); err != nil || code != 0 {
		t.Fatalf("exit %d, %v:\n%s", code, err, out)
	}
	if id := dumps[0].Runs[0].TopicID; id == "" || !strings.Contains(described, ", id "+id+",") {
		t.Errorf("the dump has topic %q, the cluster:\n%s", id, described)
	}
}

func TestSegmentDumpAndVerify(t *testing.T) {
	dir, objects := filled(t)
	bucket := "--object-store-url=file://" + dir + "/objects"
	key := keyOf(t, dir, objects[0])
	id := filepath.Base(objects[0])
	verified := regexp.MustCompile(`: ok, (\d+) records? in `)
	var says int // on a slow machine, what was produced at once may be in two objects
	for _, name := range []string{objects[0], key, id} {
		out, errOut, code := run(t, nil, "segment", "dump", bucket, name)
		if code != 0 || !strings.HasPrefix(out, "segment "+id+", tier 0, created 20") || !strings.Contains(out, "POSITION") || strings.Contains(out, "CODEC") {
			t.Errorf("dump %s: exit %d:\n%s%s", name, code, out, errOut)
		}
		out, errOut, code = run(t, nil, "segment", "verify", bucket, name)
		found := verified.FindStringSubmatch(out)
		if code != 0 || found == nil {
			t.Fatalf("verify %s: exit %d:\n%s%s", name, code, out, errOut)
		}
		says, _ = strconv.Atoi(found[1])
	}
	if out, _, code := run(t, nil, "segment", "dump", "--records", objects[0]); code != 0 || !strings.Contains(out, "CODEC") {
		t.Errorf("exit %d:\n%s", code, out)
	}

	out, _, code := run(t, nil, "segment", "dump", "--records", "--json", objects[0])
	var dumps []segmentJSON
	if err := json.Unmarshal([]byte(out), &dumps); err != nil || code != 0 || len(dumps) != 1 {
		t.Fatalf("exit %d, %v:\n%s", code, err, out)
	}
	records := 0
	for _, r := range dumps[0].Runs {
		for _, h := range r.Headers {
			records += int(h.Records)
		}
	}
	if dumps[0].ID != id || dumps[0].Key != key || records != says || records < 1 || records > 100 {
		t.Errorf("%d records in %+v, and verify says %d", records, dumps[0], says)
	}

	damage(t, objects[1], 120)
	if out, _, code := run(t, nil, "segment", "dump", objects[1]); code != 0 || !strings.Contains(out, "segment ") {
		t.Errorf("the index is right: exit %d:\n%s", code, out)
	}
	out, errOut, code := run(t, nil, "segment", "verify", objects[1], objects[2])
	if code != exitError || !strings.Contains(errOut, objects[1]+": the batch at byte ") || !strings.Contains(out, objects[2]+": ok, ") {
		t.Errorf("exit %d:\n%s%s", code, out, errOut)
	}
	for _, tt := range []struct {
		name, line, want string
		code             int
	}{
		{"no segment", "segment verify nothing", "nothing: neither a file nor the key or the id of a segment\n", exitUsage},
		{"no bucket", "segment verify " + id, "object_store.url is required", exitUsage},
		{"not there", "segment verify 0192f5e0-7c1b-7000-8000-0123456789ab " + bucket, "no object has this key", exitError},
		{"no footer", "segment dump " + dir + "/metastore/LOCK", "corrupt segment", exitError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, errOut, code := run(t, nil, strings.Fields(tt.line)...)
			if code != tt.code || !strings.Contains(errOut, tt.want) {
				t.Errorf("exit %d: %s", code, errOut)
			}
		})
	}
}
