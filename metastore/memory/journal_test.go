package memory

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// dump is the whole state, for comparison.
func (s *state) dump() string {
	var b []byte
	for _, c := range s.image() {
		b = appendRecord(b, c)
	}
	return string(b)
}

// step is a moment in the history of a journal file: every call before it had returned.
type step struct {
	size  int64
	state string
}

// history makes every kind of change, one after the other, and returns the file and its steps.
func history(t testing.TB) (file []byte, steps []step) {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	s := openDir(t, dir, Options{})
	name := filepath.Join(dir, fileName(1))
	note := func(err error) {
		t.Helper()
		info, statErr := os.Stat(name)
		if err := errors.Join(err, statErr); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step{info.Size(), s.state.dump()})
	}
	note(nil)
	p := metastore.Position{}
	for i := range 4 {
		next := p.Next(fmt.Appendf(nil, "entry %d", i))
		note(s.Append(ctx, p, next))
		p = next.Position
	}
	note(s.SaveSnapshot(ctx, metastore.Snapshot{Position: p, State: []byte("state")}))
	_, err := s.Trim(ctx, 3, 10)
	note(err)
	_, err = s.RegisterBroker(ctx, metastore.Broker{NodeID: 1}, time.Hour)
	note(err)
	for _, holder := range []metastore.NodeID{1, 2} {
		_, err = s.HoldLease(ctx, "sequencer", holder, 1, time.Hour)
		note(errors.Join(err, s.ReleaseLease(ctx, "sequencer", holder, 1)))
	}
	g, err := s.ClaimGroup(ctx, "g", 1)
	note(err)
	g.State, g.StateName, g.ProtocolType = []byte{}, "Empty", "consumer"
	note(s.WriteGroup(ctx, g))
	offsets := []metastore.CommittedOffset{{Offset: 1, TopicName: "t"}, {Offset: 2, Metadata: "m", CommittedAt: time.Unix(7, 8)}}
	offsets[1].Partition = 1
	note(s.CommitOffsets(ctx, "g", g.Epoch, offsets))
	note(s.DeleteOffsets(ctx, "g", g.Epoch, []metastore.TopicPartition{{Partition: 1}}))
	note(s.DeleteTopicOffsets(ctx, metastore.TopicID{}))
	note(s.DeleteGroup(ctx, "g", g.Epoch))
	h, err := s.ClaimGroup(ctx, "h", 1)
	note(err)
	with := p.Next([]byte("with rows"))
	note(s.AppendWith(ctx, p, with, metastore.GroupChanges{
		Claims:  []metastore.GroupClaim{{Group: "h", Epoch: h.Epoch}},
		Offsets: []metastore.GroupOffsets{{Group: "g", Offsets: offsets}, {Group: "h", Offsets: offsets}},
	}))
	p = with.Position
	note(s.Append(ctx, p, p.Next([]byte("the last"))))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err = os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return file, steps
}

// openBytes opens a store on a directory with one journal file.
func openBytes(t testing.TB, dir string, file []byte) (*Store, error) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, fileName(1)), file, 0o600); err != nil {
		t.Fatal(err)
	}
	return Open(t.Context(), dir, Options{})
}

