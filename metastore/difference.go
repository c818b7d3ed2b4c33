package metastore

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// mostDifferences is how many Differences tells.
const mostDifferences = 10

// Differences says in words how what the replica has folded differs from what another has folded from all entries up to the
// same position. Nothing is said of the order in which maps were encoded. Like Digest it is for tests, and for people in
// doubt.
func (r *Replica) Differences(entries *Replica) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	entries.mu.RLock()
	defer entries.mu.RUnlock()
	var all []string
	compareStates(entries.state, r.state, func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) })
	slices.Sort(all)
	if more := len(all) - mostDifferences; more > 0 {
		all = append(all[:mostDifferences], fmt.Sprintf("and %d more", more))
	}
	return all
}

// compareStates says in words how a state that somebody saved or holds differs from the one that the entries give.
func compareStates(is, saved *State, disagrees func(format string, args ...any)) {
	if is.at != saved.at {
		disagrees("its checksum is %016x, that of the entries %016x", saved.at.Checksum, is.at.Checksum)
	}
	if is.time != saved.time {
		disagrees("its time is %d ms, that of the entries %d", saved.time, is.time)
	}
	if is.nextProducerID != saved.nextProducerID {
		disagrees("its next producer id is %d, that of the entries %d", saved.nextProducerID, is.nextProducerID)
	}
	if what := listsDiffer(is.segmentsOf(is.recent), saved.segmentsOf(saved.recent), segment.text); what != "" {
		disagrees("it has %d segments whose commit may be asked for again, which are not the %d of the entries: %s", len(saved.recent), len(is.recent), what)
	}
	if what := listsDiffer(is.segmentsOf(is.rewritten), saved.segmentsOf(saved.rewritten), segment.text); what != "" {
		disagrees("it remembers %d segments of swaps, which are not the %d of the entries: %s", len(saved.rewritten), len(is.rewritten), what)
	}
	if what := listsDiffer(is.allGarbage(), saved.allGarbage(), plainText); what != "" || is.garbage.next != saved.garbage.next {
		disagrees("its garbage, of numbers up to %d, is not that of the entries, up to %d: %s", saved.garbage.next, is.garbage.next, what)
	}
	if what := mapsDiffer(is.configs.all(), saved.configs.all(), maps.Equal, compareConfigs, configText); what != "" {
		disagrees("its settings of brokers, groups, metrics, access or quotas are not those of the entries: %s", what)
	}
	compareTxns(is, saved, disagrees)
	for id, t := range saved.topics {
		if is.topics[id] == nil {
			disagrees("it has topic %s (%s), the entries have not", t.Name, id)
		}
	}
	for id, t := range is.topics {
		other := saved.topics[id]
		if other == nil {
			disagrees("it lacks topic %s (%s)", t.Name, id)
			continue
		}
		if !sameTopic(t.Topic, other.Topic) || len(t.partitions) != len(other.partitions) {
			disagrees("its topic %s is not as the entries made it: it is %+v with %d partitions, by the entries %+v with %d",
				t.Name, *other.Topic, len(other.partitions), *t.Topic, len(t.partitions))
			continue
		}
		for i := range t.partitions {
			if what := is.partitionDiffers(&t.partitions[i], saved, &other.partitions[i]); what != "" {
				disagrees("partition %d of topic %s: %s", i, t.Name, what)
			}
		}
	}
}

func (s *State) segmentsOf(numbers []uint32) []segment {
	list := make([]segment, len(numbers))
	for i, n := range numbers {
		list[i] = *s.table.at(n)
	}
	return list
}

func (s *State) allGarbage() []Garbage {
	var list []Garbage
	for n, item := range s.garbage.all(0) {
		list = append(list, s.exportGarbage(n, item))
	}
	return list
}

func (g segment) text() string {
	return fmt.Sprintf("%s of %d bytes, committed after %v", g.id, g.size, g.before)
}

func (o *configOverrides) all() map[ConfigResource]map[string]string {
	if o == nil {
		return nil
	}
	all := make(map[ConfigResource]map[string]string)
	for kind, set := range o.sets {
		for name, overrides := range set.of {
			all[ConfigResource{kind, name}] = overrides
		}
	}
	return all
}

