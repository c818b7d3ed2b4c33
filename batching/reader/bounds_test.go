package reader_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore/fault"
)

// While the store does not answer, a Fetch of many partitions ends in the time that one takes.
func TestFetchEndsThoughTheStoreDoesNot(t *testing.T) {
	for name, hotAge := range map[string]time.Duration{"old": time.Nanosecond, "at the tail": time.Hour} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1<<20)
			var wants []reader.Want
			for p := range int32(20) {
				r.write(map[int32][][]byte{p: {one(now)}})
				wants = append(wants, reader.Want{TopicPartition: r.tp(p), MaxBytes: 1 << 20})
			}
			first := firstKey(t, r.recent, r, 0)
			tail := recentRuns{first: r.recent[first]}
			let := make(chan struct{})
			r.gets.Before(func(context.Context, fault.Call) error {
				<-let
				return nil
			})
			defer close(let)
			rd := r.newReader(r.replica, r.blocks, tail, reader.Options{HotAge: hotAge, LongestFetch: 100 * time.Millisecond})
			ended := make(chan *reader.Fetched)
			go func() { ended <- rd.Fetch(t.Context(), nil, reader.ReadUncommitted, wants) }()
			select {
			case f := <-ended:
				if r.check(0, 0, f.Results[0]) != 1 {
					t.Errorf("what is in memory: %+v", f.Results[0])
				}
				for _, result := range f.Results[1:] {
					if !errors.Is(result.Err, context.DeadlineExceeded) {
						t.Errorf("%+v", result)
					}
				}
				f.Release()
			case <-time.After(30 * time.Second):
				t.Fatal("still reading")
			}
		})
	}
}

// panics is a cache with a bug.
type panics struct{ reader.Blocks }

func (panics) Read(context.Context, string, int64, int64, int64) ([][]byte, error) { panic("a bug") }

func TestAPanicKeepsNoMemory(t *testing.T) {
	r := newRig(t, 1<<20)
	first := r.write(map[int32][][]byte{0: {one(now)}})
	last := first
	for !last.Time().After(first.Time()) { // ids have milliseconds
		last = r.write(map[int32][][]byte{1: {one(now)}})
	}
	spare := r.ahead.Spare()
	rd := r.newReader(r.replica, panics{r.blocks}, nil, reader.Options{HotAge: time.Hour, Now: func() time.Time { return last.Time().Add(time.Hour) }})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic: the test does not test what it should")
			}
		}()
		rd.Fetch(t.Context(), nil, reader.ReadUncommitted, []reader.Want{
			{TopicPartition: r.tp(0), MaxBytes: 1 << 20}, {TopicPartition: r.tp(1), From: metastore.Offset(len(r.want[1]) - 1), MaxBytes: 1 << 20}})
	}()
	if r.ahead.Spare() != spare {
		t.Errorf("%d bytes are held for ever", spare-r.ahead.Spare())
	}
}

// countedLog counts the runs that a reader is told of.
type countedLog struct {
	*metastore.Replica
	runs *int
}

func (l countedLog) Runs(tp metastore.TopicPartition, from metastore.Offset, n int) (metastore.Watermarks, []metastore.Run, error) {
	marks, runs, err := l.Replica.Runs(tp, from, n)
	*l.runs += len(runs)
	return marks, runs, err
}

// A partition that is written slowly has thousands of runs in a megabyte.
func TestFetchOfOldRecordsDoesNotLookAtAllThatFollow(t *testing.T) {
	r := newRig(t, 1<<20)
	const segments = 300
	for range segments {
		r.write(map[int32][][]byte{0: {one(now)}})
	}
	clock := time.Now().Add(time.Hour)
	runs := 0
	rd := r.newReader(countedLog{r.replica, &runs}, r.blocks, nil, reader.Options{Now: func() time.Time { return clock }})
	for range 10 {
		f := rd.Fetch(t.Context(), nil, reader.ReadUncommitted, []reader.Want{{TopicPartition: r.tp(0), MaxBytes: 1}})
		if r.check(0, 0, f.Results[0]) != 1 {
			t.Errorf("%+v", f.Results[0])
		}
		f.Release()
	}
	if runs > 10*10 {
		t.Errorf("looked at %d runs in 10 Fetches of one", runs)
	}
}
