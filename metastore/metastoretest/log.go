package metastoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

var logCases = []testCase{
	{"EmptyLogHoldsNothing", emptyLog},
	{"AppendsAreReadInOrder", appendsAreRead},
	{"AppendRefusesOtherEnds", appendConflicts},
	{"AppendRefusesGaps", appendRefusesGaps},
	{"AppendKeepsNoReference", appendKeepsNoReference},
	{"AppendTakesEmptyPayload", appendEmptyPayload},
	{"AppendTakesLargePayload", appendLargePayload},
	{"ReadIsBounded", readIsBounded},
	{"ReadResultIsTheCallers", readResultIsTheCallers},
	{"ReadNoticesAnotherHistory", readRegressed},
	{"CallsEndWithTheirContext", logContext},
}

var logRaceCases = []testCase{
	{"OneWinnerPerEntry", appendRace},
	{"WaitIsWokenByAppend", waitIsWoken},
	{"WaitReturnsWithoutNews", waitReturns},
	{"WaitEndsWithItsContext", waitContext},
}

// mustAppend appends payloads after p and returns the end.
func mustAppend(ctx context.Context, t testing.TB, s metastore.Log, p metastore.Position, payloads ...string) metastore.Position {
	t.Helper()
	for _, payload := range payloads {
		next := p.Next([]byte(payload))
		if err := s.Append(ctx, p, next); err != nil {
			t.Fatalf("append %d: %v", next.Seq, err)
		}
		p = next.Position
	}
	return p
}

// mustFill appends n entries with payloads "1" to "n" and returns all positions, that of the empty log first.
func mustFill(ctx context.Context, t testing.TB, s metastore.Log, n int) []metastore.Position {
	t.Helper()
	all := []metastore.Position{{}}
	for i := range n {
		all = append(all, mustAppend(ctx, t, s, all[i], fmt.Sprint(i+1)))
	}
	return all
}

// mustReadAll returns everything after p, read in small steps, and checks that the entries chain.
func mustReadAll(ctx context.Context, t testing.TB, s metastore.Log, p metastore.Position) []metastore.Entry {
	t.Helper()
	var all []metastore.Entry
	for {
		entries, err := s.Read(ctx, p, 64)
		if err != nil {
			t.Fatalf("read after %d: %v", p.Seq, err)
		}
		if len(entries) == 0 {
			return all
		}
		for _, e := range entries {
			if want := p.Next(e.Payload).Position; e.Position != want {
				t.Fatalf("entry after %d is %+v, want %+v", p.Seq, e.Position, want)
			}
			p = e.Position
			all = append(all, e)
		}
	}
}

func wantError(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: error %v, want %v", what, got, want)
	}
}

func emptyLog(ctx context.Context, t *testing.T, s metastore.Store) {
	entries, err := s.Read(ctx, metastore.Position{}, 1<<20)
	if err != nil || len(entries) != 0 {
		t.Errorf("an empty log holds %v, error %v", entries, err)
	}
	wantEnd(ctx, t, s, 0)
}

func wantEnd(ctx context.Context, t testing.TB, s metastore.Log, want metastore.Seq) {
	t.Helper()
	if end, err := s.End(ctx); err != nil || end != want {
		t.Errorf("the log ends at %d, error %v, want %d", end, err, want)
	}
}

func appendsAreRead(ctx context.Context, t *testing.T, s metastore.Store) {
	positions := mustFill(ctx, t, s, 100)
	wantEnd(ctx, t, s, 100)
	for _, after := range []int{0, 1, 50, 99, 100} {
		entries := mustReadAll(ctx, t, s, positions[after])
		if len(entries) != 100-after {
			t.Fatalf("%d entries after %d, want %d", len(entries), after, 100-after)
		}
		for i, e := range entries {
			if want := fmt.Sprint(after + i + 1); string(e.Payload) != want {
				t.Fatalf("entry %d holds %q, want %q", e.Seq, e.Payload, want)
			}
		}
	}
}

