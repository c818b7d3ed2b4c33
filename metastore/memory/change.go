package memory

import (
	"fmt"
	"maps"

	"github.com/runnel-io/runnel/metastore"
)

// change is one durable step of the state: what the journal records. Changes hold results, not requests, so that
// replaying them decides nothing.
type change interface {
	kind() recordKind
	// fields encodes or decodes the change.
	fields(f *fields)
	// applyTo makes the change, or fails and changes nothing if it does not fit the state.
	applyTo(s *state) error
}

// The changes.
type (
	clusterID struct{ id string }
	// logBase starts a log in the middle: a checkpoint of a trimmed log.
	logBase  struct{ metastore.Position }
	logEntry struct{ metastore.Entry }
	// logTrim drops the entries up to and including through.
	logTrim     struct{ through metastore.Seq }
	snapshot    struct{ metastore.Snapshot }
	brokerEpoch struct {
		id    metastore.NodeID
		epoch int64
	}
	leaseEpoch struct {
		name  string
		epoch int64
	}
	// groupEpoch is the last epoch given: a checkpoint holds it since the group may be gone.
	groupEpoch struct{ epoch metastore.GroupEpoch }
	// groupClaim gives the group, made if need be, its coordinator and epoch.
	groupClaim struct {
		id    string
		epoch metastore.GroupEpoch
		owner metastore.NodeID
	}
	// groupWrite replaces what WriteGroup does; the other fields are not its own. Journals before version 3 have it.
	groupWrite struct{ metastore.GroupRecord }
	// groupDatedWrite is a groupWrite with its time.
	groupDatedWrite struct{ metastore.GroupRecord }
	groupDelete     struct{ id string }
	offsetsCommit   struct {
		id      string
		offsets []metastore.CommittedOffset
	}
	offsetsDelete struct {
		id         string
		partitions []metastore.TopicPartition
	}
	topicOffsetsDelete struct{ topic metastore.TopicID }
	// checkpointEnd stands between the checkpoint that a journal file begins with and the changes after it.
	checkpointEnd struct{}
)

func (*clusterID) kind() recordKind   { return kindClusterID }
func (c *clusterID) fields(f *fields) { f.text(&c.id) }
func (c *clusterID) applyTo(s *state) error {
	if s.cluster != "" || c.id == "" {
		return fmt.Errorf("cluster %q cannot become %q", s.cluster, c.id)
	}
	s.cluster = c.id
	return nil
}

func (*logBase) kind() recordKind   { return kindLogBase }
func (c *logBase) fields(f *fields) { f.position(&c.Position) }
func (c *logBase) applyTo(s *state) error {
	if s.end().Seq != 0 || c.Seq < 0 {
		return fmt.Errorf("log ending at %d cannot begin after %d", s.end().Seq, c.Seq)
	}
	s.base = c.Position
	return nil
}

func (*logEntry) kind() recordKind { return kindLogEntry }
func (c *logEntry) fields(f *fields) {
	f.position(&c.Position)
	f.bytes(&c.Payload)
}
func (c *logEntry) applyTo(s *state) error {
	if end := s.end().Seq; c.Seq != end+1 {
		return fmt.Errorf("entry %d cannot follow %d", c.Seq, end)
	}
	s.entries = append(s.entries, c.Entry)
	return nil
}

func (*logTrim) kind() recordKind   { return kindLogTrim }
func (c *logTrim) fields(f *fields) { i64(f, &c.through) }
func (c *logTrim) applyTo(s *state) error {
	if c.through <= s.base.Seq || c.through >= s.end().Seq {
		return fmt.Errorf("entries %d to %d cannot be trimmed to %d", s.base.Seq+1, s.end().Seq, c.through)
	}
	n := int(c.through - s.base.Seq)
	s.base = s.entries[n-1].Position
	clear(s.entries[:n]) // the array may stay for long; what it pointed to must not
	s.entries = s.entries[n:]
	return nil
}

func (*snapshot) kind() recordKind { return kindSnapshot }
func (c *snapshot) fields(f *fields) {
	f.position(&c.Position)
	f.bytes(&c.State)
}
func (c *snapshot) applyTo(s *state) error {
	if s.snapshot != nil && s.snapshot.Seq >= c.Seq {
		return fmt.Errorf("snapshot at %d cannot follow that at %d", c.Seq, s.snapshot.Seq)
	}
	s.snapshot = &c.Snapshot
	return nil
}

