package metastoretest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/runnel-io/runnel/metastore"
)

var appendWithCases = []testCase{
	{"RowsComeWithTheEntry", rowsWithEntry},
	{"ConflictWritesNoRows", conflictWritesNothing},
	{"ClaimsThatAreNotTheLatestAreNamed", fencedClaims},
	{"GroupThatIsGoneIsMade", goneGroupIsMade},
	{"ManyRowsAtOnce", manyRows},
	{"RefusesGapsAndEndedContexts", appendWithRefuses},
	{"RacesAmongAppendersAndCoordinators", appendWithRace},
}

func appendWith(ctx context.Context, s metastore.Log, p metastore.Position, payload string, with metastore.GroupChanges) (metastore.Position, error) {
	next := p.Next([]byte(payload))
	return next.Position, s.AppendWith(ctx, p, next, with)
}

// asKept is how offsets are listed.
func asKept(offsets []metastore.CommittedOffset, value metastore.Offset) []metastore.CommittedOffset {
	all := slices.Clone(offsets)
	for i := range all {
		all[i].Offset = value
	}
	return all
}

func rowsWithEntry(ctx context.Context, t *testing.T, s metastore.Store) {
	g, h := mustClaim(ctx, t, s, "g", 1), mustClaim(ctx, t, s, "h", 2)
	commit(ctx, t, s, g, offsetsOf(topicA, 0, 1)...)
	p, err := appendWith(ctx, s, metastore.Position{}, "one", metastore.GroupChanges{
		Claims:  []metastore.GroupClaim{{Group: "g", Epoch: g.Epoch}, {Group: "h", Epoch: h.Epoch}},
		Offsets: []metastore.GroupOffsets{{Group: "g", Offsets: asKept(offsetsOf(topicA, 1, 2), 77)}, {Group: "h", Offsets: offsetsOf(topicB, 0)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantOffsets(ctx, t, s, "g", nil, append(offsetsOf(topicA, 0), asKept(offsetsOf(topicA, 1, 2), 77)...)...)
	wantOffsets(ctx, t, s, "h", nil, offsetsOf(topicB, 0)...)
	for _, want := range []metastore.GroupRecord{g, h} { // the groups themselves stay
		got, err := s.ReadGroup(ctx, want.GroupID)
		if err != nil {
			t.Fatal(err)
		}
		wantGroup(t, got, want)
	}
	if p, err = appendWith(ctx, s, p, "two", metastore.GroupChanges{}); err != nil {
		t.Errorf("append with nothing: %v", err)
	}
	if entries := mustReadAll(ctx, t, s, metastore.Position{}); len(entries) != 2 || entries[1].Position != p || string(entries[0].Payload) != "one" {
		t.Errorf("the log holds %v", entries)
	}
	if err := s.CommitOffsets(ctx, "g", g.Epoch, offsetsOf(topicA, 1)); err != nil {
		t.Errorf("commit after it: %v", err)
	}
}

func conflictWritesNothing(ctx context.Context, t *testing.T, s metastore.Store) {
	p := mustFill(ctx, t, s, 2)
	g := mustClaim(ctx, t, s, "g", 1)
	with := metastore.GroupChanges{
		Claims:  []metastore.GroupClaim{{Group: "g", Epoch: g.Epoch}},
		Offsets: []metastore.GroupOffsets{{Group: "g", Offsets: offsetsOf(topicA, 1)}, {Group: "new", Offsets: offsetsOf(topicA, 1)}},
	}
	for name, at := range map[string]metastore.Position{
		"an earlier entry": p[1], "another checksum": {Seq: 2, Checksum: p[2].Checksum ^ 1}, "a later entry": {Seq: 3, Checksum: 1},
	} {
		_, err := appendWith(ctx, s, at, "x", with)
		wantError(t, "append after "+name, err, metastore.ErrConflict)
	}
	wantEnd(ctx, t, s, 2)
	wantOffsets(ctx, t, s, "g", nil)
	wantOffsets(ctx, t, s, "new", nil)
	_, err := s.ReadGroup(ctx, "new")
	wantError(t, "read of a group that was not to be", err, metastore.ErrGroupNotFound)
}

func fencedClaims(ctx context.Context, t *testing.T, s metastore.Store) {
	old := mustClaim(ctx, t, s, "g", 1)
	g, h := mustClaim(ctx, t, s, "g", 2), mustClaim(ctx, t, s, "h", 1)
	stale := []metastore.GroupClaim{{Group: "g", Epoch: old.Epoch}, {Group: "gone", Epoch: h.Epoch}, {Group: "h", Epoch: h.Epoch + 100}}
	_, err := appendWith(ctx, s, metastore.Position{}, "x", metastore.GroupChanges{
		Claims:  append(slices.Clone(stale), metastore.GroupClaim{Group: "g", Epoch: g.Epoch}, metastore.GroupClaim{Group: "h", Epoch: h.Epoch}),
		Offsets: []metastore.GroupOffsets{{Group: "g", Offsets: offsetsOf(topicA, 1)}, {Group: "new", Offsets: offsetsOf(topicA, 1)}},
	})
	wantError(t, "append under stale claims", err, metastore.ErrFenced)
	var fenced *metastore.FencedError
	if !errors.As(err, &fenced) {
		t.Fatalf("append under stale claims: %v names none", err)
	}
	slices.SortFunc(fenced.Claims, func(a, b metastore.GroupClaim) int { return slices.Compare([]byte(a.Group), []byte(b.Group)) })
	if !slices.Equal(fenced.Claims, stale) {
		t.Errorf("fenced are %v, want %v", fenced.Claims, stale)
	}
	wantEnd(ctx, t, s, 0)
	wantOffsets(ctx, t, s, "g", nil)
	wantOffsets(ctx, t, s, "new", nil)
	if groups, err := s.ListGroups(ctx); err != nil || len(groups) != 2 {
		t.Errorf("groups %v (%v)", groups, err)
	}
}

func goneGroupIsMade(ctx context.Context, t *testing.T, s metastore.Store) {
	gone := mustClaim(ctx, t, s, "g", 1)
	if err := s.DeleteGroup(ctx, "g", gone.Epoch); err != nil {
		t.Fatal(err)
	}
	_, err := appendWith(ctx, s, metastore.Position{}, "x", metastore.GroupChanges{Offsets: []metastore.GroupOffsets{{Group: "g", Offsets: offsetsOf(topicA, 1, 2)}}})
	if err != nil {
		t.Fatal(err)
	}
	wantOffsets(ctx, t, s, "g", nil, offsetsOf(topicA, 1, 2)...)
	made, err := s.ReadGroup(ctx, "g")
	if err != nil || made.Epoch <= gone.Epoch || made.Coordinator != metastore.AnyNodeID || made.State != nil {
		t.Errorf("group that was made: %+v (%v), the last claim was %d", made, err, gone.Epoch)
	}
	if again := mustClaim(ctx, t, s, "g", 1); again.Epoch <= made.Epoch {
		t.Errorf("claim %d after %d", again.Epoch, made.Epoch)
	}
	wantOffsets(ctx, t, s, "g", nil, offsetsOf(topicA, 1, 2)...)
}

func manyRows(ctx context.Context, t *testing.T, s metastore.Store) {
	var partitions []int32
	for p := range int32(500) {
		partitions = append(partitions, p)
	}
	var with metastore.GroupChanges
	for i := range 10 {
		with.Offsets = append(with.Offsets, metastore.GroupOffsets{Group: fmt.Sprint("g", i), Offsets: offsetsOf(topicA, partitions...)})
	}
	p := metastore.Position{}
	for range 2 {
		var err error
		if p, err = appendWith(ctx, s, p, "x", with); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		wantOffsets(ctx, t, s, fmt.Sprint("g", i), nil, offsetsOf(topicA, partitions...)...)
	}
}

func appendWithRefuses(ctx context.Context, t *testing.T, s metastore.Store) {
	with := metastore.GroupChanges{Offsets: []metastore.GroupOffsets{{Group: "g", Offsets: offsetsOf(topicA, 1)}}}
	for _, seq := range []metastore.Seq{0, 2} {
		e := metastore.Entry{Position: metastore.Position{Seq: seq, Checksum: 9}, Payload: []byte("x")}
		if err := s.AppendWith(ctx, metastore.Position{}, e, with); err == nil {
			t.Errorf("append of entry %d after 0 succeeds", seq)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err := appendWith(ended, s, metastore.Position{}, "x", with)
	wantError(t, "append", err, context.Canceled)
	wantOffsets(ctx, t, s, "g", nil)
}

// appendWithRace lets appenders write the number of their entry as the offset of one group, some under its claim, while
// coordinators claim it, commit to it and delete it. Nobody may wait for another in a circle, so no call fails but as it
// should, and a group that is there has the offsets of the last entry.
func appendWithRace(ctx context.Context, t *testing.T, s metastore.Store) {
	const entries = 60
	ended := make(chan struct{})
	var appenders, coordinators sync.WaitGroup
	for c := range 2 {
		coordinators.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				g, err := s.ClaimGroup(ctx, "g", metastore.NodeID(c))
				if err == nil {
					err = s.CommitOffsets(ctx, "g", g.Epoch, offsetsOf(topicB, 3, 1, 2))
				}
				if err == nil && c == 0 {
					err = s.DeleteGroup(ctx, "g", g.Epoch)
				}
				if err != nil && !errors.Is(err, metastore.ErrFenced) {
					t.Errorf("coordinator: %v", err)
					return
				}
			}
		})
	}
	for a := range 4 {
		appenders.Go(func() {
			if err := raceAppends(ctx, s, a, entries); err != nil {
				t.Error(err)
			}
		})
	}
	appenders.Wait()
	close(ended)
	coordinators.Wait()
	last := mustReadAll(ctx, t, s, metastore.Position{})
	end := last[len(last)-1].Position
	if _, err := appendWith(ctx, s, end, "end", metastore.GroupChanges{Offsets: []metastore.GroupOffsets{{Group: "g", Offsets: offsetsOf(topicA, 9)}}}); err != nil {
		t.Fatal(err)
	}
	g, err := s.ReadGroup(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteGroup(ctx, "g", g.Epoch); err != nil {
		t.Fatal(err)
	}
	wantOffsets(ctx, t, s, "g", nil) // none was written past a deletion that took the others
}

// raceAppends appends until the log is long enough. Odd appenders depend on a claim.
func raceAppends(ctx context.Context, s metastore.Store, appender, entries int) error {
	p := metastore.Position{}
	for int(p.Seq) < entries {
		with := metastore.GroupChanges{Offsets: []metastore.GroupOffsets{{Group: "g", Offsets: asKept(offsetsOf(topicA, 2, 0, 1), metastore.Offset(p.Seq))}}}
		if appender%2 == 1 {
			with = metastore.GroupChanges{}
			if g, err := s.ReadGroup(ctx, "g"); err == nil {
				with.Claims = []metastore.GroupClaim{{Group: "g", Epoch: g.Epoch}}
			}
		}
		next, err := appendWith(ctx, s, p, fmt.Sprint(appender), with)
		switch {
		case err == nil:
			p = next
		case errors.Is(err, metastore.ErrConflict):
			news, err := s.Read(ctx, p, 1<<20)
			if err != nil {
				return fmt.Errorf("read: %w", err)
			}
			if len(news) == 0 {
				return fmt.Errorf("append conflicts at %d although the log ends there", p.Seq)
			}
			p = news[len(news)-1].Position
		case !errors.Is(err, metastore.ErrFenced):
			return fmt.Errorf("append: %w", err)
		}
	}
	return nil
}
