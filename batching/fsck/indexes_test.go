package fsck_test

import (
	"strings"
	"testing"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/index"
)

// index writes an index object as a broker does, and returns it.
func (r *rig) index() index.Found {
	r.t.Helper()
	_, err := index.NewTask(r.objects, r.meta, r.replica, index.Options{}).Do(r.t.Context())
	r.must(err)
	found, err := index.List(r.t.Context(), r.objects, index.Folder)
	r.must(err)
	return found[0]
}

// spoil puts other bytes in the place of an object's.
func (r *rig) spoil(key string, spoil func([]byte) []byte) {
	r.t.Helper()
	b, err := r.objects.GetSuffix(r.t.Context(), key, 1<<30)
	r.must(err)
	r.must(r.objects.Delete(r.t.Context(), []string{key}))
	r.must(r.objects.Put(r.t.Context(), key, [][]byte{spoil(b)}))
}

func TestIndexObjectsThatTheLogHoldsAreNoFinding(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.index()
	r.write(r.part(0, r.batch(0, 1)))
	r.index()
	if report := r.both(); report.Indexes != 2 {
		t.Errorf("%d index objects", report.Indexes)
	}
}

func TestAnIndexObjectOfWhatTheLogLacksSaysThatItWentBack(t *testing.T) {
	r := newRig(t)
	r.fill()
	f := r.index()
	lost := f.Name
	lost.Position = metastore.Position{Seq: f.Seq + 7, Checksum: 1}
	b, err := r.objects.GetSuffix(t.Context(), f.Key(), 1<<30)
	r.must(err)
	r.must(r.objects.Put(t.Context(), lost.Key(), [][]byte{b}))
	report := r.checkOn(r.meta, r.objects, fsck.Options{})
	want(t, report, fsck.Regressed)
	if f := report.Findings[0]; f.Key != lost.Key() || f.Entry != lost.Seq {
		t.Errorf("finding %+v", f)
	}
}

func TestIndexObjectsAreReadIfAllIs(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"a byte is another": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"it is cut short":   func(b []byte) []byte { return b[:len(b)-1] },
		"it is empty":       func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.fill()
			f := r.index()
			r.spoil(f.Key(), spoil)
			want(t, r.checkOn(r.meta, r.objects, fsck.Options{}))
			report := r.checkOn(r.meta, r.objects, fsck.Options{Deep: true})
			want(t, report, fsck.CorruptIndex)
			if report.Errors() > 0 {
				t.Errorf("errors: %s", text(report))
			}
		})
	}
}

// TestAnIndexObjectThatIsTooLargeIsNotRead: whoever may write to the bucket cannot have a check take all memory.
func TestAnIndexObjectThatIsTooLargeIsNotRead(t *testing.T) {
	r := newRig(t)
	r.fill()
	without := r.checkOn(r.meta, r.objects, fsck.Options{Deep: true}).BytesRead
	report := r.checkOn(r.meta, &hooked{Store: r.objects, swell: r.index().Key()}, fsck.Options{Deep: true})
	want(t, report, fsck.CorruptIndex)
	if report.BytesRead != without || !strings.Contains(text(report), "more than an index object has") {
		t.Errorf("read %d bytes, and %d without it:\n%s", report.BytesRead, without, text(report))
	}
}

func TestAnIndexObjectOfAnotherClusterIsForeign(t *testing.T) {
	r := newRig(t)
	r.fill()
	f := r.index()
	f.Cluster = "bmV2ZXIgYW55IG90aGVyIQ"
	r.must(r.objects.Put(t.Context(), f.Key(), nil))
	report := r.both(fsck.ForeignObject)
	if report.Indexes != 1 || !strings.Contains(text(report), "an index of another cluster, "+f.Cluster) {
		t.Errorf("%d index objects:\n%s", report.Indexes, text(report))
	}
}