// configText leaves out what is secret: credentials, which are named by their mechanism.
func configText(overrides map[string]string) string {
	shown := make(map[string]string, len(overrides))
	for name, value := range overrides {
		if shown[name] = value; strings.HasPrefix(name, "SCRAM-") {
			shown[name] = "(hidden)"
		}
	}
	return plainText(shown)
}

func compareConfigs(a, b ConfigResource) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}

func sameTopic(a, b *Topic) bool {
	return a.Name == b.Name && a.Partitions == b.Partitions && a.ReplicationFactor == b.ReplicationFactor &&
		maps.Equal(a.Configs, b.Configs) && a.CreatedAt.Equal(b.CreatedAt)
}

// partitionDiffers says how a partition differs from the same one of the snapshot; "" if it does not.
func (s *State) partitionDiffers(p *partition, saved *State, other *partition) string {
	switch {
	case p.logStart != other.logStart || p.high != other.high:
		return fmt.Sprintf("it goes from %d to %d, by the entries from %d to %d", other.logStart, other.high, p.logStart, p.high)
	case p.cleanedTo != other.cleanedTo:
		return fmt.Sprintf("it is cleaned to %d, by the entries to %d", other.cleanedTo, p.cleanedTo)
	case p.runs.len() != other.runs.len():
		return fmt.Sprintf("it has %d runs, by the entries %d", other.runs.len(), p.runs.len())
	}
	for i, r := range p.runs.all(0) {
		if is, was := s.export(r), saved.export(other.runs.at(i)); !sameRun(is, was) {
			return fmt.Sprintf("its run of offset %d is %s, by the entries %s of offset %d", was.Base, runText(was), runText(is), is.Base)
		}
	}
	if what := mapsDiffer(s.producersByID(p), saved.producersByID(other), producer.same, cmp.Compare, producer.text); what != "" {
		return "what it knows of its producers is not what the entries say: " + what
	}
	open, aborted := p.txns.lists()
	wasOpen, wasAborted := other.txns.lists()
	if what := cmp.Or(listsDiffer(open, wasOpen, plainText), listsDiffer(aborted, wasAborted, plainText)); what != "" {
		return "its open or aborted transactions are not those of the entries: " + what
	}
	return ""
}

func sameRun(a, b Run) bool {
	if (a.Marker == nil) != (b.Marker == nil) || a.Marker != nil && *a.Marker != *b.Marker {
		return false
	}
	a.Marker, b.Marker = nil, nil
	return a == b
}

func runText(r Run) string {
	if r.Marker != nil {
		return fmt.Sprintf("the end of a transaction of producer %d", r.Marker.Producer)
	}
	return fmt.Sprintf("%d records in bytes %d to %d of segment %s", r.Records, r.Position, uint64(r.Position)+uint64(r.Length), r.Segment)
}

func (s *State) producersByID(p *partition) map[ProducerID]producer {
	if p.producers == nil || p.producers.used == 0 {
		return nil
	}
	all := make(map[ProducerID]producer, p.producers.used)
	for _, place := range p.producers.places {
		if place != 0 {
			known := s.producers.at(place - 1)
			all[known.id] = known.producer
		}
	}
	return all
}

func (p producer) same(as producer) bool {
	return p.epoch == as.epoch && p.lastSeen == as.lastSeen &&
		slices.Equal(p.batches[:p.count], as.batches[:as.count])
}

func (p producer) text() string {
	return fmt.Sprintf("epoch %d, seen at %d ms, batches %+v", p.epoch, p.lastSeen, p.batches[:p.count])
}

func (t *partitionTxns) lists() (open []openTxnStart, aborted []abortedTxn) {
	if t == nil {
		return nil, nil
	}
	return t.open, t.aborted
}

