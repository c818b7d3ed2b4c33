package fsck_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/file"
	"github.com/runnel-io/runnel/objstore/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// load writes through a Writer, as fast as it goes, until stop is called. A group follows.
func load(t *testing.T, meta metastore.Store, objects objstore.Store) (stop func()) {
	t.Helper()
	replica := metastore.NewReplica(meta, metastore.ReplicaOptions{SnapshotEvery: 50})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(replica.Open(t.Context()))
	const partitions = 20
	topic, err := replica.CreateTopic(t.Context(), metastore.NewTopic{Name: "live", Partitions: partitions, ReplicationFactor: 1})
	must(err)
	group, err := meta.ClaimGroup(t.Context(), "follower", 0)
	must(err)
	w := batching.New(objects, replica, batching.Options{MaxLinger: time.Millisecond, MinLinger: -1, SegmentBytes: 4 << 10})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() {
		if err := replica.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	clients, end := context.WithCancel(context.Background())
	var producing sync.WaitGroup
	for producer := range int64(4) {
		producing.Go(func() {
			for n := int32(0); clients.Err() == nil; n++ {
				partition := (n + int32(producer)) % partitions
				b := encode(2, recordbatchtest.Options{ProducerID: producer, BaseSequence: n / partitions * 2})
				h, err := recordbatch.ParseHeader(b.Bytes)
				if err != nil {
					t.Error(err)
					return
				}
				tp := metastore.TopicPartition{Topic: topic.ID, Partition: partition}
				pending, err := w.Append(nil, []batching.Batch{{TopicPartition: tp, Bytes: b.Bytes, Header: h}})
				if err != nil {
					t.Error(err)
					return
				}
				got, err := pending.Wait(context.Background())
				if err != nil || got[0].Verdict != metastore.Accepted {
					t.Errorf("producer %d: %v, %v", producer, got, err)
					return
				}
				offset := metastore.CommittedOffset{TopicPartition: tp, TopicName: "live", Offset: got[0].Offset + 2}
				if err := meta.CommitOffsets(context.Background(), "follower", group.Epoch, []metastore.CommittedOffset{offset}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return func() {
		end()
		producing.Wait()
		cancel()
		running.Wait()
	}
}

// TestLiveClusterIsClean checks again and again while a writer works, until checks have met commits that they did not know
// of when they listed the bucket.
func TestLiveClusterIsClean(t *testing.T) {
	meta, objects := metamemory.New(metamemory.Options{}), memory.New()
	defer meta.Close()
	stop := load(t, meta, objects)
	since, segments := int64(0), 0
	deadline := time.Now().Add(time.Minute)
	for checks := 0; checks < 8 || since == 0 || segments < 300; checks++ {
		report, err := fsck.Check(t.Context(), meta, objects, fsck.Options{Deep: checks%2 == 0, Concurrency: 1 + checks%4})
		if err != nil {
			t.Fatal(err)
		}
		if want(t, report); report.Checked != int64(report.Segments) {
			t.Errorf("%d of %d objects were looked at", report.Checked, report.Segments)
		}
		segments = report.Segments
		since += report.CommittedSince
		if time.Now().After(deadline) {
			t.Fatalf("%d checks met %d commits and %d segments", checks, since, segments)
		}
	}
	stop()
	report, err := fsck.Check(t.Context(), meta, objects, fsck.Options{Deep: true})
	if err != nil {
		t.Fatal(err)
	}
	want(t, report)
	if report.Segments == 0 || int(report.Objects) != report.Segments || report.InFlight+report.CommittedSince != 0 {
		t.Errorf("%+v", report)
	}
	t.Logf("%d segments, %d records; %d committed since", report.Segments, report.Records, since)
}

// TestStoresInADirectory writes to a directory, closes everything, damages files, and checks what is there without
// changing anything.
func TestStoresInADirectory(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	meta, err := metamemory.Open(ctx, filepath.Join(dir, "metastore"), metamemory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := file.Open(ctx, filepath.Join(dir, "objects"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stop := load(t, meta, objects)
	for {
		report, err := fsck.Check(ctx, meta, objects, fsck.Options{Deep: true})
		if err != nil {
			t.Fatal(err)
		}
		if want(t, report); report.Segments >= 4 {
			break
		}
	}
	stop()
	if _, err := metamemory.OpenReadOnly(ctx, filepath.Join(dir, "metastore")); !errors.Is(err, metamemory.ErrLocked) {
		t.Fatalf("opened beside a broker: %v", err)
	}
	if err := errors.Join(meta.Close(), objects.Close()); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "objects", "t0", "*", "*"))
	if err != nil || len(names) < 4 {
		t.Fatalf("%d objects, %v", len(names), err)
	}
	key := func(i int) string { return filepath.ToSlash(names[i][len(filepath.Join(dir, "objects"))+1:]) }
	if err := errors.Join(os.Remove(names[0]), os.Truncate(names[1], 100)); err != nil {
		t.Fatal(err)
	}
	damaged, err := os.ReadFile(names[2])
	if err != nil {
		t.Fatal(err)
	}
	damaged[150] ^= 1
	if err := os.WriteFile(names[2], damaged, 0o600); err != nil {
		t.Fatal(err)
	}

	before := tree(t, dir)
	closed, err := metamemory.OpenReadOnly(ctx, filepath.Join(dir, "metastore"))
	if err != nil {
		t.Fatal(err)
	}
	defer closed.Close()
	read, err := file.Open(ctx, filepath.Join(dir, "objects"), file.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	report, err := fsck.Check(ctx, closed, read, fsck.Options{Deep: true})
	if err != nil {
		t.Fatal(err)
	}
	want(t, report, fsck.MissingObject, fsck.SizeMismatch, fsck.CorruptObject)
	for i, f := range report.Findings {
		if f.Key != key(i) {
			t.Errorf("%s, want %s", f.Key, key(i))
		}
	}
	if after := tree(t, dir); !slices.Equal(before, after) {
		t.Errorf("the check changed files:\n%v\n%v", before, after)
	}
}

// tree lists all files with their sizes and times.
func tree(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			list = append(list, path+" "+info.ModTime().String()+" "+info.Mode().String())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