func appendConflicts(ctx context.Context, t *testing.T, s metastore.Store) {
	p := mustFill(ctx, t, s, 3)
	other := metastore.Position{Seq: 3, Checksum: p[3].Checksum ^ 1}
	beyond := metastore.Position{Seq: 4, Checksum: 7}
	for name, expected := range map[string]metastore.Position{
		"the empty log": p[0], "an earlier entry": p[2], "another checksum": other, "a later entry": beyond,
	} {
		wantError(t, "append after "+name, s.Append(ctx, expected, expected.Next([]byte("x"))), metastore.ErrConflict)
	}
	if entries := mustReadAll(ctx, t, s, p[0]); len(entries) != 3 {
		t.Errorf("refused appends left %d entries, want 3", len(entries))
	}
	mustAppend(ctx, t, s, p[3], "4")
}

func appendRefusesGaps(ctx context.Context, t *testing.T, s metastore.Store) {
	p := mustFill(ctx, t, s, 1)
	for _, seq := range []metastore.Seq{-1, 0, 1, 3} {
		e := metastore.Entry{Position: metastore.Position{Seq: seq, Checksum: 9}, Payload: []byte("x")}
		if err := s.Append(ctx, p[1], e); err == nil {
			t.Errorf("append of entry %d after 1 succeeds", seq)
		}
	}
	if entries := mustReadAll(ctx, t, s, p[0]); len(entries) != 1 {
		t.Errorf("the log holds %d entries, want 1", len(entries))
	}
}

func appendKeepsNoReference(ctx context.Context, t *testing.T, s metastore.Store) {
	payload := []byte("as appended")
	if err := s.Append(ctx, metastore.Position{}, metastore.Position{}.Next(payload)); err != nil {
		t.Fatal(err)
	}
	copy(payload, "overwritten")
	if e := mustReadAll(ctx, t, s, metastore.Position{}); string(e[0].Payload) != "as appended" {
		t.Errorf("entry holds %q", e[0].Payload)
	}
}

func appendEmptyPayload(ctx context.Context, t *testing.T, s metastore.Store) {
	p := mustAppend(ctx, t, s, metastore.Position{}, "", "a", "")
	if e := mustReadAll(ctx, t, s, metastore.Position{}); len(e) != 3 || e[2].Position != p || len(e[2].Payload) != 0 {
		t.Errorf("read %v", e)
	}
}

func appendLargePayload(ctx context.Context, t *testing.T, s metastore.Store) {
	large := make([]byte, 1<<20)
	for i := range large {
		large[i] = byte(i * i >> 8)
	}
	p := mustAppend(ctx, t, s, metastore.Position{}, string(large), "small")
	entries := mustReadAll(ctx, t, s, metastore.Position{})
	if len(entries) != 2 || !bytes.Equal(entries[0].Payload, large) || entries[1].Position != p {
		t.Errorf("a payload of 1 MiB does not come back")
	}
}