func (*brokerEpoch) kind() recordKind { return kindBrokerEpoch }
func (c *brokerEpoch) fields(f *fields) {
	i32(f, &c.id)
	i64(f, &c.epoch)
}
func (c *brokerEpoch) applyTo(s *state) error {
	if last := s.brokerEpochs[c.id]; c.epoch <= last {
		return fmt.Errorf("epoch %d of broker %d cannot follow %d", c.epoch, c.id, last)
	}
	s.brokerEpochs[c.id] = c.epoch
	return nil
}

func (*leaseEpoch) kind() recordKind { return kindLeaseEpoch }
func (c *leaseEpoch) fields(f *fields) {
	f.text(&c.name)
	i64(f, &c.epoch)
}
func (c *leaseEpoch) applyTo(s *state) error {
	if last := s.leaseEpochs[c.name]; c.epoch <= last {
		return fmt.Errorf("epoch %d of lease %q cannot follow %d", c.epoch, c.name, last)
	}
	s.leaseEpochs[c.name] = c.epoch
	return nil
}

func (*groupEpoch) kind() recordKind   { return kindGroupEpoch }
func (c *groupEpoch) fields(f *fields) { i64(f, &c.epoch) }
func (c *groupEpoch) applyTo(s *state) error {
	s.groupEpoch = max(s.groupEpoch, c.epoch)
	return nil
}

func (*groupClaim) kind() recordKind { return kindGroupClaim }
func (c *groupClaim) fields(f *fields) {
	f.text(&c.id)
	i64(f, &c.epoch)
	i32(f, &c.owner)
}
func (c *groupClaim) applyTo(s *state) error {
	g := s.groups[c.id]
	if g == nil {
		g = &group{offsets: make(map[metastore.TopicPartition]metastore.CommittedOffset)}
		g.GroupID = c.id
		s.groups[c.id] = g
	}
	g.Epoch, g.Coordinator = c.epoch, c.owner
	s.groupEpoch = max(s.groupEpoch, c.epoch)
	return nil
}

func (*groupWrite) kind() recordKind         { return kindGroupWrite }
func (c *groupWrite) fields(f *fields)       { f.writtenGroup(&c.GroupRecord) }
func (c *groupWrite) applyTo(s *state) error { return s.writeGroup(&c.GroupRecord) }

func (*groupDatedWrite) kind() recordKind { return kindGroupDatedWrite }
func (c *groupDatedWrite) fields(f *fields) {
	f.writtenGroup(&c.GroupRecord)
	f.time(&c.WrittenAt)
}
func (c *groupDatedWrite) applyTo(s *state) error { return s.writeGroup(&c.GroupRecord) }

func (*groupDelete) kind() recordKind   { return kindGroupDelete }
func (c *groupDelete) fields(f *fields) { f.text(&c.id) }
func (c *groupDelete) applyTo(s *state) error {
	if _, err := s.group(c.id); err != nil {
		return err
	}
	delete(s.groups, c.id)
	return nil
}

func (*offsetsCommit) kind() recordKind { return kindOffsetsCommit }
func (c *offsetsCommit) fields(f *fields) {
	f.text(&c.id)
	list(f, &c.offsets, f.offset)
}
func (c *offsetsCommit) applyTo(s *state) error {
	g, err := s.group(c.id)
	if err != nil {
		return err
	}
	for _, o := range c.offsets {
		g.offsets[o.TopicPartition] = o
	}
	return nil
}

func (*offsetsDelete) kind() recordKind { return kindOffsetsDelete }
func (c *offsetsDelete) fields(f *fields) {
	f.text(&c.id)
	list(f, &c.partitions, f.partition)
}
func (c *offsetsDelete) applyTo(s *state) error {
	g, err := s.group(c.id)
	if err != nil {
		return err
	}
	for _, p := range c.partitions {
		delete(g.offsets, p)
	}
	return nil
}

func (*topicOffsetsDelete) kind() recordKind   { return kindTopicOffsetsDelete }
func (c *topicOffsetsDelete) fields(f *fields) { f.fixed(c.topic[:]) }
func (c *topicOffsetsDelete) applyTo(s *state) error {
	for _, g := range s.groups {
		maps.DeleteFunc(g.offsets, func(tp metastore.TopicPartition, _ metastore.CommittedOffset) bool {
			return tp.Topic == c.topic
		})
	}
	return nil
}

func (*checkpointEnd) kind() recordKind     { return kindCheckpointEnd }
func (*checkpointEnd) fields(*fields)       {}
func (*checkpointEnd) applyTo(*state) error { return nil }
