package metastoretest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/metastore"
)

// Random makes random calls to a store and compares every answer with that of a naive model. reopen, if it is not nil,
// closes the store and returns one on the same data.
func Random(t *rapid.T, s metastore.Store, reopen func(metastore.Store) metastore.Store) {
	m := &model{ctx: context.Background(), s: s, log: []metastore.Entry{{}}, groups: map[string]modelGroup{}, leases: map[string]modelLease{}}
	steps := map[string]func(*rapid.T){
		"append":             m.append,
		"appendWith":         m.appendWith,
		"read":               m.read,
		"saveSnapshot":       m.saveSnapshot,
		"trim":               m.trim,
		"claim":              m.claim,
		"write":              m.write,
		"deleteGroup":        m.deleteGroup,
		"commitOffsets":      m.commitOffsets,
		"deleteOffsets":      m.deleteOffsets,
		"deleteTopicOffsets": m.deleteTopicOffsets,
		"holdLease":          m.holdLease,
		"releaseLease":       m.releaseLease,
		"":                   m.compare,
	}
	if reopen != nil {
		steps["reopen"] = func(t *rapid.T) {
			m.releaseAll(t) // whether leases outlive the process is the store's affair
			m.s = reopen(m.s)
		}
	}
	t.Repeat(steps)
}

// model is the contract in the fewest words: a log that is never trimmed, and how far reads are refused.
type model struct {
	ctx      context.Context
	s        metastore.Store
	log      []metastore.Entry // [0] is the empty log
	trimmed  int               // entries 1 to trimmed are gone
	snapshot int               // position of the newest, 0 is none
	groups   map[string]modelGroup
	epochs   []metastore.GroupEpoch // ever given
	leases   map[string]modelLease
}

// modelLease is the last holder of a lease.
type modelLease struct {
	metastore.Lease
	live bool
}

type modelGroup struct {
	metastore.GroupRecord
	offsets map[metastore.TopicPartition]metastore.Offset
}

func (m *model) last() int { return len(m.log) - 1 }

// position draws one that was in the log, or an impostor of it.
func (m *model) position(t *rapid.T) (p metastore.Position, real bool) {
	p = m.log[rapid.IntRange(0, m.last()).Draw(t, "position")].Position
	if rapid.IntRange(0, 5).Draw(t, "kind") == 0 {
		p.Checksum++
		return p, false
	}
	return p, true
}

func (m *model) append(t *rapid.T) {
	p := m.log[m.last()].Position
	real := true
	if rapid.IntRange(0, 3).Draw(t, "at") == 0 {
		p, real = m.position(t)
	}
	next := p.Next(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "payload"))
	err := m.s.Append(m.ctx, p, next)
	if real && int(p.Seq) == m.last() {
		fatalIf(t, err != nil, "append: %v", err)
		m.log = append(m.log, next)
		return
	}
	fatalIf(t, !errors.Is(err, metastore.ErrConflict), "append after %+v: %v", p, err)
}

// appendWith draws a place, claims and offsets, any of which may be such that nothing is to happen.
func (m *model) appendWith(t *rapid.T) {
	p := m.log[m.last()].Position
	real := true
	if rapid.IntRange(0, 3).Draw(t, "at") == 0 {
		p, real = m.position(t)
	}
	var with metastore.GroupChanges
	stand := true
	for range rapid.IntRange(0, 2).Draw(t, "claims") {
		id, epoch, stands := m.group(t)
		with.Claims = append(with.Claims, metastore.GroupClaim{Group: id, Epoch: epoch})
		stand = stand && stands
	}
	for _, id := range []string{"a", "b", "d"} {
		if offsets := m.drawOffsets(t); len(offsets) > 0 {
			with.Offsets = append(with.Offsets, metastore.GroupOffsets{Group: id, Offsets: offsets})
		}
	}
	next := p.Next([]byte("with"))
	err := m.s.AppendWith(m.ctx, p, next, with)
	switch fits := real && int(p.Seq) == m.last(); {
	case fits && stand:
		fatalIf(t, err != nil, "append: %v", err)
	case fits:
		fatalIf(t, !errors.Is(err, metastore.ErrFenced), "append under %v: %v", with.Claims, err)
		return
	default:
		fatalIf(t, !errors.Is(err, metastore.ErrConflict) && (stand || !errors.Is(err, metastore.ErrFenced)), "append after %+v: %v", p, err)
		return
	}
	m.log = append(m.log, next)
	for _, of := range with.Offsets {
		m.setOffsets(t, of)
	}
}

// setOffsets notes what came with an entry. A group that was made has an epoch of the store's choice.
func (m *model) setOffsets(t *rapid.T, of metastore.GroupOffsets) {
	if _, exists := m.groups[of.Group]; !exists {
		made, err := m.s.ReadGroup(m.ctx, of.Group)
		fatalIf(t, err != nil || slices.Contains(m.epochs, made.Epoch), "group that was made: %+v, %v", made, err)
		m.epochs = append(m.epochs, made.Epoch)
		m.groups[of.Group] = modelGroup{made, map[metastore.TopicPartition]metastore.Offset{}}
	}
	for _, o := range of.Offsets {
		m.groups[of.Group].offsets[o.TopicPartition] = o.Offset
	}
}