func readIsBounded(ctx context.Context, t *testing.T, s metastore.Store) {
	p := metastore.Position{}
	for range 20 {
		p = mustAppend(ctx, t, s, p, string(make([]byte, 1000)))
	}
	for _, c := range []struct{ maxBytes, min, max int }{
		{-1, 1, 1}, {0, 1, 1}, {1, 1, 1}, {999, 1, 1}, {5000, 4, 6}, {1 << 20, 20, 20},
	} {
		entries, err := s.Read(ctx, metastore.Position{}, c.maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(entries); n < c.min || n > c.max {
			t.Errorf("read of %d bytes returns %d entries of 1000, want %d to %d", c.maxBytes, n, c.min, c.max)
		}
	}
}

func readResultIsTheCallers(ctx context.Context, t *testing.T, s metastore.Store) {
	mustAppend(ctx, t, s, metastore.Position{}, "one", "two")
	for _, e := range mustReadAll(ctx, t, s, metastore.Position{}) {
		clear(e.Payload)
	}
	if e := mustReadAll(ctx, t, s, metastore.Position{}); string(e[0].Payload) != "one" || string(e[1].Payload) != "two" {
		t.Errorf("writing to the result of a read changed the log: %v", e)
	}
}

func readRegressed(ctx context.Context, t *testing.T, s metastore.Store) {
	p := mustFill(ctx, t, s, 3)
	for name, after := range map[string]metastore.Position{
		"past the end":            {Seq: 4, Checksum: 1},
		"far past the end":        {Seq: 4000, Checksum: 1},
		"newest, other checksum":  {Seq: 3, Checksum: p[3].Checksum + 1},
		"earlier, other checksum": {Seq: 2, Checksum: p[3].Checksum},
		"empty, other checksum":   {Seq: 0, Checksum: 1},
	} {
		_, err := s.Read(ctx, after, 1<<20)
		wantError(t, "read after "+name, err, metastore.ErrRegressed)
	}
}

func logContext(ctx context.Context, t *testing.T, s metastore.Store) {
	p := mustFill(ctx, t, s, 1)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err := s.Read(ended, p[0], 1)
	wantError(t, "read", err, context.Canceled)
	wantError(t, "append", s.Append(ended, p[1], p[1].Next([]byte("2"))), context.Canceled)
	wantError(t, "save snapshot", s.SaveSnapshot(ended, metastore.Snapshot{Position: p[1]}), context.Canceled)
	_, err = s.ClaimGroup(ended, "g", 1)
	wantError(t, "claim group", err, context.Canceled)
	if entries := mustReadAll(ctx, t, s, p[0]); len(entries) != 1 {
		t.Errorf("an append whose context had ended before is there")
	}
}

// appendRace lets eight appenders each win 25 entries.
func appendRace(ctx context.Context, t *testing.T, s metastore.Store) {
	const appenders, each = 8, 25
	won := make([][]metastore.Entry, appenders)
	var all sync.WaitGroup
	for a := range appenders {
		all.Go(func() {
			p := metastore.Position{}
			for len(won[a]) < each {
				next := p.Next(fmt.Appendf(nil, "%d/%d", a, len(won[a])))
				err := s.Append(ctx, p, next)
				if err == nil {
					won[a] = append(won[a], next)
					p = next.Position
					continue
				}
				if !errors.Is(err, metastore.ErrConflict) {
					t.Errorf("append: %v", err)
					return
				}
				entries, err := s.Read(ctx, p, 1<<20)
				if err != nil {
					t.Errorf("read: %v", err)
					return
				}
				if len(entries) == 0 {
					t.Errorf("append conflicts at %d although the log ends there", p.Seq)
					return
				}
				p = entries[len(entries)-1].Position
			}
		})
	}
	all.Wait()
	log := mustReadAll(ctx, t, s, metastore.Position{})
	if len(log) != appenders*each {
		t.Errorf("the log holds %d entries, want %d", len(log), appenders*each)
	}
	for a := range won {
		for _, e := range won[a] {
			if got := log[e.Seq-1]; got.Position != e.Position || !bytes.Equal(got.Payload, e.Payload) {
				t.Errorf("appender %d won entry %d with %q, the log has %q", a, e.Seq, e.Payload, got.Payload)
			}
		}
	}
}

func waitIsWoken(ctx context.Context, t *testing.T, s metastore.Store) {
	p := metastore.Position{}
	for range 10 {
		woken := make(chan error, 1)
		go func() {
			for {
				if err := s.Wait(ctx, p.Seq); err != nil {
					woken <- err
					return
				}
				if entries, err := s.Read(ctx, p, 1); err != nil || len(entries) > 0 {
					woken <- err
					return
				}
			}
		}()
		next := p.Next([]byte("news"))
		if err := s.Append(ctx, p, next); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-woken:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			t.Fatal("an append wakes nobody")
		}
		p = next.Position
	}
	if err := s.Wait(ctx, 0); err != nil {
		t.Errorf("wait for what is there: %v", err)
	}
}

func waitReturns(ctx context.Context, t *testing.T, s metastore.Store) {
	start := time.Now()
	if err := s.Wait(ctx, 0); err != nil {
		t.Errorf("wait: %v", err)
	}
	if took := time.Since(start); took > patience {
		t.Errorf("wait without news takes %s", took)
	}
}

func waitContext(ctx context.Context, t *testing.T, s metastore.Store) {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	wantError(t, "wait", s.Wait(ended, 0), context.Canceled)
}
