package mark_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/mark"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
)

const cluster = "bmV2ZXIgYW55IG90aGVyIQ"

// TestKeysAreWhatTheyWere: keys are the format, and lie in buckets.
func TestKeysAreWhatTheyWere(t *testing.T) {
	for key, m := range map[string]mark.Mark{
		"position/" + cluster + "/7ffffffffffffffe-0000000000000000-0": {Cluster: cluster, Position: metastore.Position{Seq: 1}},
		"position/" + cluster + "/7fffffffffffcfc6-0123456789abcdef-7": {
			Cluster: cluster, Position: metastore.Position{Seq: 12345, Checksum: 0x0123456789abcdef}, Node: 7},
		"position/" + cluster + "/0000000000000000-ffffffffffffffff-2147483647": {
			Cluster: cluster, Position: metastore.Position{Seq: math.MaxInt64, Checksum: math.MaxUint64}, Node: math.MaxInt32},
	} {
		if got := m.Key(); got != key {
			t.Errorf("%+v has key %q, want %q", m, got, key)
		}
		if got, err := mark.Parse(key); err != nil || got != m {
			t.Errorf("%q is read as %+v, %v", key, got, err)
		}
		if err := objstore.ValidKey(key); err != nil {
			t.Error(err)
		}
		if !mark.IsKey(key) || !strings.HasPrefix(key, mark.Prefix(cluster)) {
			t.Errorf("%q does not lie among marks", key)
		}
	}
}

func TestKeysThatNoMarkHasAreRefused(t *testing.T) {
	good := mark.Mark{Cluster: cluster, Position: metastore.Position{Seq: 5, Checksum: 6}, Node: 7}.Key()
	for _, key := range []string{
		"", "position/", good + "x", good + "/", "x" + good, strings.ToUpper(good), strings.Replace(good, cluster, "short", 1),
		strings.Replace(good, cluster, strings.Repeat("*", 22), 1), strings.Replace(good, "-7", "-07", 1), strings.Replace(good, "-7", "", 1),
		"position/" + cluster + "/7fffffffffffffff-0000000000000000-0", // no entry has the number 0
		"position/" + cluster + "/8000000000000000-0000000000000000-0",
		"t0/4b/0192f5e0-7c1b-7000-8000-0123456789ab",
	} {
		if m, err := mark.Parse(key); err == nil {
			t.Errorf("%q is read as %+v", key, m)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(mark.Mark{Cluster: cluster, Position: metastore.Position{Seq: 5, Checksum: 6}, Node: 7}.Key())
	f.Add("position//--")
	f.Fuzz(func(t *testing.T, key string) {
		if m, err := mark.Parse(key); err == nil && m.Key() != key {
			t.Errorf("%q is read as %+v, whose key is %q", key, m, m.Key())
		}
	})
}

func TestALogThatHoldsAllMarksIsTaken(t *testing.T) {
	r := newRig(t, mark.Options{})
	if err := r.keeper.Compare(t.Context(), r.cluster); err != nil {
		t.Errorf("nothing was marked: %v", err)
	}
	for node := range metastore.NodeID(3) {
		r.grow(2)
		r.put(r.mark(r.replica.Position(), node))
	}
	r.put(r.mark(r.replica.Position(), 9)) // two at the same position
	r.must(r.objects.Put(t.Context(), mark.Prefix(r.cluster)+"readme", nil))
	if err := r.keeper.Compare(t.Context(), r.cluster); err != nil {
		t.Error(err)
	}
	r.grow(1)
	if err := r.keeper.Compare(t.Context(), r.cluster); err != nil {
		t.Errorf("the log went on: %v", err)
	}
}

func TestALogThatLacksAMarkedPositionIsRefused(t *testing.T) {
	for name, lose := range map[string]func(r *rig) metastore.Position{
		"it ends before": func(r *rig) metastore.Position {
			return r.replica.Position().Next([]byte("lost")).Position
		},
		"it has another entry there": func(r *rig) metastore.Position {
			lost := r.replica.Position().Next([]byte("lost")).Position
			r.grow(1)
			return lost
		},
		"it went on past it, and the newest marks fit": func(r *rig) metastore.Position {
			lost := r.replica.Position().Next([]byte("lost")).Position
			r.grow(3)
			r.put(r.mark(r.replica.Position(), 1))
			return lost
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, mark.Options{})
			r.grow(3)
			lost := r.mark(lose(r), 4)
			r.put(lost)
			err := r.keeper.Compare(t.Context(), r.cluster)
			if !errors.Is(err, metastore.ErrRegressed) || !strings.Contains(err.Error(), fmt.Sprintf("node 4 had seen entry %d", lost.Seq)) ||
				!strings.Contains(err.Error(), lost.Key()) {
				t.Errorf("%v, want a refusal that names the mark", err)
			}
			r.must(r.objects.Delete(t.Context(), []string{lost.Key()}))
			if err := r.keeper.Compare(t.Context(), r.cluster); err != nil {
				t.Errorf("after the mark was deleted: %v", err)
			}
		})
	}
}

func TestAnEmptyLogOfAMarkedClusterIsRefused(t *testing.T) {
	r := newRig(t, mark.Options{})
	r.put(r.mark(metastore.Position{Seq: 1, Checksum: 1}, 0))
	if err := r.keeper.Compare(t.Context(), r.cluster); !errors.Is(err, metastore.ErrRegressed) {
		t.Errorf("%v, want a refusal", err)
	}
}

