package index

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore/fault"
)

func TestAnIndexHoldsTheStateAndTheOffsets(t *testing.T) {
	r := newRig(t, Options{})
	r.grow(3)
	want := []metastore.GroupOffsets{{Group: "a", Offsets: r.commit("a", 2, 40)}, {Group: "b", Offsets: r.commit("b", 1, 50)}}
	_, err := r.meta.ClaimGroup(t.Context(), "without", 1)
	r.must(err)
	r.do()
	o := r.newest()
	state, err := o.State()
	r.must(err)
	if at := r.replica.Position(); o.Cluster != r.cluster || o.Position != at || state.Position != at {
		t.Errorf("index of %+v, log at %+v", o.Name, at)
	}
	if !reflect.DeepEqual(groupsOf(t, o), want) || o.Groups != 2 || o.Offsets != 3 {
		t.Errorf("groups %+v, want %+v", groupsOf(t, o), want)
	}
	// Another metastore takes the state for a snapshot of its own.
	if err := r.meta.SaveSnapshot(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	other := metastore.NewReplica(r.meta, metastore.ReplicaOptions{})
	r.must(other.Open(t.Context()))
	_, is := other.Digest()
	if _, was := r.replica.Digest(); is != was {
		t.Error("the state is another")
	}
}

func TestAnIndexIsWrittenWhenSomethingMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.do()
		if r.entries() != "[]" {
			t.Errorf("an empty log has an index: %s", r.entries())
		}
		for _, step := range []struct {
			what string
			move func()
			want string
		}{
			{"the log moved", func() { r.grow(2) }, "[2]"},
			{"nothing moved", func() {}, "[2]"},
			{"an offset was committed", func() { r.commit("g", 1, 5) }, "[2 2]"},
			{"it was committed again", func() { r.commit("g", 1, 5) }, "[2 2]"},
			{"another broker, which does not know what the newest holds", func() { r.restart(Options{}) }, "[2 2 2]"},
			{"and does now", func() {}, "[2 2 2]"},
			{"the log moved", func() { r.grow(1) }, "[3 2 2]"},
			{"the log moved", func() { r.grow(1) }, "[4 3 2]"},
		} {
			time.Sleep(r.task.Every())
			step.move()
			r.do()
			if got := r.entries(); got != step.want {
				t.Errorf("%s: entries %s, want %s", step.what, got, step.want)
			}
			if n := len(r.list()); n > 0 && (r.metric("runnel_index_newest_bytes", "") != float64(r.list()[0].Size) ||
				r.metric("runnel_index_newest_timestamp_seconds", "") != float64(r.list()[0].Written.UnixMilli())/1000) {
				t.Errorf("%s: metrics tell of another", step.what)
			}
		}
		if failed := r.metric("runnel_index_written_total", "failed"); failed != 0 {
			t.Errorf("%v failed", failed)
		}
	})
}

// TestAMetastoreThatWentBackInTimeDestroysNoIndex: what is there is worth more than what it would write.
func TestAMetastoreThatWentBackInTimeDestroysNoIndex(t *testing.T) {
	for name, lost := range map[string]func(at metastore.Position) metastore.Position{
		"the log ends before": func(at metastore.Position) metastore.Position {
			return metastore.Position{Seq: at.Seq + 100, Checksum: 1}
		},
		"it has another there": func(at metastore.Position) metastore.Position {
			return metastore.Position{Seq: at.Seq, Checksum: at.Checksum + 1}
		},
		"it has another before": func(at metastore.Position) metastore.Position {
			return metastore.Position{Seq: at.Seq - 1, Checksum: 1}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{Keep: 1})
			r.grow(5)
			r.do()
			r.grow(1)
			lost := Name{r.cluster, lost(r.replica.Position()), goldenTime}
			r.must(r.objects.Put(t.Context(), lost.Key(), nil))
			before := r.list()
			if _, err := r.task.Do(t.Context()); !errors.Is(err, metastore.ErrRegressed) {
				t.Errorf("error %v", err)
			}
			if !slices.Equal(r.list(), before) {
				t.Errorf("objects %+v, before %+v", r.list(), before)
			}
			if failed := r.metric("runnel_index_written_total", "failed"); failed != 1 {
				t.Errorf("%v failed", failed)
			}
		})
	}
}

func TestALogThatIsRefusedIsNotCopied(t *testing.T) {
	r := newRig(t, Options{})
	r.grow(1)
	r.replica.Refuse(metastore.ErrRegressed)
	if _, err := r.task.Do(t.Context()); !errors.Is(err, metastore.ErrRegressed) || len(r.list()) > 0 {
		t.Errorf("error %v, %d objects", err, len(r.list()))
	}
}

// TestWhatFailsIsDoneTheNextTime, whether or not it took effect.
func TestWhatFailsIsDoneTheNextTime(t *testing.T) {
	for _, op := range []fault.Op{fault.List, fault.Put, fault.Delete} {
		for _, late := range []bool{false, true} {
			r := newRig(t, Options{Keep: 1})
			r.grow(1)
			r.do()
			r.grow(1)
			broken := errors.New("the bucket is on fire")
			fail := func(c fault.Call) error {
				if c.Op == op {
					return broken
				}
				return nil
			}
			if late {
				r.objects.After(func(_ context.Context, c fault.Call, err error) error { return errors.Join(err, fail(c)) })
			} else {
				r.objects.Before(func(_ context.Context, c fault.Call) error { return fail(c) })
			}
			if _, err := r.task.Do(t.Context()); !errors.Is(err, broken) {
				t.Errorf("%s: error %v", op, err)
			}
			r.objects.Before(nil)
			r.objects.After(nil)
			r.do()
			if got := r.entries(); got != "[2]" {
				t.Errorf("%s, late %t: entries %s", op, late, got)
			}
		}
	}
}

// TestClustersDoNotMeet: an index object of one is nothing to another, and List tells of all.
func TestClustersDoNotMeet(t *testing.T) {
	r := newRig(t, Options{Keep: 1})
	others := []string{cluster, "AAAAAAAAAAAAAAAAAAAAAA", "____________________-w"}
	for _, other := range others {
		for seq := range metastore.Seq(1200) {
			r.must(r.objects.Put(t.Context(), Name{other, metastore.Position{Seq: seq + 1, Checksum: 9}, goldenTime}.Key(), nil))
		}
	}
	r.must(r.objects.Put(t.Context(), Prefix(cluster)+"readme", nil))
	r.grow(1)
	r.do()
	r.grow(1)
	r.do()
	seen := map[string][]metastore.Seq{}
	for _, f := range r.list() {
		seen[f.Cluster] = append(seen[f.Cluster], f.Seq)
	}
	if !slices.Equal(seen[r.cluster], []metastore.Seq{2}) || len(seen) != 4 {
		t.Errorf("own %v, %d clusters", seen[r.cluster], len(seen))
	}
	for _, other := range others {
		if n := len(seen[other]); n != most || seen[other][0] != 1200 || seen[other][n-1] != 201 {
			t.Errorf("of %s %d are listed", other, n)
		}
	}
}
