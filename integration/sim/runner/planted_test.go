package runner

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/sim"
	"github.com/runnel-io/runnel/integration/sim/audit"
	"github.com/runnel-io/runnel/integration/sim/faults"
	"github.com/runnel-io/runnel/planted"
)

// shows says how a planted bug shows itself.
type shows struct {
	bug   planted.Bug
	names []string // anomalies, any of which it must be found by
	says  string   // what the anomaly's text has to contain
	kinds []faults.Kind
}

var showing = []shows{
	{bug: planted.AckBeforePut, names: []string{string(fsck.MissingObject)}, kinds: []faults.Kind{faults.PutLost, faults.SlowDown}},
	{bug: planted.DeleteBeforeGrace, names: []string{string(fsck.MissingObject)},
		kinds: []faults.Kind{faults.CommitUnanswered, faults.CommitLate, faults.CommitSlow, faults.MetastoreUnreachable}},
	{bug: planted.CommitNotIdempotent, names: []string{checker.Duplicate},
		kinds: []faults.Kind{faults.CommitUnanswered, faults.CommitLate, faults.MetastoreUnreachable}},
	{bug: planted.UnknownIsDone, names: []string{checker.LostWrite, string(fsck.OffsetBeyondEnd), audit.StateMismatch},
		kinds: []faults.Kind{faults.CommitLost, faults.Crash}},
	{bug: planted.SequencesUnchecked, names: []string{checker.Duplicate},
		kinds: []faults.Kind{faults.Reset, faults.Crash, faults.CommitSlow}},
	{bug: planted.OffsetZeroOnError, names: []string{checker.InconsistentOffsets, checker.LostWrite},
		kinds: []faults.Kind{faults.CommitLost, faults.MetastoreUnreachable, faults.PutLost}},
	{bug: planted.HighAhead, names: []string{checker.HWMBack},
		kinds: []faults.Kind{faults.CommitSlow, faults.CommitLost, faults.CommitLate}},
	{bug: planted.BehindIsOutOfRange, names: []string{checker.NonmonotonicPoll},
		kinds: []faults.Kind{faults.LookFails, faults.MetastoreUnreachable, faults.PeersUnreachable, faults.Partition}},
	{bug: planted.LSOReadApart, names: []string{checker.AbortedRead}, kinds: []faults.Kind{faults.Crash}},
	{bug: planted.ReadsPastStable, names: []string{checker.AbortedRead, checker.PrecommittedRead}, kinds: []faults.Kind{faults.Crash}},
	{bug: planted.AbortedForgotten, names: []string{checker.AbortedRead}, kinds: []faults.Kind{faults.Crash}},
	{bug: planted.MarkersTorn, names: []string{sim.Stuck}, says: "a transaction is open", kinds: []faults.Kind{faults.Crash}},
	{bug: planted.TxnOffsetsLost, names: []string{checker.CommittedOffsetBack, checker.NotExactlyOnce}, kinds: []faults.Kind{faults.Crash}},
	{bug: planted.ZombieNotFenced, names: []string{checker.LostWrite, checker.TornTransaction}, kinds: []faults.Kind{faults.Crash}},
	{bug: planted.LeaseNotFenced, names: []string{checker.CommittedOffsetBack, checker.TwoOwners},
		kinds: []faults.Kind{faults.LeaseLost, faults.LeaseUnanswered, faults.MetastoreUnreachable, faults.Restart}},
	{bug: planted.OffsetsAckedEarly, names: []string{checker.CommittedOffsetBack},
		kinds: []faults.Kind{faults.GroupWriteLost, faults.GroupWriteUnanswered, faults.GroupWriteSlow, faults.Crash}},
	{bug: planted.GroupForgotten, names: []string{checker.TwoOwners}, kinds: []faults.Kind{faults.Crash, faults.Restart, faults.LongPause}},
	{bug: planted.SkipsUnreadable, names: []string{checker.PollSkip},
		kinds: []faults.Kind{faults.GetFails, faults.GetBroken, faults.SlowDown, faults.Crash}},
	{bug: planted.GarbageUngraced, names: []string{audit.EarlyDeletion}, kinds: []faults.Kind{faults.Crash}},
	{bug: planted.GraceByOneClock, names: []string{audit.EarlyDeletion}, kinds: []faults.Kind{faults.ClockJump}},
	{bug: planted.OrphanTooSoon, names: []string{audit.EarlyDeletion, string(fsck.MissingObject)},
		kinds: []faults.Kind{faults.CommitSlow, faults.CommitUnanswered, faults.CommitLate}},
	{bug: planted.NamedGarbage, names: []string{audit.EarlyDeletion, string(fsck.MissingObject)}, kinds: []faults.Kind{faults.Crash}},
	{bug: planted.SwapUnchecked, names: []string{checker.WrongValue, checker.AbortedRead, checker.LostWrite, checker.PollSkip},
		kinds: []faults.Kind{faults.GetSlow, faults.PutSlow, faults.LeaseLost}},
	{bug: planted.MarkerUnwritten, names: []string{checker.LostWrite, checker.PollSkip, string(fsck.CorruptObject)}, kinds: []faults.Kind{faults.Crash}},
	{bug: planted.RetentionPastOpen, names: []string{checker.LogStartAhead}, kinds: []faults.Kind{faults.Crash}},
	{bug: planted.TombstoneEarly, names: []string{checker.LostWrite, checker.PollSkip, checker.WrongValue}, kinds: []faults.Kind{faults.Crash}},
	{bug: planted.AbortedUnlisted, names: []string{checker.AbortedRead}, kinds: []faults.Kind{faults.Crash}},
	{bug: planted.CleanedTooFar, names: []string{checker.WrongValue}, kinds: []faults.Kind{faults.GetFails, faults.PutLost, faults.SlowDown, faults.CommitLost}},
	{bug: planted.LagIgnored, names: []string{checker.LostWrite, checker.PollSkip}, kinds: []faults.Kind{faults.Crash}},
	{bug: planted.UntimedOld, names: []string{checker.LogStartAhead, checker.PollSkip}, kinds: []faults.Kind{faults.Crash}},
	{bug: planted.SettingsStale, names: []string{checker.LogStartAhead}, kinds: []faults.Kind{faults.Crash}},
	{bug: planted.MarkPassed, names: []string{checker.PollSkip}, kinds: []faults.Kind{faults.Crash}},
}