func (m *model) read(t *rapid.T) {
	p, real := m.position(t)
	entries, err := m.s.Read(m.ctx, p, rapid.IntRange(0, 200).Draw(t, "bytes"))
	switch {
	case int(p.Seq) < m.trimmed:
		fatalIf(t, !errors.Is(err, metastore.ErrTrimmed), "read after %+v: %v", p, err)
	case !real:
		fatalIf(t, !errors.Is(err, metastore.ErrRegressed), "read after %+v: %v", p, err)
	default:
		fatalIf(t, err != nil || (len(entries) == 0) != (int(p.Seq) == m.last()), "read after %+v: %v, %v", p, entries, err)
		for i, e := range entries {
			want := m.log[int(p.Seq)+1+i]
			fatalIf(t, e.Position != want.Position || !bytes.Equal(e.Payload, want.Payload), "entry %+v, want %+v", e, want)
		}
	}
}

func (m *model) saveSnapshot(t *rapid.T) {
	at := rapid.IntRange(1, max(1, m.last())).Draw(t, "at")
	if at > m.last() {
		return
	}
	p := m.log[at].Position
	err := m.s.SaveSnapshot(m.ctx, metastore.Snapshot{Position: p, State: []byte("state")})
	fatalIf(t, err != nil, "save snapshot: %v", err)
	m.snapshot = max(m.snapshot, at)
}

func (m *model) trim(t *rapid.T) {
	before := rapid.IntRange(0, m.last()+3).Draw(t, "before")
	limit := rapid.IntRange(0, 10).Draw(t, "limit")
	through := max(m.trimmed, min(before-1, m.snapshot, m.last()-1, m.trimmed+limit))
	n, err := m.s.Trim(m.ctx, metastore.Seq(before), limit)
	fatalIf(t, err != nil || n != through-m.trimmed, "trim before %d: %d, %v, want %d", before, n, err, through-m.trimmed)
	m.trimmed = through
}

// group draws a group and an epoch for it, and tells whether that is the claim that stands.
func (m *model) group(t *rapid.T) (id string, epoch metastore.GroupEpoch, stands bool) {
	id = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "group")
	epoch = m.groups[id].Epoch
	if len(m.epochs) > 0 && rapid.IntRange(0, 3).Draw(t, "claim") == 0 {
		epoch = rapid.SampledFrom(m.epochs).Draw(t, "epoch")
	}
	g, exists := m.groups[id]
	return id, epoch, exists && g.Epoch == epoch
}

func (m *model) claim(t *rapid.T) {
	id, _, _ := m.group(t)
	got, err := m.s.ClaimGroup(m.ctx, id, 7)
	fatalIf(t, err != nil || slices.Contains(m.epochs, got.Epoch), "claim: %+v, %v", got, err)
	m.epochs = append(m.epochs, got.Epoch)
	g, exists := m.groups[id]
	if !exists {
		g.offsets = map[metastore.TopicPartition]metastore.Offset{}
	}
	g.GroupID, g.Coordinator, g.Epoch = id, 7, got.Epoch
	m.groups[id] = g
}

// fenced checks the answer to a write, and tells whether it took place.
func fenced(t *rapid.T, stands bool, err error) bool {
	if stands {
		fatalIf(t, err != nil, "write under the claim that stands: %v", err)
		return true
	}
	fatalIf(t, !errors.Is(err, metastore.ErrFenced), "write under a claim that does not stand: %v", err)
	return false
}

func (m *model) write(t *rapid.T) {
	id, epoch, stands := m.group(t)
	state := rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "state")
	err := m.s.WriteGroup(m.ctx, metastore.GroupRecord{GroupID: id, Epoch: epoch, StateName: "Stable", State: state})
	if fenced(t, stands, err) {
		g := m.groups[id]
		g.StateName, g.State = "Stable", state
		m.groups[id] = g
	}
}

func (m *model) deleteGroup(t *rapid.T) {
	id, epoch, stands := m.group(t)
	if fenced(t, stands, m.s.DeleteGroup(m.ctx, id, epoch)) {
		delete(m.groups, id)
	}
}

func drawPartitions(t *rapid.T) []metastore.TopicPartition {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) metastore.TopicPartition {
		topic := rapid.SampledFrom([]metastore.TopicID{topicA, topicB}).Draw(t, "topic")
		return metastore.TopicPartition{Topic: topic, Partition: rapid.Int32Range(0, 3).Draw(t, "partition")}
	}), 0, 4).Draw(t, "partitions")
}

