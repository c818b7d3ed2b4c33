package audit_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/broker/audit"
)

// A pipe that nobody reads hangs whoever opens it for writing, in the kernel, as a file system of a network does that lost its server.

// hangingFile is a file of which the next write hangs. recover ends that, and makes room for a new file.
func hangingFile(t *testing.T, patience time.Duration) (f *audit.File, path string, recover func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "audit.log")
	f, err := audit.OpenFileFor(path, patience)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	var reader *os.File
	recover = func() {
		if reader != nil {
			return
		}
		if reader, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
			t.Error(err)
			return
		}
		if err := os.Rename(path, path+".pipe"); err != nil {
			t.Error(err)
		}
		t.Cleanup(func() { reader.Close() })
	}
	t.Cleanup(recover)
	return f, path, recover
}

func counted(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// TestAFileThatHangsHoldsUpNobody: what cannot be written is counted, and what comes when the file answers again is written.
func TestAFileThatHangsHoldsUpNobody(t *testing.T) {
	f, path, recover := hangingFile(t, 20*time.Second)
	reg := prometheus.NewRegistry()
	l := audit.New(f, audit.Options{WriteWait: 20 * time.Millisecond, Queue: 64, Burst: 1 << 20, Registerer: reg})
	stop := run(t, l)
	const events = 10_000
	for range events {
		l.Record(audit.Event{Kind: audit.Change, Action: "meanwhile"})
	}
	await(t, "all that was recorded is lost or left out", func() bool {
		return counted(t, reg, "runnel_audit_events_lost_total")+counted(t, reg, "runnel_audit_events_left_out_total") >= events
	})
	recover()
	await(t, "later events are written, and how many are missing", func() bool {
		l.Record(audit.Event{Kind: audit.Change, Action: "afterwards"})
		text, err := os.ReadFile(path)
		return err == nil && bytes.Contains(text, []byte("afterwards")) && bytes.Contains(text, []byte("events of this kind were left out"))
	})
	stop()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// TestAFileThatHangsDoesNotHoldUpTheEnd, nor the start.
func TestAFileThatHangsDoesNotHoldUpTheEnd(t *testing.T) {
	f, path, _ := hangingFile(t, 500*time.Millisecond)
	l := audit.New(f, audit.Options{WriteWait: 20 * time.Millisecond, DrainWait: 20 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Record(audit.Event{Kind: audit.Change})
	if err := l.Run(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run: %v", err)
	}
	if err := f.Close(); !errors.Is(err, audit.ErrHangs) {
		t.Errorf("Close: %v", err)
	}
	if _, err := audit.OpenFileFor(path, 20*time.Millisecond); !errors.Is(err, audit.ErrHangs) {
		t.Errorf("OpenFile: %v", err)
	}
}
