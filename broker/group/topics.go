package group

import (
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/broker/group/assignor"
	"github.com/runnel-io/runnel/metastore"
)

// Topics is what topics there are. No method waits, and they may be called all the time.
type Topics interface {
	// Topics returns all topics by name. A list that was returned never changes: while it is the same slice there was no
	// change.
	Topics() []*metastore.Topic
}

// noTopics is for coordinators without consumer groups.
type noTopics struct{}

// Topics implements Topics.
func (noTopics) Topics() []*metastore.Topic { return nil }

// topicView is all topics at one time. It does not change.
type topicView struct {
	list   []*metastore.Topic // by name
	byName map[string]*metastore.Topic
	byID   map[metastore.TopicID]*metastore.Topic
}

func newTopicView(list []*metastore.Topic) *topicView {
	v := &topicView{
		list: list, byName: make(map[string]*metastore.Topic, len(list)), byID: make(map[metastore.TopicID]*metastore.Topic, len(list)),
	}
	for _, t := range list {
		v.byName[t.Name], v.byID[t.ID] = t, t
	}
	return v
}

// sameList tells whether both are one list in memory.
func sameList(a, b []*metastore.Topic) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// byTopic groups partitions by topic, for clients that know topics by name; those of topics that are gone are left out.
func (v *topicView) byTopic(set partitions) []topicPartitions {
	var all []topicPartitions
	for len(set) > 0 {
		id := set[0].Topic
		n := slices.IndexFunc(set, func(p metastore.TopicPartition) bool { return p.Topic != id })
		if n < 0 {
			n = len(set)
		}
		if t := v.byID[id]; t != nil {
			of := topicPartitions{topic: t.Name}
			for _, p := range set[:n] {
				of.partitions = append(of.partitions, p.Partition)
			}
			all = append(all, of)
		}
		set = set[n:]
	}
	return all
}

// resolve finds the partitions that a client names, without those that do not exist.
func (v *topicView) resolve(all []topicPartitions) partitions {
	var set partitions
	for _, of := range all {
		t := v.byName[of.topic]
		if t == nil {
			continue
		}
		for _, p := range of.partitions {
			if p >= 0 && p < t.Partitions {
				set = append(set, metastore.TopicPartition{Topic: t.ID, Partition: p})
			}
		}
	}
	slices.SortFunc(set, assignor.Compare)
	return slices.Compact(set)
}

// topicWatch keeps the view of all topics that the groups of a coordinator share.
type topicWatch struct {
	topics Topics
	clock  func() time.Time

	mu   sync.Mutex
	view *topicView
	next time.Time // when the view may be made anew
}

// viewShare is how many times as long as it took to make it a view is kept, changes or not, if that was longer than viewQuick:
// with very many topics, of which new ones come all the time, at most one part in viewShare of a core goes into views.
const (
	viewShare = 50
	viewQuick = time.Millisecond
)

// now returns the topics as they are, or as they were a moment ago.
func (w *topicWatch) now() *topicView {
	list := w.topics.Topics()
	w.mu.Lock()
	defer w.mu.Unlock()
	began := w.clock()
	if w.view != nil && (sameList(w.view.list, list) || began.Before(w.next)) {
		return w.view
	}
	w.view = newTopicView(list)
	if took := w.clock().Sub(began); took > viewQuick {
		w.next = began.Add(viewShare * took)
	}
	return w.view
}
