package rebuild

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	metafault "github.com/runnel-io/runnel/metastore/fault"
	"github.com/runnel-io/runnel/metastore/index"
	"github.com/runnel-io/runnel/metastore/mark"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
)

const otherCluster = "bmV2ZXIgYW55IG90aGVyIQ"

// small is a world with a few records, an index of them, and some more that are in tier 1.
func small(t *testing.T) *world {
	w := newWorld(t, 1)
	for range 6 {
		w.write()
	}
	for _, c := range w.clients {
		w.endTxn(c)
	}
	w.commitOffset("group-1")
	w.writeIndex()
	return w
}

// keys are all objects, with their sizes.
func (w *world) keys() (all []string) {
	for o, err := range w.objects.List(w.t.Context(), "", "") {
		w.must(err)
		all = append(all, fmt.Sprint(o.Key, " ", o.Size))
	}
	return all
}

func (w *world) indexes() []index.Found {
	found, err := index.List(w.t.Context(), w.objects, index.Folder)
	w.must(err)
	return found
}

// replace puts other bytes in the place of an object's.
func (w *world) replace(key string, spoil func([]byte) []byte) {
	w.t.Helper()
	b, err := w.objects.GetSuffix(w.t.Context(), key, 1<<30)
	w.must(err)
	w.must(w.objects.Delete(w.t.Context(), []string{key}))
	w.must(w.objects.Put(w.t.Context(), key, [][]byte{spoil(slices.Clone(b))}))
}

func empty() *metamemory.Store { return metamemory.New(metamemory.Options{}) }

func TestAMetastoreThatMayBeInUseIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(w *world, meta *metamemory.Store)
		want    error
	}{
		"its log has an entry": {func(w *world, meta *metamemory.Store) {
			r := metastore.NewReplica(meta, metastore.ReplicaOptions{})
			w.must(r.Open(t.Context()))
			w.must(r.Touch(t.Context()))
		}, ErrNotEmpty},
		"a broker is on it": {func(w *world, meta *metamemory.Store) {
			_, err := meta.RegisterBroker(t.Context(), metastore.Broker{NodeID: 1, Host: "a", Port: 1}, time.Minute)
			w.must(err)
		}, ErrInUse},
		"its cluster has left a mark": {func(w *world, meta *metamemory.Store) {
			cluster, err := meta.ClusterID(t.Context())
			w.must(err)
			w.must(w.objects.Put(t.Context(), mark.Mark{Cluster: cluster, Position: metastore.Position{Seq: 1}}.Key(), nil))
		}, ErrNotEmpty},
		"its cluster has left an index": {func(w *world, meta *metamemory.Store) {
			cluster, err := meta.ClusterID(t.Context())
			w.must(err)
			w.must(w.objects.Put(t.Context(), index.Name{Cluster: cluster, Position: metastore.Position{Seq: 1}, Written: time.Now()}.Key(), nil))
		}, ErrNotEmpty},
		"somebody has just written to the bucket": {func(*world, *metamemory.Store) {}, ErrInUse},
	} {
		t.Run(name, func(t *testing.T) {
			w, meta := small(t), empty()
			tt.prepare(w, meta)
			before := w.keys()
			report, err := Rebuild(t.Context(), meta, w.objects, Options{})
			if !errors.Is(err, tt.want) || report.Written {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if !slices.Equal(w.keys(), before) {
				t.Error("the bucket is another")
			}
		})
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	w, meta := small(t), empty()
	before := w.keys()
	report, err := Rebuild(t.Context(), meta, w.objects, Options{DryRun: true, Settle: -1})
	if err != nil || report.Written || report.Topics != 2 || report.Losses() {
		t.Errorf("%+v, %v", report, err)
	}
	end, err := meta.End(t.Context())
	groups, err2 := meta.ListGroups(t.Context())
	if end != 0 || len(groups) > 0 || !slices.Equal(w.keys(), before) || errors.Join(err, err2) != nil {
		t.Errorf("the log has %d entries, there are %d groups, %v", end, len(groups), errors.Join(err, err2))
	}
}

func TestTheLostClusterIsEnded(t *testing.T) {
	w, meta := small(t), empty()
	lost, err := w.meta.ClusterID(t.Context())
	w.must(err)
	if _, err := Rebuild(t.Context(), meta, w.objects, Options{Settle: -1}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.objects.GetSuffix(t.Context(), mark.Rebuilt(lost).Key(), 1); err != nil {
		t.Errorf("no mark ends the lost cluster: %v", err)
	}
	if err := mark.Rebuilt(lost).Compare(t.Context(), w.meta); !errors.Is(err, metastore.ErrRegressed) {
		t.Errorf("its log is not refused: %v", err)
	}
}

func TestTheNewestIndexThatCanBeReadIsUsed(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"a byte is another": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"it is cut short":   func(b []byte) []byte { return b[:len(b)-1] },
		"it is empty":       func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := small(t)
			older := w.indexes()[0]
			w.write()
			w.writeIndex()
			newest := w.indexes()[0]
			w.replace(newest.Key(), spoil)
			report, err := Rebuild(t.Context(), empty(), w.objects, Options{Settle: -1})
			if err != nil || report.Index != older.Key() || len(report.Skipped) != 1 || report.Skipped[0].Key != newest.Key() || !report.Losses() {
				t.Errorf("%+v, %v", report, err)
			}
			w.replace(older.Key(), spoil)
			if _, err := Rebuild(t.Context(), empty(), w.objects, Options{Settle: -1}); !errors.Is(err, ErrNoIndex) {
				t.Errorf("with none: %v", err)
			}
		})
	}
}