func TestJournalCutAnywhereHoldsAllBeforeTheCut(t *testing.T) {
	file, steps := history(t)
	dir, done := t.TempDir(), 0
	for cut := range int64(len(file) + 1) {
		r, err := replay(bytes.NewReader(file[:cut]), cut)
		if cut < steps[0].size {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("cut inside the checkpoint, at %d: error %v", cut, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		for done+1 < len(steps) && steps[done+1].size <= cut {
			done++
		}
		if r.state.dump() != steps[done].state || r.end != steps[done].size {
			t.Fatalf("cut at %d: the state is not that after step %d", cut, done)
		}
		if cut%8 != 0 { // files take their time
			continue
		}
		s, err := openBytes(t, dir, file[:cut])
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		end := s.state.end()
		if err := errors.Join(s.Append(t.Context(), end, end.Next([]byte("on"))), s.Close()); err != nil {
			t.Fatalf("cut at %d: go on: %v", cut, err)
		}
		if s, err = Open(t.Context(), dir, Options{}); err != nil {
			t.Fatalf("cut at %d: open again: %v", cut, err)
		}
		if s.state.end() != end.Next([]byte("on")).Position {
			t.Fatalf("cut at %d: what came after the cut is not there", cut)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if done != len(steps)-1 {
		t.Errorf("%d of %d steps seen", done, len(steps)-1)
	}
}

func TestJournalWithTornLastWrite(t *testing.T) {
	file, steps := history(t)
	last, before := steps[len(steps)-1], steps[len(steps)-2]
	pages := bytes.Clone(file) // the file grew, but the page with the frame's header was not written
	clear(pages[before.size : before.size+frameHeaderSize+5])
	body := bytes.Clone(file)
	clear(body[last.size-3:])
	for name, c := range map[string]struct {
		file []byte
		want step
	}{
		"ZerosAfter":     {append(bytes.Clone(file), make([]byte, 3<<20)...), last},
		"NoiseAfter":     {append(bytes.Clone(file), bytes.Repeat([]byte(frameMagic+"noise"), 300_000)...), last},
		"HeaderMissing":  {pages, before},
		"BodyIncomplete": {body, before},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := openBytes(t, t.TempDir(), c.file)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.state.dump() != c.want.state {
				t.Error("wrong state")
			}
			info, err := os.Stat(filepath.Join(s.journal.dir, fileName(1)))
			if err != nil || info.Size() != c.want.size {
				t.Errorf("file is %d bytes (%v), want %d", info.Size(), err, c.want.size)
			}
		})
	}
}

func TestJournalDamagedInTheMiddleIsRefused(t *testing.T) {
	file, steps := history(t)
	last := steps[len(steps)-2].size // where the last frame begins
	for at := range int64(len(file)) {
		damaged := bytes.Clone(file)
		damaged[at] ^= 0x10
		r, err := replay(bytes.NewReader(damaged), int64(len(damaged)))
		switch {
		case at < last && err == nil:
			t.Fatalf("damage at byte %d goes unnoticed", at)
		case at >= last && (err != nil || r.end != last):
			t.Fatalf("damage at byte %d, in the last frame: end %d, error %v", at, r.end, err)
		}
	}
}

func TestClientsCannotForgeFrames(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir, Options{})
	p := metastore.Position{}
	forged := append(frameHeader(1, 3, []byte("x")), 'x') // right but for the salt
	if err := errors.Join(s.Append(t.Context(), p, p.Next(bytes.Repeat(forged, 50))), s.Close()); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, fileName(1)))
	if err != nil {
		t.Fatal(err)
	}
	s, err = openBytes(t, t.TempDir(), file[:len(file)-1])
	if err != nil {
		t.Fatalf("a torn write of bytes that look like frames: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryIsLocked(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir, Options{})
	if _, err := Open(t.Context(), dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Fatalf("second open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openDir(t, dir, Options{})
}

func TestUnfinishedCheckpointIsRemoved(t *testing.T) {
	file, steps := history(t)
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		fileName(1): file[:steps[0].size], fileName(2): file, fileName(3) + tmpSuffix: file[:40],
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := openDir(t, dir, Options{})
	if s.state.dump() != steps[len(steps)-1].state {
		t.Error("the newest file does not count")
	}
	left, err := filepath.Glob(filepath.Join(dir, filePrefix+"*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != fileName(2) {
		t.Errorf("files left: %v (%v)", left, err)
	}
}

func TestCheckpointsBoundTheJournal(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir, Options{CheckpointBytes: 10 << 10})
	g, err := s.ClaimGroup(t.Context(), "g", 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		g.State = bytes.Repeat([]byte{byte(i)}, 1000)
		if err := s.WriteGroup(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, filePrefix+"*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("files %v (%v)", files, err)
		}
		if info, err := os.Stat(files[0]); err != nil || info.Size() > 14<<10 {
			t.Fatalf("journal of %d bytes (%v)", info.Size(), err)
		}
	}
	if s.journal.number < 10 {
		t.Errorf("%d checkpoints", s.journal.number)
	}
}

// brokenFile fails like a disk.
type brokenFile struct {
	journalFile
	writeErr, syncErr error
}

func (f brokenFile) Write(b []byte) (int, error) {
	if f.writeErr != nil {
		return 0, f.writeErr
	}
	return f.journalFile.Write(b)
}

func (f brokenFile) Sync() error { return f.syncErr }

func TestDiskErrorPoisons(t *testing.T) {
	diskErr := errors.New("disk on fire")
	for name, broken := range map[string]brokenFile{"Write": {writeErr: diskErr}, "Sync": {syncErr: diskErr}} {
		t.Run(name, func(t *testing.T) {
			ctx, s := t.Context(), openDir(t, t.TempDir(), Options{})
			p := metastore.Position{}
			first := p.Next([]byte("one"))
			if err := s.Append(ctx, p, first); err != nil {
				t.Fatal(err)
			}
			working := s.journal.file
			broken.journalFile = working
			s.journal.file = broken
			if err := s.Append(ctx, first.Position, first.Next([]byte("two"))); !errors.Is(err, diskErr) {
				t.Errorf("append: %v", err)
			}
			s.journal.file = working // a second attempt would look like success
			for call, err := range map[string]error{
				"append": s.Append(ctx, first.Position, first.Next([]byte("two"))),
				"read":   func() error { _, err := s.Read(ctx, p, 1); return err }(),
				"wait":   s.Wait(ctx, 0),
				"renew":  s.RenewBroker(ctx, 1, 1, time.Hour),
			} {
				if !errors.Is(err, diskErr) {
					t.Errorf("%s after the failure: %v", call, err)
				}
			}
		})
	}
}

// slowFile lets a test look while a sync is under way.
type slowFile struct {
	journalFile
	syncing, release chan struct{}
}

func (f slowFile) Sync() error {
	f.syncing <- struct{}{}
	<-f.release
	return f.journalFile.Sync()
}

func TestNobodySeesAnAppendBeforeItIsDurable(t *testing.T) {
	ctx, s := t.Context(), openDir(t, t.TempDir(), Options{})
	slow := slowFile{s.journal.file, make(chan struct{}), make(chan struct{})}
	s.journal.file = slow
	appended, p := make(chan error, 1), metastore.Position{}
	go func() { appended <- s.Append(ctx, p, p.Next([]byte("one"))) }()
	<-slow.syncing

	hasty, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if entries, err := s.Read(hasty, p, 100); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read during the sync: %v, %v", entries, err)
	}
	select {
	case err := <-appended:
		t.Errorf("append returns %v during the sync", err)
	default:
	}
	close(slow.release)
	if err := <-appended; err != nil {
		t.Error(err)
	}
	s.journal.file = slow.journalFile
	if entries, err := s.Read(ctx, p, 100); err != nil || len(entries) != 1 {
		t.Errorf("read after the sync: %v, %v", entries, err)
	}
}

var writeGolden = flag.Bool("write-golden", false, "write the golden file of a new format version")

// goldenJournal is a file that history wrote when its version was new.
func goldenJournal(t testing.TB, version int) []byte {
	t.Helper()
	file, err := os.ReadFile(fmt.Sprintf("testdata/journal-v%d", version))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestGoldenJournals: files that a version has written are read by all later ones.
func TestGoldenJournals(t *testing.T) {
	if *writeGolden {
		file, _ := history(t)
		f, err := os.OpenFile(fmt.Sprintf("testdata/journal-v%d", fileVersion), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(file); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for version := 1; version <= fileVersion; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) { goldenJournalIsRead(t, version) })
	}
}

func goldenJournalIsRead(t *testing.T, version int) {
	file := goldenJournal(t, version)
	r, err := replay(bytes.NewReader(file), int64(len(file)))
	if err != nil || r.end != int64(len(file)) {
		t.Fatalf("readable to %d of %d: %v", r.end, len(file), err)
	}
	s := r.state
	if len(s.cluster) != 22 || s.base.Seq != 2 || len(s.entries) != 3 || string(s.entries[2].Payload) != "the last" ||
		s.snapshot.Seq != 4 || string(s.snapshot.State) != "state" || s.brokerEpochs[1] != 1 || s.groupEpoch != 1 || len(s.groups) != 0 {
		t.Errorf("state is %+v", s)
	}
	if leases := map[int]int64{1: 0, 2: 2, 3: 2}; s.leaseEpochs["sequencer"] != leases[version] {
		t.Errorf("lease epochs are %v", s.leaseEpochs)
	}
	// And the encoder still writes them so: every frame, decoded and encoded again, is what it was.
	frames, err := openFrames(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	again := fileHeader(frames.version, frames.salt)
	for {
		body, err := frames.next()
		if err != nil {
			break
		}
		var encoded []byte
		for rest := body; len(rest) > 0; {
			var c change
			if c, rest, err = decodeRecord(rest); err != nil {
				t.Fatal(err)
			}
			encoded = appendRecord(encoded, c)
		}
		again = append(append(again, frameHeader(frames.salt, frames.number, encoded)...), encoded...)
	}
	if !bytes.Equal(again, file) {
		t.Error("the encoding has changed: that takes a new version")
	}
}

// A file of an older version is not written to: what it would get, that version may not know.
func TestOlderJournalGoesOnInANewFile(t *testing.T) {
	dir, old := t.TempDir(), goldenJournal(t, 1)
	s, err := openBytes(t, dir, old)
	if err != nil {
		t.Fatal(err)
	}
	end, state := s.state.end(), s.state.dump()
	r, err := replay(bytes.NewReader(old), int64(len(old)))
	if err != nil || r.state.dump() != state {
		t.Errorf("the state is not that of the file (%v)", err)
	}
	if err := errors.Join(s.Append(t.Context(), end, end.Next([]byte("on"))), s.Close()); err != nil {
		t.Fatal(err)
	}
	files, err := journalFiles(dir)
	if err != nil || len(files) != 1 || files[0] != 2 {
		t.Errorf("files %v (%v), want the second alone", files, err)
	}
	s = openDir(t, dir, Options{})
	if s.journal.version != fileVersion || s.state.end().Seq != end.Seq+1 {
		t.Errorf("version %d, ending at %d", s.journal.version, s.state.end().Seq)
	}
}

func FuzzReplay(f *testing.F) {
	file, steps := history(f)
	f.Add(file)
	f.Add(file[:steps[3].size+7])
	for version := 1; version <= fileVersion; version++ {
		f.Add(goldenJournal(f, version))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := replay(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		if r.checkpoint > r.end || r.end > int64(len(file)) {
			t.Errorf("checkpoint %d, end %d of %d", r.checkpoint, r.end, len(file))
		}
	})
}

// FuzzRecords reads records without the checksums that keep a fuzzer out.
func FuzzRecords(f *testing.F) {
	file, _ := history(f)
	frames, err := openFrames(bytes.NewReader(file), int64(len(file)))
	for err == nil {
		var body []byte
		body, err = frames.next()
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s := newState()
		if _, err := s.replayFrame(body); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("error %v", err)
			}
			return
		}
		if again := newState(); s.cluster != "" {
			if _, err := again.replayFrame([]byte(s.dump())); err != nil || again.dump() != s.dump() {
				t.Errorf("the image of a state makes another (%v)", err)
			}
		}
	})
}