// TestAnotherClustersMarksMeanNothing: a new database may begin on a bucket that has been used.
func TestAnotherClustersMarksMeanNothing(t *testing.T) {
	r := newRig(t, mark.Options{})
	r.put(mark.Mark{Cluster: cluster, Position: metastore.Position{Seq: 99, Checksum: 1}})
	if err := r.keeper.Compare(t.Context(), r.cluster); err != nil {
		t.Error(err)
	}
	if err := r.keeper.Compare(t.Context(), cluster); !errors.Is(err, metastore.ErrRegressed) {
		t.Errorf("%v, want a refusal of the cluster that left it", err)
	}
}

func TestAMarkOlderThanTheLogGoesBackIsNoReasonToRefuse(t *testing.T) {
	r := newRig(t, mark.Options{})
	r.grow(1)
	old := r.replica.Position()
	r.put(r.mark(old, 0))
	r.grow(4)
	r.must(r.replica.SnapshotNow(t.Context())) // and trims
	if _, err := r.meta.Read(t.Context(), old, 1); !errors.Is(err, metastore.ErrTrimmed) {
		t.Fatalf("read: %v: the test is to meet a log that was trimmed", err)
	}
	if err := r.keeper.Compare(t.Context(), r.cluster); err != nil {
		t.Error(err)
	}
}

func TestAListThatFailsIsNoAnswer(t *testing.T) {
	r := newRig(t, mark.Options{})
	r.failing("LIST")
	if err := r.keeper.Compare(t.Context(), r.cluster); err == nil || errors.Is(err, metastore.ErrRegressed) {
		t.Errorf("%v, want an error that is no refusal", err)
	}
}

// TestTheNewestOfTooManyMarksCount: where brokers may not delete, marks grow in number.
func TestTheNewestOfTooManyMarksCount(t *testing.T) {
	objects := objmemory.New()
	r := newRigOn(t, metamemory.New(metamemory.Options{}), objects, mark.Options{})
	for seq := range metastore.Seq(1500) {
		r.must(objects.Put(t.Context(), r.mark(metastore.Position{Seq: 1 + seq}, 0).Key(), nil))
	}
	err := r.keeper.Compare(t.Context(), r.cluster)
	if regressed := (*mark.RegressedError)(nil); !errors.As(err, &regressed) || regressed.Mark.Seq != 1500 {
		t.Errorf("%v, want a refusal that names the newest", err)
	}
}

func TestAnotherClustersMarksAreFoundWhereverTheySort(t *testing.T) {
	at := metastore.Position{Seq: 5, Checksum: 6}
	for name, other := range map[string]string{"before": "AAAAAAAAAAAAAAAAAAAAAA", "after": "zzzzzzzzzzzzzzzzzzzzzw"} {
		t.Run(name, func(t *testing.T) {
			objects := objmemory.New()
			put := func(key string) {
				if err := objects.Put(t.Context(), key, nil); err != nil {
					t.Fatal(err)
				}
			}
			found := func() string {
				other, err := mark.OtherCluster(t.Context(), objects, cluster)
				if err != nil {
					t.Fatal(err)
				}
				return other
			}
			if got := found(); got != "" {
				t.Errorf("found %q in an empty bucket", got)
			}
			for node := range metastore.NodeID(2000) { // more than are looked at
				put(mark.Mark{Cluster: cluster, Position: at, Node: node}.Key())
			}
			for _, key := range []string{"position/a", "position/zz", mark.Prefix(cluster) + "readme", "t0/4b/0192f5e0-7c1b-7000-8000-0123456789ab"} {
				put(key)
			}
			if got := found(); got != "" {
				t.Errorf("found %q beside marks of one cluster alone", got)
			}
			put(mark.Mark{Cluster: other, Position: at}.Key())
			if got := found(); got != other {
				t.Errorf("found %q, want %q", got, other)
			}
		})
	}
}

// TestAClusterThatWasRebuiltElsewhereIsRefused, by brokers that start and by those that run.
func TestAClusterThatWasRebuiltElsewhereIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, mark.Options{Keep: 1})
		r.grow(3)
		r.run()
		sleep(2 * time.Minute)
		rebuilt := mark.Rebuilt(r.cluster)
		if got, err := mark.Parse(rebuilt.Key()); err != nil || got != rebuilt || !got.IsRebuilt() {
			t.Fatalf("%q is read as %+v, %v", rebuilt.Key(), got, err)
		}
		r.must(r.objects.Put(t.Context(), rebuilt.Key(), [][]byte{mark.RebuiltText(r.cluster, "another")}))
		err := r.keeper.Compare(t.Context(), r.cluster)
		if !errors.Is(err, metastore.ErrRegressed) || !strings.Contains(err.Error(), "made anew") || !strings.Contains(err.Error(), rebuilt.Key()) {
			t.Errorf("a broker that starts: %v", err)
		}
		r.grow(1)
		sleep(2 * time.Minute)
		if err := r.replica.Health(); !errors.Is(err, metastore.ErrRegressed) {
			t.Errorf("a broker that runs: %v", err)
		}
		if marks := r.marks(); !slices.Contains(marks, "9223372036854775807/-1") {
			t.Errorf("it is gone: %v", marks)
		}
	})
}