// TestAnIndexOfANewerVersionIsNotPassedOver: older ones know less, and another software may read it.
func TestAnIndexOfANewerVersionIsNotPassedOver(t *testing.T) {
	w := small(t)
	w.write()
	w.writeIndex()
	w.replace(w.indexes()[0].Key(), func(b []byte) []byte { binary.BigEndian.PutUint16(b[8:], 2); return b })
	newer := (*index.VersionError)(nil)
	if _, err := Rebuild(t.Context(), empty(), w.objects, Options{Settle: -1}); !errors.As(err, &newer) {
		t.Errorf("error %v", err)
	}
}

func TestWhichIndexIsUsed(t *testing.T) {
	w := small(t)
	own := w.indexes()[0]
	w.write()
	w.writeIndex()
	second := w.indexes()[0]
	other := second.Name
	other.Cluster, other.Written = otherCluster, second.Written.Add(-time.Hour)
	w.must(w.objects.Put(t.Context(), other.Key(), nil))
	for name, tt := range map[string]struct {
		opts Options
		want string
	}{
		"the newest":               {Options{}, second.Key()},
		"of a cluster":             {Options{Cluster: own.Cluster}, second.Key()},
		"one by its key":           {Options{Index: own.Key()}, own.Key()},
		"of one without any":       {Options{Cluster: "AAAAAAAAAAAAAAAAAAAAAA"}, ""},
		"one that is not there":    {Options{Index: "index/x"}, ""},
		"of the other, which lies": {Options{Cluster: otherCluster}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tt.opts.Settle, tt.opts.DryRun = -1, true
			report, err := Rebuild(t.Context(), empty(), w.objects, tt.opts)
			if tt.want == "" && !errors.Is(err, ErrNoIndex) || tt.want != "" && (err != nil || report.Index != tt.want || !slices.Equal(report.Others, []string{otherCluster})) {
				t.Errorf("index %q, others %v, %v", report.Index, report.Others, err)
			}
		})
	}
}

// TestWithoutAnIndexTier1IsRecovered, under other names.
func TestWithoutAnIndexTier1IsRecovered(t *testing.T) {
	w := small(t)
	for range 10 {
		w.rewrite()
	}
	for _, f := range w.indexes() {
		w.must(w.objects.Delete(t.Context(), []string{f.Key()}))
	}
	w.index = indexed{}
	r := w.rebuild(Options{RecoverUnknown: true})
	if len(r.report.Unknown) == 0 || r.report.Unknown[0].As != "recovered-"+r.report.Unknown[0].ID.String() || r.report.Index != "" || !r.report.Losses() {
		t.Errorf("%+v", r.report)
	}
	for _, topic := range r.replica.Topics() {
		if topic.Configs["retention.ms"] != "-1" || topic.Configs["retention.bytes"] != "-1" {
			t.Errorf("records of %s may go by %v", topic.Name, topic.Configs)
		}
	}
	r.check()
}

// TestARebuildThatDiesIsBegunAnew: whichever call to the new metastore fails, and whether or not it took effect, the next
// attempt ends well, and gives the same.
func TestARebuildThatDiesIsBegunAnew(t *testing.T) { synctest.Test(t, rebuildsThatDie) } // for the pauses

