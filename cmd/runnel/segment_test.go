package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// rewrittenSegment writes an object of tier 1 to a bucket that is a directory: a partition with gaps, a batch of which
// nothing is left and the end of a transaction, and one that has marks.
func rewrittenSegment(t *testing.T, dir string) (metastore.SegmentID, string) {
	t.Helper()
	id := metastore.NewRewrittenID(time.Now())
	b := segment.NewBuilder(id, id.Time())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	add := func(offset int64, raw []byte) {
		t.Helper()
		h, err := recordbatch.ParseHeader(raw)
		must(err)
		must(b.Add([][]byte{raw}, segment.InfoOf(h, offset)))
	}
	record := func(offset int64, size int) recordbatch.Record {
		return recordbatch.Record{Offset: offset, Timestamp: 1_790_000_000_000, Value: bytes.Repeat([]byte{1}, size)}
	}
	transaction := recordbatchtest.Options{ProducerID: 7, Transactional: true}
	must(b.Begin([16]byte{1}, 0))
	add(100, recordbatchtest.EncodeSparse([]recordbatch.Record{record(2, 10), record(5, 10)}, 7, transaction))
	add(110, recordbatchtest.EncodeSparse(nil, 3, transaction))
	add(120, recordbatch.Marker{ProducerID: 7, Commit: true, Timestamp: 1_790_000_000_001}.Append(nil))
	must(b.Begin([16]byte{1}, 1))
	for i := range int64(3) {
		add(i, recordbatchtest.Encode([]recordbatch.Record{record(0, 70_000)}, recordbatchtest.Options{}.NotIdempotent()))
	}
	object, _ := b.Finish()
	name := filepath.Join(dir, filepath.FromSlash(segment.Key(id)))
	must(os.MkdirAll(filepath.Dir(name), 0o700))
	must(os.WriteFile(name, bytes.Join(object, nil), 0o600))
	return id, name
}

func TestDumpAndVerifyOfARewrittenSegment(t *testing.T) {
	dir := t.TempDir()
	id, file := rewrittenSegment(t, dir)
	bucket := "--object-store-url=file://" + dir
	for _, name := range []string{file, segment.Key(id), id.String()} {
		out, errOut, code := run(t, nil, "segment", "dump", bucket, name)
		if code != 0 || !strings.HasPrefix(out, "segment "+id.String()+", tier 1, created 20") || !strings.Contains(out, "BASE OFFSET  OFFSETS  MARKS") {
			t.Errorf("dump %s: exit %d:\n%s%s", name, code, out, errOut)
		}
		out, errOut, code = run(t, nil, "segment", "verify", bucket, name)
		if code != 0 || !strings.Contains(out, ": ok, 6 records in 6 batches of 2 runs") {
			t.Errorf("verify %s: exit %d:\n%s%s", name, code, out, errOut)
		}
	}
	out, errOut, code := run(t, nil, "segment", "dump", "--records", file)
	for _, want := range []string{"100..106", "110..112", "120..120", "transactional control"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("no %q: exit %d:\n%s%s", want, code, out, errOut)
		}
	}

	out, _, code = run(t, nil, "segment", "dump", "--records", "--json", file)
	var dumps []segmentJSON
	if err := json.Unmarshal([]byte(out), &dumps); err != nil || code != 0 || len(dumps) != 1 || len(dumps[0].Runs) != 2 {
		t.Fatalf("exit %d, %v:\n%s", code, err, out)
	}
	first, second := dumps[0].Runs[0], dumps[0].Runs[1]
	if dumps[0].Tier != 1 || *first.BaseOffset != 100 || first.Offsets != 21 || first.Records != 3 || len(first.Marks) != 0 ||
		len(first.Headers) != 3 || *first.Headers[1].BaseOffset != 110 || first.Headers[1].Offsets != 3 || first.Headers[1].Records != 0 || !first.Headers[2].Control {
		t.Errorf("%+v", first)
	}
	if *second.BaseOffset != 0 || len(second.Marks) != 2 || second.Marks[1].Offset != 2 || second.Marks[1].Position != second.Marks[0].Position*2 {
		t.Errorf("%+v", second)
	}

	damage(t, file, segment.HeaderSize+7) // the offset of the first batch, which its own checksum does not cover
	if out, errOut, code := run(t, nil, "segment", "verify", file); code != exitError || !strings.Contains(errOut, "the batch at byte 40 has offsets ") {
		t.Errorf("exit %d:\n%s%s", code, out, errOut)
	}
}
