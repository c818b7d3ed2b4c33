package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/batching/garbage"
	"github.com/runnel-io/runnel/batching/rebuild"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/index"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/objstore/fault"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
)

// lookout starts a broker that need not get ready.
func lookout(t *testing.T, stores *Stores, keys map[string]string) (n *Node, stop func()) {
	t.Helper()
	opts := hasty()
	opts.IndexEvery = 50 * time.Millisecond
	opts.Garbage = garbage.Options{Grace: time.Hour}
	n, err := Open(t.Context(), Options{Config: testConfig(t, keys), Stores: stores, Version: "test", Lifecycle: opts})
	if err != nil {
		t.Fatal(err)
	}
	return n, run(t, n)
}

// TestALostMetastoreIsMadeAnewUnderABrokerThatWaitsForIt: brokers copy what it knows, refuse an empty one while the copy is
// there, serve all records once it is made anew, and the lost one no more.
func TestALostMetastoreIsMadeAnewUnderABrokerThatWaitsForIt(t *testing.T) {
	t.Parallel()
	objects := fault.Wrap(objmemory.New())
	var full atomic.Bool
	objects.Before(func(_ context.Context, c fault.Call) error {
		if c.Op == fault.Put && full.Load() && strings.HasPrefix(c.Key, index.Folder) {
			return errors.New("no more copies")
		}
		return nil
	})
	lost := &Stores{Metastore: metamemory.New(metamemory.Options{}), Objects: objects}
	n, stop := lookout(t, lost, nil)
	eventually(t, "ready", func() bool { return n.Ready() == "" })
	c := client(t, n)
	if _, err := kadm.NewClient(c).CreateTopic(t.Context(), 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	send(t, c, "t", 20)
	offsets := kadm.Offsets{}
	offsets.AddOffset("t", 0, 7, -1)
	if err := kadm.NewClient(c).CommitAllOffsets(t.Context(), "g", offsets); err != nil {
		t.Fatal(err)
	}
	position := n.Replica().Position()
	eventually(t, "a copy of all that there is", func() bool {
		found, err := index.List(t.Context(), objects, index.Folder)
		if err != nil {
			t.Fatal(err)
		}
		return len(found) > 0 && found[0].Seq >= position.Seq && countOffsets(t, objects, found[0]) == 1
	})
	full.Store(true) // what is written now is in no copy; the objects of tier 1 alone have it
	last := send(t, c, "t", 20)
	eventually(t, "all is in tier 1", func() bool {
		return liftedTo(n) > last
	})
	stop()
	full.Store(false)

	fresh := &Stores{Metastore: metamemory.New(metamemory.Options{}), Objects: objects}
	waiting, stop := lookout(t, fresh, nil)
	eventually(t, "refused", func() bool { return strings.Contains(waiting.Ready(), "runnel rebuild") })
	report, err := rebuild.Rebuild(t.Context(), fresh.Metastore, objects, rebuild.Options{Settle: -1})
	if err != nil || !report.Written || report.MissingRanges > 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	eventually(t, "ready", func() bool { return waiting.Ready() == "" })
	if first, values := read(t, waiting, "t", last); first != 0 || len(values) != 40 {
		t.Errorf("%d records from %d on", len(values), first)
	}
	c = client(t, waiting, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"))
	if first := c.PollFetches(t.Context()).Records()[0]; first.Offset != 7 {
		t.Errorf("the group begins at %d", first.Offset)
	}
	if again := send(t, client(t, waiting), "t", 1); again <= last {
		t.Errorf("offset %d is given again", again)
	}
	stop()

	old, _ := lookout(t, lost, nil)
	eventually(t, "the lost one is refused", func() bool { return strings.Contains(old.Ready(), "made anew as another cluster's") })
}

// countOffsets is how many offsets of groups an index object has.
func countOffsets(t *testing.T, objects *fault.Store, f index.Found) int64 {
	t.Helper()
	b, err := objects.Get(t.Context(), f.Key(), 0, f.Size)
	if err != nil {
		return 0 // a newer one has taken its place
	}
	o, err := index.Decode(b)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", f.Key(), err))
	}
	return o.Offsets
}

// liftedTo is the offset up to which all of the one partition with records is in tier 1.
func liftedTo(n *Node) (to int64) {
	for _, topic := range n.Replica().Topics() {
		_, runs, err := n.Replica().Runs(metastore.TopicPartition{Topic: topic.ID}, 0, 1<<30)
		if err != nil {
			return 0
		}
		for _, r := range runs {
			if r.Segment.Tier() == 0 {
				break
			}
			to = int64(r.End())
		}
	}
	return to
}
