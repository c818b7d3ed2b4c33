package metered_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/fault"
	"github.com/runnel-io/runnel/objstore/memory"
	"github.com/runnel-io/runnel/objstore/metered"
	"github.com/runnel-io/runnel/objstore/objstoretest"
)

func TestConformance(t *testing.T) {
	objstoretest.Run(t, func(*testing.T) objstore.Store { return metered.New(memory.New(), prometheus.NewRegistry()) })
}

func TestCountsAndTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		faulty := fault.Wrap(memory.New())
		s := metered.New(faulty, reg)
		faulty.Before(func(context.Context, fault.Call) error {
			time.Sleep(2 * time.Second) // of virtual time: a slow store
			return nil
		})
		ctx := t.Context()
		discard(s.Put(ctx, "a", [][]byte{make([]byte, 70), make([]byte, 30)}))
		discard(s.Put(ctx, "a", [][]byte{make([]byte, 100)}))
		discard(s.Get(ctx, "a", 90, 50))
		discard(s.Get(ctx, "a", 100, 1))
		discard(s.Get(ctx, "b", 0, 1))
		discard(s.GetSuffix(ctx, "a", 7))
		discard(s.Get(ctx, "/", 0, 1))
		for range s.List(ctx, "", "") {
			time.Sleep(time.Hour) // of the caller's own
		}
		faulty.Before(func(context.Context, fault.Call) error { return errors.New("outage") })
		discard(s.Delete(ctx, []string{"a"}))
		faulty.Before(nil)
		gone, cancel := context.WithCancel(ctx)
		cancel()
		discard(s.Delete(gone, []string{"a"}))

		want := map[string]float64{
			"requests put ok": 1, "requests put exists": 1, "requests get ok": 1, "requests get range": 1,
			"requests get not_found": 1, "requests get invalid_key": 1, "requests get_suffix ok": 1, "requests list ok": 1,
			"requests delete error": 1, "requests delete cancelled": 1,
			"bytes put": 100, "bytes get": 10, "bytes get_suffix": 7,
			"seconds put": 4, "seconds get": 8, "seconds get_suffix": 2, "seconds list": 2, "seconds delete": 0,
		}
		if got := gather(t, reg); !maps.Equal(got, want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

// discard says that a result does not matter: the metrics tell it.
func discard(...any) {}

// gather returns the values of all metrics under the short name of the metric and the values of its labels.
func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{
		"runnel_objstore_requests_total": "requests", "runnel_objstore_bytes_total": "bytes", "runnel_objstore_request_seconds": "seconds",
	}
	values := make(map[string]float64)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := names[family.GetName()]
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = metric.GetCounter().GetValue() + metric.GetHistogram().GetSampleSum()
		}
	}
	return values
}