const (
	firstPlanted = 3001 // of the seeds that are played with each bug
	mostPlanted  = 200  // a fault has to hit a round of log compaction in the right moment, for one of them
)

// TestPlantedBugsAreFoundByName plays seeds with one bug after the other, until it is seen; the seed that shows it shows no
// such thing without it.
func TestPlantedBugsAreFoundByName(t *testing.T) {
	binary := program(t, spoiled)
	for _, s := range showing {
		t.Run(string(s.bug), func(t *testing.T) {
			t.Parallel()
			for seed := uint64(firstPlanted); seed < firstPlanted+mostPlanted; seed++ {
				names, found := s.play(t, binary, seed, s.bug)
				if !found {
					continue
				}
				t.Logf("seed %d: %s", seed, strings.Join(names, ", "))
				if without, found := s.play(t, binary, seed, ""); found {
					t.Errorf("seed %d shows that without the bug as well: %s", seed, strings.Join(without, ", "))
				}
				return
			}
			t.Errorf("%d seeds with the bug show none of %v", mostPlanted, s.names)
		})
	}
}

// play plays a seed, and tells whether it shows the bug, and all it shows.
func (s *shows) play(t *testing.T, binary string, seed uint64, bug planted.Bug) (names []string, found bool) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), fmt.Sprint(bug, seed))
	o, err := Play(t.Context(), binary, seed, dir, Options{Kinds: s.kinds, Planted: bug})
	if err != nil {
		t.Fatal(err)
	}
	names = slices.Compact(slices.Sorted(slices.Values(o.Anomalies)))
	if !slices.ContainsFunc(names, func(name string) bool { return slices.Contains(s.names, name) }) {
		return names, false
	}
	return names, s.says == "" || strings.Contains(anomaliesOf(t, dir), s.says)
}

func TestEveryPlantedBugIsLookedFor(t *testing.T) {
	for _, bug := range planted.All {
		if !slices.ContainsFunc(showing, func(s shows) bool { return s.bug == bug }) {
			t.Errorf("nobody looks for %s", bug)
		}
	}
}
