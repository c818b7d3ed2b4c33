package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/broker/audit"
)

// kept is a Sink in memory. Writes wait for the gate, if there is one, and fail with err, if there is one.
type kept struct {
	gate chan struct{}

	mu    sync.Mutex
	lines []map[string]any
	err   error
}

func (k *kept) Write(ctx context.Context, lines [][]byte) error {
	if k.gate != nil {
		select {
		case <-k.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return k.err
	}
	for _, line := range lines {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		k.lines = append(k.lines, m)
	}
	return nil
}

func (k *kept) all() []map[string]any {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]map[string]any(nil), k.lines...)
}

// run runs a log until the test, or stop, ends.
func run(t *testing.T, l *audit.Log) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func TestAnEventIsALineOfJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := new(kept)
		l := audit.New(sink, audit.Options{})
		stop := run(t, l)
		l.Record(audit.Event{
			Kind: audit.Change, Principal: "User:eve\n{\"kind\":\"change\"}", Host: "10.0.0.1", ClientID: "\xff", Listener: "PUBLIC", Action: "AlterConfigs",
			Resource: "Topic:a", Detail: strings.Repeat("x", 5000), Before: map[string]string{"retention.ms": "1"}, After: map[string]string{"retention.ms": "2"},
		})
		stop()
		lines := sink.all()
		if len(lines) != 1 {
			t.Fatalf("%d lines", len(lines))
		}
		e := lines[0]
		if e["principal"] != "User:eve\n{\"kind\":\"change\"}" || e["outcome"] != "success" || e["client_id"] != "\uFFFD" || len(e["detail"].(string)) > 1100 {
			t.Errorf("got %v", e)
		}
		if after := e["after"].(map[string]any); after["retention.ms"] != "2" {
			t.Errorf("after: %v", after)
		}
		if at, err := time.Parse(time.RFC3339Nano, e["time"].(string)); err != nil || !at.Equal(time.Now()) {
			t.Errorf("time %v: %v", e["time"], err)
		}
	})
}

// Anybody can be denied a thousand times a second; what an administrator changes meanwhile must be seen.
func TestAFloodOfDenialsHidesNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := new(kept)
		l := audit.New(sink, audit.Options{Rate: 10, Burst: 20})
		stop := run(t, l)
		for range 5 {
			for range 1000 {
				l.Record(audit.Event{Kind: audit.Denial, Failed: true})
			}
			l.Record(audit.Event{Kind: audit.Change})
			time.Sleep(time.Second) // virtual
		}
		stop()
		counts, told := map[string]int{}, 0
		for _, e := range sink.all() {
			counts[e["kind"].(string)]++
			if e["kind"] == "suppressed" {
				var n int
				if _, err := fmt.Sscan(e["detail"].(string), &n); err != nil || e["action"] != "denial" {
					t.Errorf("%v: %v", e, err)
				}
				told += n
			}
		}
		if counts["change"] != 5 || counts["denial"] != 20+4*10 || counts["denial"]+told != 5000 {
			t.Errorf("got %v, %d told of", counts, told)
		}
	})
}

func TestRecordNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &kept{gate: make(chan struct{})}
		l := audit.New(sink, audit.Options{Queue: 8, Burst: 1 << 20})
		stop := run(t, l)
		for range 1000 {
			l.Record(audit.Event{Kind: audit.Change}) // which may have all of the queue
		}
		close(sink.gate)
		stop()
		told := 0
		for _, e := range sink.all() {
			if e["kind"] == "suppressed" {
				told++
			}
		}
		if n := len(sink.all()); n < 8 || n > 20 || told != 1 {
			t.Errorf("%d events, %d of them about others", n, told)
		}
	})
}

func TestASinkThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &kept{gate: make(chan struct{})}
		l := audit.New(sink, audit.Options{WriteWait: time.Second})
		stop := run(t, l)
		l.Record(audit.Event{Kind: audit.Change, Action: "first"})
		time.Sleep(2 * time.Second) // virtual
		close(sink.gate)
		l.Record(audit.Event{Kind: audit.Change, Action: "second"})
		stop()
		if lines := sink.all(); len(lines) != 2 || lines[0]["kind"] != "suppressed" || lines[1]["action"] != "second" {
			t.Errorf("got %v", lines)
		}
	})
}

func TestAFileIsFollowedWhenItIsRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	f, err := audit.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(line string) {
		t.Helper()
		if err := f.Write(t.Context(), [][]byte{[]byte(line)}); err != nil {
			t.Fatal(err)
		}
	}
	write("a")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("b")
	write("c")
	for name, want := range map[string]string{path + ".1": "a\n", path: "b\nc\n"} {
		got, err := os.ReadFile(name)
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
}

func TestAFileThatCannotBeWrittenIsAnErrorAtStart(t *testing.T) {
	if _, err := audit.OpenFile(filepath.Join(t.TempDir(), "no", "audit.log")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestAnEventIsToldAsItWas: and what it holds of requests, which may be long, is not kept until it is written.
func TestAnEventIsToldAsItWas(t *testing.T) {
	sink := new(kept)
	l := audit.New(sink, audit.Options{})
	after := map[string]string{"retention.ms": "1"}
	l.Record(audit.Event{Kind: audit.Change, After: after})
	after["retention.ms"] = "2"
	run(t, l)()
	if got := sink.all()[0]["after"].(map[string]any)["retention.ms"]; got != "1" {
		t.Errorf("told as %v", got)
	}
}

// TestDenialsLeaveRoomForChanges: while the sink takes nothing.
func TestDenialsLeaveRoomForChanges(t *testing.T) {
	sink := new(kept)
	l := audit.New(sink, audit.Options{Rate: 1e6, Burst: 1e6, Queue: 100})
	for range 1000 {
		l.Record(audit.Event{Kind: audit.Denial, Failed: true})
	}
	l.Record(audit.Event{Kind: audit.Change})
	run(t, l)()
	changes := 0
	for _, e := range sink.all() {
		if e["kind"] == "change" {
			changes++
		}
	}
	if changes != 1 {
		t.Errorf("%d changes of %d events", changes, len(sink.all()))
	}
}