func (m *model) commitOffsets(t *rapid.T) {
	id, epoch, stands := m.group(t)
	offsets := m.drawOffsets(t)
	if fenced(t, stands, m.s.CommitOffsets(m.ctx, id, epoch, offsets)) {
		for _, o := range offsets {
			m.groups[id].offsets[o.TopicPartition] = o.Offset
		}
	}
}

func (m *model) drawOffsets(t *rapid.T) []metastore.CommittedOffset {
	var offsets []metastore.CommittedOffset
	for _, tp := range drawPartitions(t) {
		o := offsetsOf(tp.Topic, tp.Partition)
		o[0].Offset = metastore.Offset(rapid.IntRange(0, 1000).Draw(t, "offset"))
		offsets = append(offsets, o...)
	}
	return offsets
}

func (m *model) deleteOffsets(t *rapid.T) {
	id, epoch, stands := m.group(t)
	partitions := drawPartitions(t)
	if fenced(t, stands, m.s.DeleteOffsets(m.ctx, id, epoch, partitions)) {
		for _, tp := range partitions {
			delete(m.groups[id].offsets, tp)
		}
	}
}

func (m *model) deleteTopicOffsets(t *rapid.T) {
	err := m.s.DeleteTopicOffsets(m.ctx, topicB)
	fatalIf(t, err != nil, "delete topic offsets: %v", err)
	for _, g := range m.groups {
		maps.DeleteFunc(g.offsets, func(tp metastore.TopicPartition, _ metastore.Offset) bool { return tp.Topic == topicB })
	}
}

func (m *model) holder(t *rapid.T) metastore.Lease {
	return metastore.Lease{
		Name:        rapid.SampledFrom([]string{"a", "b"}).Draw(t, "lease"),
		Holder:      metastore.NodeID(rapid.Int32Range(0, 2).Draw(t, "holder")),
		HolderEpoch: rapid.Int64Range(1, 3).Draw(t, "holder epoch"),
	}
}

func (m *model) holdLease(t *rapid.T) {
	asked := m.holder(t)
	want := m.leases[asked.Name]
	mine := want.live && want.HeldBy(asked.Holder, asked.HolderEpoch)
	dead := want.Holder == asked.Holder && want.HolderEpoch < asked.HolderEpoch
	if !want.live || (dead && !mine) {
		asked.Epoch = want.Epoch + 1
		want = modelLease{asked, true}
	}
	got, err := m.s.HoldLease(m.ctx, asked.Name, asked.Holder, asked.HolderEpoch, longLease)
	fatalIf(t, err != nil || got.Holder != want.Holder || got.HolderEpoch != want.HolderEpoch || got.Epoch < want.Epoch,
		"lease %+v (%v), want %+v", got, err, want)
	want.Lease = got
	m.leases[asked.Name] = want
}

func (m *model) releaseLease(t *rapid.T) { m.release(t, m.holder(t)) }

func (m *model) release(t *rapid.T, l metastore.Lease) {
	err := m.s.ReleaseLease(m.ctx, l.Name, l.Holder, l.HolderEpoch)
	fatalIf(t, err != nil, "release lease: %v", err)
	if held := m.leases[l.Name]; held.HeldBy(l.Holder, l.HolderEpoch) {
		held.live = false
		m.leases[l.Name] = held
	}
}

func (m *model) releaseAll(t *rapid.T) {
	for _, l := range m.leases {
		m.release(t, l.Lease)
	}
}

// compare looks at everything that can be listed, after every step.
func (m *model) compare(t *rapid.T) {
	snap, err := m.s.LatestSnapshot(m.ctx)
	if m.snapshot == 0 {
		fatalIf(t, !errors.Is(err, metastore.ErrNoSnapshot), "latest snapshot: %v", err)
	} else {
		fatalIf(t, err != nil || snap.Position != m.log[m.snapshot].Position, "latest snapshot: %+v, %v", snap, err)
	}
	listed, err := m.s.ListGroups(m.ctx)
	fatalIf(t, err != nil || len(listed) != len(m.groups), "groups: %+v, %v", listed, err)
	for _, l := range listed {
		want := m.groups[l.GroupID]
		g, err := m.s.ReadGroup(m.ctx, l.GroupID)
		fatalIf(t, err != nil || g.Epoch != want.Epoch || g.StateName != want.StateName || !bytes.Equal(g.State, want.State),
			"group %+v, want %+v", g, want.GroupRecord)
		offsets, err := m.s.FetchOffsets(m.ctx, l.GroupID, nil)
		fatalIf(t, err != nil || len(offsets) != len(want.offsets), "offsets %+v, want %+v", offsets, want.offsets)
		for _, o := range offsets {
			offset, there := want.offsets[o.TopicPartition]
			fatalIf(t, !there || offset != o.Offset, "offset %+v, want %d", o, offset)
		}
	}
}

func fatalIf(t *rapid.T, failed bool, format string, args ...any) {
	t.Helper()
	if failed {
		t.Fatalf(format, args...)
	}
}
