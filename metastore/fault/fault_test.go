package fault_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/fault"
	"github.com/runnel-io/runnel/metastore/memory"
	"github.com/runnel-io/runnel/metastore/metastoretest"
)

var errFault = errors.New("fault")

func open(t testing.TB) (*fault.Store, *memory.Store) {
	inner := memory.New(memory.Options{PollInterval: 10 * time.Millisecond})
	t.Cleanup(func() { _ = inner.Close() })
	return fault.Wrap(inner), inner
}

func TestContractWithoutFaults(t *testing.T) {
	metastoretest.Run(t, func(t testing.TB) metastore.Store {
		s, _ := open(t)
		return s
	})
}

// TestEveryCallCanBeDoneLater runs each as Call.Later does it.
func TestEveryCallCanBeDoneLater(t *testing.T) {
	s, inner := open(t)
	s.Before(func(ctx context.Context, call fault.Call) error { return errors.Join(errFault, call.Later()(ctx)) })
	ctx := t.Context()
	for _, c := range calls(s) {
		if err := c.do(ctx); !errors.Is(err, errFault) {
			t.Fatalf("%s: %v", c.want, err)
		}
	}
	end, err := inner.End(ctx)
	if err != nil || end != 2 {
		t.Fatalf("the log ends at %d: %v", end, err)
	}
	entries, err := inner.Read(ctx, metastore.Position{}, 1<<20)
	if err != nil || len(entries) != 2 || string(entries[0].Payload) != "abc" || string(entries[1].Payload) != "defg" {
		t.Fatalf("entries %v: %v", entries, err)
	}
	groups, err := inner.ListGroups(ctx)
	if err != nil || len(groups) != 1 || groups[0].GroupID != "h" || groups[0].Coordinator != metastore.AnyNodeID {
		t.Fatalf("groups %v, which only AppendWith leaves: %v", groups, err)
	}
}

type call struct {
	want string // its line in a trace
	do   func(context.Context) error
}

// calls are one of each method, in an order in which they succeed on an empty store.
func calls(s metastore.Store) []call {
	first := metastore.Position{}.Next([]byte("abc"))
	second := first.Next([]byte("defg"))
	tp := metastore.TopicPartition{Topic: metastore.TopicID{1}}
	offsets := []metastore.CommittedOffset{{TopicPartition: tp, TopicName: "t", Offset: 7}}
	with := metastore.GroupChanges{Offsets: []metastore.GroupOffsets{{Group: "h", Offsets: offsets}}}
	return []call{
		{"Append 1 3B", func(ctx context.Context) error { return s.Append(ctx, metastore.Position{}, first) }},
		{"AppendWith 2 4B", func(ctx context.Context) error { return s.AppendWith(ctx, first.Position, second, with) }},
		{"Read 1", func(ctx context.Context) error { return only(s.Read(ctx, first.Position, 1)) }},
		{"End", func(ctx context.Context) error { return only(s.End(ctx)) }},
		{"Wait 1", func(ctx context.Context) error { return s.Wait(ctx, 1) }},
		{"SaveSnapshot 2 5B", func(ctx context.Context) error {
			return s.SaveSnapshot(ctx, metastore.Snapshot{Position: second.Position, State: []byte("state")})
		}},
		{"LatestSnapshot", func(ctx context.Context) error { return only(s.LatestSnapshot(ctx)) }},
		{"Trim 1", func(ctx context.Context) error { return only(s.Trim(ctx, 1, 5)) }},
		{"ClusterID", func(ctx context.Context) error { return only(s.ClusterID(ctx)) }},
		{"Clock", func(ctx context.Context) error { return only(s.Clock(ctx)) }},
		{"RegisterBroker of 3", func(ctx context.Context) error {
			return only(s.RegisterBroker(ctx, metastore.Broker{NodeID: 3}, time.Minute))
		}},
		{"RenewBroker of 3", func(ctx context.Context) error { return s.RenewBroker(ctx, 3, 1, time.Minute) }},
		{"LeaveBroker of 3", func(ctx context.Context) error { return s.LeaveBroker(ctx, 3, 1) }},
		{"LiveBrokers", func(ctx context.Context) error { return only(s.LiveBrokers(ctx)) }},
		{"UnregisterBroker of 3", func(ctx context.Context) error { return s.UnregisterBroker(ctx, 3, 1) }},
		{`HoldLease "role" of 3`, func(ctx context.Context) error { return only(s.HoldLease(ctx, "role", 3, 1, time.Minute)) }},
		{`ReleaseLease "role" of 3`, func(ctx context.Context) error { return s.ReleaseLease(ctx, "role", 3, 1) }},
		{`ClaimGroup "g" of 3`, func(ctx context.Context) error { return only(s.ClaimGroup(ctx, "g", 3)) }},
		{`ReadGroup "g"`, func(ctx context.Context) error { return only(s.ReadGroup(ctx, "g")) }},
		{`WriteGroup "g" 2B`, func(ctx context.Context) error {
			return s.WriteGroup(ctx, metastore.GroupRecord{GroupID: "g", Epoch: 2, State: []byte("ab")})
		}},
		{"ListGroups", func(ctx context.Context) error { return only(s.ListGroups(ctx)) }},
		{`CommitOffsets "g"`, func(ctx context.Context) error { return s.CommitOffsets(ctx, "g", 2, offsets) }},
		{`FetchOffsets "g"`, func(ctx context.Context) error { return only(s.FetchOffsets(ctx, "g", nil)) }},
		{`DeleteOffsets "g"`, func(ctx context.Context) error {
			return s.DeleteOffsets(ctx, "g", 2, []metastore.TopicPartition{tp})
		}},
		{`ExpireOffsets "g"`, func(ctx context.Context) error {
			return only(s.ExpireOffsets(ctx, "g", 2, time.Now(), []string{"t"}))
		}},
		{"GroupAges", func(ctx context.Context) error { return only(s.GroupAges(ctx, "", 5)) }},
		{`DeleteGroup "g"`, func(ctx context.Context) error { return s.DeleteGroup(ctx, "g", 2) }},
		{"DeleteTopicOffsets", func(ctx context.Context) error { return s.DeleteTopicOffsets(ctx, tp.Topic) }},
	}
}

