package metastore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// LogReader is what TakeSurvey needs of a Log.
type LogReader interface {
	Read(ctx context.Context, after Position, maxBytes int) ([]Entry, error)
	End(ctx context.Context) (Seq, error)
	LatestSnapshot(ctx context.Context) (Snapshot, error)
}

// Survey is a state folded from a log to be looked at as a whole, and what was found wrong with the log on the way. It
// belongs to its reader: it stays as it was at Position, and nothing else writes to it. It takes what the folded state
// takes on a broker.
//
// A broker trusts the newest snapshot and folds what comes after it. A survey does not:
//
//   - While the log goes back to its first entry, all of it is folded, and the state that it gives at the snapshot's
//     position is compared with the snapshot.
//   - Once its beginning was trimmed, nothing tells the state before the oldest entry left. The entries kept before the
//     snapshot (those of the last MaxSegmentAge) must then chain to the snapshot's own checksum, and every batch that they
//     say was accepted must be in it.
type Survey struct {
	Position Position   // of the last entry folded
	Snapshot Position   // of the newest snapshot; zero if there was none
	Entries  int64      // how many were read and had their place in the chain
	Faults   []LogFault // at most maxLogFaults
	// Broken says that the log cannot be followed any further than Position, although it is longer: what it holds after that
	// is not known.
	Broken bool

	state *State
}

// LogFaultKind is the sort of a LogFault.
type LogFaultKind uint8

// The kinds.
const (
	BrokenChain       LogFaultKind = iota // an entry does not continue the ones before it, or cannot be read
	CorruptSnapshot                       // the newest snapshot cannot be decoded
	SnapshotDisagrees                     // it is not what the entries say
)

// LogFault is something wrong with the log or its snapshot.
type LogFault struct {
	Kind   LogFaultKind
	Seq    Seq // of the entry, or of the snapshot
	Detail string
}

const (
	maxLogFaults    = 100
	surveyReadBytes = 4 << 20
	// surveyAttempts is how often a survey begins anew because the log was trimmed under it, which needs thousands of
	// entries in the time of one read.
	surveyAttempts = 5
)

// TakeSurvey folds the log up to where it ends at the time of the call or later. What is wrong with the log is in the
// survey; an error is that it could not be read, or is of a newer format (ErrNewerFormat).
func TakeSurvey(ctx context.Context, log LogReader) (*Survey, error) {
	for attempt := 1; ; attempt++ {
		s := &Survey{state: NewState()}
		err := s.take(ctx, log)
		if err == nil || !errors.Is(err, ErrTrimmed) {
			return s, err
		}
		if attempt < surveyAttempts {
			continue
		}
		if s.Snapshot.Seq > 0 {
			return nil, fmt.Errorf("the log was trimmed %d times while it was read: %w", attempt, err)
		}
		s.state = NewState()
		s.broken(0, "the oldest entries are gone, and no snapshot that can be read replaces them")
		return s, nil
	}
}

func (s *Survey) take(ctx context.Context, log LogReader) error {
	end, err := log.End(ctx)
	if err != nil {
		return fmt.Errorf("look for the end of the commit log: %w", err)
	}
	saved, err := s.loadSnapshot(ctx, log)
	if err != nil {
		return err
	}
	err = s.follow(ctx, log, max(end, s.savedSeq(saved)), saved)
	if !errors.Is(err, ErrTrimmed) || saved == nil {
		return err
	}
	// Its beginning is gone: the snapshot stands for it.
	before := oldestNeeded(saved)
	s.state, s.Entries = NewState(), 0
	if before.Seq < saved.at.Seq {
		if err := s.compareKept(ctx, log, before, saved); err != nil || s.Broken {
			return err
		}
	}
	s.state, s.Position = saved, saved.at
	return s.follow(ctx, log, max(end, saved.at.Seq), nil)
}

func (s *Survey) savedSeq(saved *State) Seq {
	if saved == nil {
		return 0
	}
	return saved.at.Seq
}

// loadSnapshot returns nil if there is none that can be read.
func (s *Survey) loadSnapshot(ctx context.Context, log LogReader) (*State, error) {
	snapshot, err := log.LatestSnapshot(ctx)
	if errors.Is(err, ErrNoSnapshot) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load snapshot: %w", err)
	}
	state, err := decodeState(snapshot)
	if errors.Is(err, ErrCorrupt) {
		s.fault(CorruptSnapshot, snapshot.Seq, err.Error())
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.Snapshot = snapshot.Position
	return state, nil
}

// oldestNeeded is the position before the oldest entry that is kept for the sake of commits that are asked for again.
func oldestNeeded(saved *State) Position {
	oldest := saved.at
	for _, n := range saved.recent {
		if before := saved.table.at(n).before; before.Seq < oldest.Seq {
			oldest = before
		}
	}
	return oldest
}

// follow folds entries from where the state is, through `through` at least. When it comes by the position of saved, it
// compares.
func (s *Survey) follow(ctx context.Context, log LogReader, through Seq, saved *State) error {
	s.Position = s.state.at
	for s.state.at.Seq < through {
		entries, err := s.read(ctx, log, s.state.at)
		if err != nil || s.Broken {
			return err
		}
		if len(entries) == 0 {
			s.broken(s.state.at.Seq, fmt.Sprintf("the log ends after entry %d, and had entry %d before", s.state.at.Seq, through))
			return nil
		}
		for _, e := range entries {
			rec, ok, err := s.next(s.state.at, e)
			if err != nil || !ok {
				return err
			}
			s.state.apply(e.Position, rec, func(TopicPartition) {})
			s.Position = s.state.at
			if saved != nil && saved.at.Seq == e.Seq {
				s.compare(saved)
			}
		}
	}
	return nil
}

// read asks for the entries after a position. That the log does not hold the position is a fault, not an error.
func (s *Survey) read(ctx context.Context, log LogReader, after Position) ([]Entry, error) {
	entries, err := log.Read(ctx, after, surveyReadBytes)
	switch {
	case errors.Is(err, ErrRegressed):
		s.broken(after.Seq+1, err.Error())
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read commit log after %d: %w", after.Seq, err)
	}
	return entries, nil
}

// next decodes the entry after a position; false if it is not the next.
func (s *Survey) next(at Position, e Entry) (record, bool, error) {
	if want := at.Next(e.Payload).Position; e.Position != want {
		s.broken(e.Seq, fmt.Sprintf("entry %d after %d has checksum %016x, its payload gives %016x", e.Seq, at.Seq, e.Checksum, want.Checksum))
		return record{}, false, nil
	}
	rec, err := decodeEntry(e)
	if errors.Is(err, ErrCorrupt) {
		s.broken(e.Seq, fmt.Sprintf("entry %d cannot be read: %v", e.Seq, err))
		return record{}, false, nil
	}
	if err != nil {
		return record{}, false, fmt.Errorf("entry %d: %w", e.Seq, err)
	}
	s.Entries++
	return rec, true, nil
}

func (s *Survey) fault(kind LogFaultKind, at Seq, detail string) {
	if len(s.Faults) < maxLogFaults {
		s.Faults = append(s.Faults, LogFault{Kind: kind, Seq: at, Detail: detail})
	}
}

func (s *Survey) broken(at Seq, detail string) {
	s.Broken = true
	s.fault(BrokenChain, at, detail)
}

// LogTime is the greatest time that an entry carries; zero if there is none.
func (s *Survey) LogTime() time.Time {
	return s.state.logTime()
}
