package fsck_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/mark"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/memory"
)

// mark leaves a mark of this cluster, or of another.
func (r *rig) mark(at metastore.Position, node metastore.NodeID, cluster string) mark.Mark {
	r.t.Helper()
	if cluster == "" {
		id, err := r.meta.ClusterID(r.t.Context())
		r.must(err)
		cluster = id
	}
	m := mark.Mark{Cluster: cluster, Position: at, Node: node}
	r.must(r.objects.Put(r.t.Context(), m.Key(), nil))
	return m
}

func TestMarksThatTheLogHoldsAreNoFinding(t *testing.T) {
	r := newRig(t)
	r.mark(r.replica.Position(), 0, "")
	r.fill() // with a snapshot
	r.mark(r.replica.Position(), 0, "")
	r.mark(r.replica.Position(), 1, "")
	if report := r.both(); report.Marks != 3 {
		t.Errorf("%d marks", report.Marks)
	}
}

func TestALogThatLacksAMarkedPositionIsFoundOut(t *testing.T) {
	r := newRig(t)
	r.fill()
	at := r.replica.Position()
	late := r.mark(metastore.Position{Seq: at.Seq + 2, Checksum: 1}, 3, "")
	other := r.mark(metastore.Position{Seq: at.Seq, Checksum: at.Checksum + 1}, 4, "")
	r.mark(at, 5, "")
	report := r.both(fsck.Regressed, fsck.Regressed)
	var keys []string
	for _, f := range report.Findings {
		keys = append(keys, f.Key)
		if f.Kind.Severity() != fsck.Error || !strings.Contains(f.Kind.Advice(), "recovery.md") || f.Entry == 0 {
			t.Errorf("finding %+v", f)
		}
	}
	if want := []string{late.Key(), other.Key()}; !slices.Equal(keys, want) {
		t.Errorf("found %q, want %q", keys, want)
	}
}

func TestAMarkOfAnotherClusterIsForeign(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.mark(metastore.Position{Seq: 1000, Checksum: 1}, 0, "bmV2ZXIgYW55IG90aGVyIQ")
	r.must(r.objects.Put(t.Context(), "position/readme", nil))
	report := r.both(fsck.ForeignObject, fsck.ForeignObject)
	if report.Marks != 0 || !strings.Contains(text(report), "of another cluster") {
		t.Errorf("%d marks:\n%s", report.Marks, text(report))
	}
}

// listing does something right before the first listing.
type listing struct {
	*memory.Store
	before func()
}

func (l *listing) List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error] {
	if l.before != nil {
		l.before()
		l.before = nil
	}
	return l.Store.List(ctx, prefix, startAfter)
}

// unreadable is a metastore whose log cannot be read after a position.
type unreadable struct {
	*metamemory.Store
	after metastore.Position
	err   error
}

func (u *unreadable) Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	if after == u.after {
		return nil, u.err
	}
	return u.Store.Read(ctx, after, maxBytes)
}

// TestAMarkOfWhatIsAppendedMeanwhileIsNoFinding: the log is read after the marks are listed.
func TestAMarkOfWhatIsAppendedMeanwhileIsNoFinding(t *testing.T) {
	r := newRig(t)
	r.fill()
	moving := &listing{Store: r.objects, before: func() {
		r.write(r.part(0, r.batch(0, 1)))
		r.mark(r.replica.Position(), 0, "")
	}}
	report := r.checkOn(r.meta, moving, fsck.Options{})
	want(t, report)
	if report.Marks != 1 {
		t.Errorf("%d marks", report.Marks)
	}
}

func TestALogThatCannotBeReadIsNotCalledRegressed(t *testing.T) {
	r := newRig(t)
	r.fill()
	at := r.replica.Position()
	r.mark(at, 0, "")
	why := errors.New("connection reset")
	meta := &unreadable{Store: r.meta, after: at, err: why}
	if report, err := fsck.Check(t.Context(), meta, r.objects, fsck.Options{}); !errors.Is(err, why) || len(report.Findings) > 0 {
		t.Errorf("%v, found %v", err, kinds(report))
	}
}