// only is the error of a call.
func only[T any](_ T, err error) error { return err }

// TestEveryCallGoesThroughTheHooks also holds that Call tells what a schedule of faults goes by.
func TestEveryCallGoesThroughTheHooks(t *testing.T) {
	s, _ := open(t)
	var before, after, want []string
	s.Before(func(_ context.Context, c fault.Call) error {
		before = append(before, c.String())
		return nil
	})
	s.After(func(_ context.Context, c fault.Call, result error) error {
		after = append(after, c.String())
		return result
	})
	for _, c := range calls(s) {
		want = append(want, c.want)
		if err := c.do(t.Context()); err != nil {
			t.Errorf("%s: %v", c.want, err)
		}
	}
	if !slices.Equal(before, want) || !slices.Equal(after, want) {
		t.Errorf("before %q\nafter %q\nwant %q", before, after, want)
	}
	if methods := reflect.TypeFor[metastore.Store]().NumMethod() - 1; len(want) != methods { // all but Close
		t.Errorf("%d calls of a store of %d methods", len(want), methods)
	}
}

func TestCallThatFailsBeforeItTakesEffect(t *testing.T) {
	s, inner := open(t)
	s.Before(func(context.Context, fault.Call) error { return errFault })
	for _, c := range calls(s) {
		if err := c.do(t.Context()); !errors.Is(err, errFault) {
			t.Errorf("%s: %v", c.want, err)
		}
	}
	if end, err := inner.End(t.Context()); end != 0 || err != nil {
		t.Errorf("the log ends at %d: %v", end, err)
	}
	if groups, err := inner.ListGroups(t.Context()); len(groups) > 0 || err != nil {
		t.Errorf("groups %v: %v", groups, err)
	}
}

func TestCallWhoseAnswerIsLost(t *testing.T) {
	s, inner := open(t)
	s.After(func(_ context.Context, _ fault.Call, result error) error { return errors.Join(errFault, result) })
	first := metastore.Position{}.Next([]byte("a"))
	if err := s.Append(t.Context(), metastore.Position{}, first); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	if end, err := inner.End(t.Context()); end != 1 || err != nil {
		t.Fatalf("the log ends at %d: %v", end, err)
	}
	if g, err := s.ClaimGroup(t.Context(), "g", 1); !errors.Is(err, errFault) || g.GroupID != "" {
		t.Fatalf("a failed call returned %v, %v", g, err)
	}
	if g, err := inner.ReadGroup(t.Context(), "g"); err != nil || g.Coordinator != 1 {
		t.Fatalf("%v, %v", g, err)
	}
	if err := s.Append(t.Context(), metastore.Position{}, first); !errors.Is(err, metastore.ErrConflict) {
		t.Fatalf("the hook was not told the result: %v", err)
	}
}

func TestCallThatTakesEffectAfterItsError(t *testing.T) {
	s, inner := open(t)
	var late []func(context.Context) error
	s.Before(func(_ context.Context, c fault.Call) error {
		if c.Writes() {
			late = append(late, c.Later())
			return errFault
		}
		return nil
	})
	ctx := t.Context()
	payload, offset := []byte("abc"), []metastore.CommittedOffset{{Offset: 7}}
	entry := metastore.Position{}.Next(payload)
	changes := metastore.GroupChanges{Offsets: []metastore.GroupOffsets{{Group: "g", Offsets: offset}}}
	if err := s.AppendWith(ctx, metastore.Position{}, entry, changes); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	if end, err := s.End(ctx); end != 0 || err != nil {
		t.Fatalf("the log ends at %d: %v", end, err)
	}
	copy(payload, "xyz") // as the caller may by now
	offset[0].Offset = 8
	if err := late[0](ctx); err != nil {
		t.Fatal(err)
	}
	entries, err := inner.Read(ctx, metastore.Position{}, 100)
	if err != nil || len(entries) != 1 || string(entries[0].Payload) != "abc" {
		t.Fatalf("%v, %v", entries, err)
	}
	offsets, err := inner.FetchOffsets(ctx, "g", nil)
	if err != nil || len(offsets) != 1 || offsets[0].Offset != 7 {
		t.Fatalf("%v, %v", offsets, err)
	}
	if err := s.Append(ctx, metastore.Position{}, metastore.Position{}.Next([]byte("d"))); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	if err := late[1](ctx); !errors.Is(err, metastore.ErrConflict) {
		t.Fatalf("a late append of what another was appended in place of: %v", err)
	}
}