func compareTxns(is, saved *State, disagrees func(format string, args ...any)) {
	if len(is.txns.byID) != len(saved.txns.byID) {
		disagrees("it has %d transactional ids, the entries %d", len(saved.txns.byID), len(is.txns.byID))
	}
	for id := range saved.txns.byID {
		if is.txns.find(id) == nil {
			disagrees("it has transactional id %q, the entries have not", id)
		}
	}
	for id := range is.txns.byID {
		if other := saved.txns.find(id); other == nil {
			disagrees("it lacks transactional id %q", id)
		} else if what := is.txns.find(id).differs(other); what != "" {
			disagrees("its transactional id %q is not as the entries made it: %s", id, what)
		}
	}
}

// differs says how a transactional id differs from the same one that somebody saved; "" if it does not.
func (t *txn) differs(saved *txn) string {
	a, b := *t, *saved
	a.ongoing, b.ongoing, a.raised, b.raised = nil, nil, 0, 0
	if a != b {
		return fmt.Sprintf("it is %s, by the entries %s", b.text(), a.text())
	}
	is, was := t.ongoing, saved.ongoing
	switch {
	case is == nil && was == nil:
		return ""
	case is == nil || was == nil:
		return fmt.Sprintf("something is ongoing: %t, by the entries %t", was != nil, is != nil)
	case is.started != was.started:
		return fmt.Sprintf("it began at %d ms, by the entries at %d", was.started, is.started)
	}
	var all []string
	for _, what := range []string{
		mapsDiffer(is.partitions, was.partitions, func(a, b Offset) bool { return a == b }, TopicPartition.compare, plainText),
		mapsDiffer(is.groups, was.groups, func(_, _ struct{}) bool { return true }, cmp.Compare, func(struct{}) string { return "it" }),
		mapsDiffer(is.offsets, was.offsets, sameCommitted, groupPartition.compare, CommittedOffset.text),
	} {
		if what != "" {
			all = append(all, what)
		}
	}
	return strings.Join(all, "; ")
}

func (t *txn) text() string {
	return fmt.Sprintf("of producer %d at epoch %d (before: %d at %d), in state %d since %d ms, version %d, number %d, timeout %d ms, committed %t",
		t.producer, t.epoch, t.lastProducer, t.lastEpoch, t.state, t.changed, t.version, t.number, t.timeout, t.committed)
}

func sameCommitted(a, b CommittedOffset) bool {
	at := a.CommittedAt.Equal(b.CommittedAt)
	a.CommittedAt = b.CommittedAt
	return at && a == b
}

func (o CommittedOffset) text() string {
	return fmt.Sprintf("offset %d (topic %q, leader epoch %d, metadata %q, committed at %d ms)", o.Offset, o.TopicName, o.LeaderEpoch, o.Metadata, o.CommittedAt.UnixMilli())
}

func plainText[V any](v V) string { return fmt.Sprintf("%+v", v) }

// mapsDiffer tells of the first key at which maps differ, and how many more there are; "" if there is none.
func mapsDiffer[K comparable, V any](is, saved map[K]V, same func(a, b V) bool, order func(a, b K) int, text func(V) string) string {
	var keys []K
	for key, v := range is {
		if was, ok := saved[key]; !ok || !same(v, was) {
			keys = append(keys, key)
		}
	}
	for key := range saved {
		if _, ok := is[key]; !ok {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return ""
	}
	key := slices.MinFunc(keys, order)
	of := func(m map[K]V) string {
		if v, ok := m[key]; ok {
			return text(v)
		}
		return "nothing"
	}
	return fmt.Sprintf("of %+v it has %s, the entries %s", key, of(saved), of(is)) + andMore(len(keys)-1)
}

// listsDiffer tells of the first place at which lists differ; "" if there is none.
func listsDiffer[V comparable](is, saved []V, text func(V) string) string {
	i := 0
	for i < len(is) && i < len(saved) && is[i] == saved[i] {
		i++
	}
	if i == len(is) && i == len(saved) {
		return ""
	}
	at := func(list []V) string {
		if i < len(list) {
			return text(list[i])
		}
		return "nothing"
	}
	return fmt.Sprintf("at place %d of %d it has %s, the entries %s at that of %d", i, len(saved), at(saved), at(is), len(is))
}

func andMore(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", and %d more", n)
}