func rebuildsThatDie(t *testing.T) {
	w := small(t)
	clock := func() time.Time { return time.UnixMilli(1_900_000_000_000) }
	want := w.onto(metamemory.New(metamemory.Options{Now: clock}))
	for _, late := range []bool{false, true} {
		for after := 0; ; after++ {
			meta := metamemory.New(metamemory.Options{Now: clock})
			faulty, calls := metafault.Wrap(meta), 0
			fail := func() error {
				if calls++; calls > after {
					return errors.New("the metastore is on fire")
				}
				return nil
			}
			if late {
				faulty.After(func(_ context.Context, _ metafault.Call, err error) error { return errors.Join(err, fail()) })
			} else {
				faulty.Before(func(context.Context, metafault.Call) error { return fail() })
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			report, err := Rebuild(ctx, faulty, w.objects, Options{Settle: -1})
			cancel()
			end, endErr := meta.End(t.Context())
			w.must(endErr)
			switch {
			case err != nil && report.Written, err == nil && end == 0:
				t.Fatalf("%d calls, late %t: written %t, log of %d entries, %v", after, late, report.Written, end, err)
			case err != nil && end > 0: // it cannot know: the entry is there, and the answer was lost
			case err != nil:
				if report, err = Rebuild(t.Context(), meta, w.objects, Options{Settle: -1}); err != nil || !report.Written {
					t.Fatalf("%d calls, late %t: again: %v", after, late, err)
				}
			}
			is := w.open(meta)
			if differs := is.Differences(want); len(differs) > 1 || len(differs) == 1 && !strings.HasPrefix(differs[0], "its checksum") {
				t.Fatalf("%d calls, late %t: %v", after, late, differs)
			}
			offsets, offsetsErr := meta.FetchOffsets(t.Context(), "group-1", nil)
			if offsetsErr != nil || len(offsets) != 1 {
				t.Fatalf("%d calls, late %t: offsets %v, %v", after, late, offsets, offsetsErr)
			}
			if err == nil && calls <= after {
				break
			}
		}
	}
}

func (w *world) onto(meta *metamemory.Store) *metastore.Replica {
	w.t.Helper()
	_, err := Rebuild(w.t.Context(), meta, w.objects, Options{Settle: -1})
	w.must(err)
	return w.open(meta)
}

func (w *world) open(meta *metamemory.Store) *metastore.Replica {
	w.t.Helper()
	r := metastore.NewReplica(meta, metastore.ReplicaOptions{})
	w.must(r.Open(w.t.Context()))
	return r
}

// TestAnotherThatAppendsFirstWins: a broker that began on the empty log is not overwritten.
func TestAnotherThatAppendsFirstWins(t *testing.T) {
	w, meta := small(t), empty()
	faulty := metafault.Wrap(meta)
	faulty.Before(func(ctx context.Context, c metafault.Call) error {
		if c.Op == metafault.Append {
			return meta.Append(ctx, metastore.Position{}, metastore.Position{}.Next([]byte("of a broker")))
		}
		return nil
	})
	report, err := Rebuild(t.Context(), faulty, w.objects, Options{Settle: -1})
	if !errors.Is(err, ErrNotEmpty) || report.Written {
		t.Errorf("%v", err)
	}
}

// TestDamagedObjectsOfTier1AreNotUsed, and everything else is.
func TestDamagedObjectsOfTier1AreNotUsed(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"its footer":    func(b []byte) []byte { b[len(b)-20] ^= 1; return b },
		"a record":      func(b []byte) []byte { b[segment.HeaderSize+61+3] ^= 1; return b },
		"an offset":     func(b []byte) []byte { b[segment.HeaderSize+7]++; return b },
		"a batch's end": func(b []byte) []byte { b[segment.HeaderSize+11]++; return b },
	} {
		t.Run(name, func(t *testing.T) {
			w := small(t)
			for range 10 {
				w.write()
			}
			before := len(w.keys())
			for len(w.keys()) == before {
				w.rewrite()
			}
			spoilt := 0
			for id := range w.holds {
				if id.Tier() == 1 {
					w.replace(segment.Key(id), spoil)
					delete(w.holds, id)
					spoilt++
				}
			}
			r := w.rebuild(Options{})
			r.lossy = true
			r.check()
			if len(r.report.Damaged) == 0 || len(r.report.Damaged) > spoilt {
				t.Errorf("%d objects are damaged, %d were: %+v", len(r.report.Damaged), spoilt, r.report.Damaged)
			}
		})
	}
}
