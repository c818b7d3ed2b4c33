package rebuild

import (
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

func keyOf(id metastore.SegmentID) string { return segment.Key(id) }

// growTopics makes partitions, and topics if that is wanted, of which the index does not know and objects of tier 1 do. An
// object that was made before the index holds nothing of what was created after it: what the index does not know of it was
// deleted.
func (b *rebuild) growTopics() error {
	partitions := make(map[metastore.TopicID]int32)
	unknown := make(map[metastore.TopicID]*UnknownTopic)
	for runs := range b.found.partitions {
		tp := runs[0].TopicPartition
		t, known := b.state.Topic(tp.Topic)
		if known && tp.Partition < t.Partitions {
			continue
		}
		runs = slices.DeleteFunc(slices.Clone(runs), func(r foundRun) bool { return !r.wellFormed() || b.isBefore(b.found, &r) })
		if len(runs) == 0 {
			b.report.Stale++
			continue
		}
		partitions[tp.Topic] = max(partitions[tp.Topic], tp.Partition+1)
		if known {
			continue
		}
		u := unknown[tp.Topic]
		if u == nil {
			u = &UnknownTopic{ID: tp.Topic}
			unknown[tp.Topic] = u
		}
		u.add(runs)
	}
	for id, n := range partitions {
		if t, known := b.state.Topic(id); known {
			b.report.Grown = append(b.report.Grown, GrownTopic{t.Name, t.Partitions, n})
			if err := b.state.GrowTopic(id, n); err != nil {
				return err
			}
			continue
		}
		u := unknown[id]
		u.Partitions = n
		if b.opts.RecoverUnknown {
			u.As = "recovered-" + id.String()
			// Nobody has said yet that anything of it may go.
			keep := map[string]string{"retention.ms": "-1", "retention.bytes": "-1"}
			if err := b.state.AddTopic(id, u.As, n, keep); err != nil {
				return err
			}
		}
		b.report.Unknown = append(b.report.Unknown, *u)
	}
	return nil
}

func (u *UnknownTopic) add(runs []foundRun) {
	next := metastore.Offset(0)
	for i := range runs {
		u.Runs++
		u.Bytes += int64(runs[i].length)
		u.Offsets += int64(max(runs[i].end()-max(next, runs[i].base), 0))
		next = max(next, runs[i].end())
	}
}

// isBefore tells whether the object of a run was made before the index.
func (b *rebuild) isBefore(f *found, r *foundRun) bool {
	return f.objects[r.object].id.Time().Before(b.written())
}

// partition gathers all that there is of a partition.
func (b *rebuild) partition(t *metastore.Topic, number int32) *partition {
	tp := metastore.TopicPartition{Topic: t.ID, Partition: number}
	marks, _ := b.state.Watermarks(tp)
	p := &partition{
		TopicPartition: tp, marks: marks, open: b.state.Open(tp), aborted: b.state.Aborted(tp),
		compact: strings.Contains(t.Configs["cleanup.policy"], "compact") || b.state.CleanedTo(tp) > 0,
		should:  holdings{high: marks.High},
	}
	for run := range b.state.Runs(tp) {
		p.known++
		from := max(run.Base, marks.LogStart)
		if n := len(p.should.known); n > 0 && p.should.known[n-1].to == from {
			p.should.known[n-1].to = run.End()
		} else {
			p.should.known = append(p.should.known, span{from, run.End()})
		}
		if run.Marker != nil || b.named[run.Segment].there {
			p.sources = append(p.sources, source{Run: run, indexed: true})
		}
	}
	b.addFound(p, b.found)
	return p
}

// addFound adds runs that footers tell of and that are not among the sources yet.
func (b *rebuild) addFound(p *partition, f *found) {
	for i, runs := 0, f.of(p.TopicPartition); i < len(runs); i++ {
		r := &runs[i]
		if !r.wellFormed() || r.end() > p.should.high && b.isBefore(f, r) {
			b.stale()
			continue
		}
		s := f.source(r)
		if s.MaxTimestamp < 0 {
			s.MaxTimestamp = metastore.UntimedSince(b.storedOf(p, &s))
		}
		there := func(is source) bool { return is.Segment == s.Segment && is.Base == s.Base }
		if r.end() > p.marks.LogStart && (f == b.found || !slices.ContainsFunc(p.sources, there)) {
			p.sources = append(p.sources, s)
		}
	}
}

// storedOf is when the newest of what is in a run without timestamps was stored, of which the footer says nothing: when the runs of the
// index were whose place it takes, or, beyond the index, when its object was made, which was soon after.
func (b *rebuild) storedOf(p *partition, s *source) time.Time {
	stored, replaces := time.Time{}, false
	for run := range b.state.Runs(p.TopicPartition) {
		if run.Base >= s.End() {
			break
		}
		if at := run.Stored(); run.End() > s.Base && (!replaces || at.After(stored)) {
			stored, replaces = at, true
		}
	}
	if !replaces || s.End() > p.should.high {
		return s.Segment.Time()
	}
	return stored
}

func (b *rebuild) stale() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.report.Stale++
}
