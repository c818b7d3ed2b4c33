package retention_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/batching/retention"
	"github.com/runnel-io/runnel/metastore"
)

// full is a log that takes nothing while it is.
type full struct {
	*metastore.Replica
	is bool
}

var errFull = errors.New("no space left on device")

func (f *full) DeleteRecords(ctx context.Context, asked []metastore.RecordDeletion) ([]metastore.DeletionResult, error) {
	if f.is {
		return nil, errFull
	}
	return f.Replica.DeleteRecords(ctx, asked)
}

// TestMetricsTellOfWhatIsToLeaveAndDoesNot: as long as it does not, and no longer; and of what a broker saw long ago nothing.
func TestMetricsTellOfWhatIsToLeaveAndDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var tps []metastore.TopicPartition
		for i, configs := range []map[string]string{{"retention.ms": "60000"}, {"retention.bytes": "100"}, nil} {
			tps = append(tps, metastore.TopicPartition{Topic: r.topic("t"+strconv.Itoa(i), 1, configs).ID})
		}
		for range 3 {
			r.write(100, time.Now().UnixMilli(), tps...)
		}
		reg := prometheus.NewRegistry()
		log := &full{Replica: r.replica}
		keeper := retention.New(log, policy, retention.Options{Registerer: reg})
		want := func(when string, bytes, late float64) {
			t.Helper()
			if b, l := gauge(t, reg, "runnel_retention_due_bytes"), gauge(t, reg, "runnel_retention_lag_seconds"); b != bytes || l != late {
				t.Errorf("%s: %v bytes, %v s late, want %v and %v", when, b, l, bytes, late)
			}
		}
		want("before anything was looked at", 0, 0)
		time.Sleep(90 * time.Second)
		log.is = true
		if _, err := keeper.Do(t.Context()); !errors.Is(err, errFull) {
			t.Fatal(err)
		}
		want("while the log takes nothing", 500, 30)
		time.Sleep(15 * time.Minute)
		want("when another broker may be at it", 0, 0)
		if _, err := keeper.Do(t.Context()); !errors.Is(err, errFull) {
			t.Fatal(err)
		}
		want("a quarter of an hour later", 500, 930)
		log.is = false
		r.all(keeper)
		want("when all has left", 0, 0)
	})
}

func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}
