package metastore

// releaseStep is how many producers of deleted topics an entry releases at most, so that none takes long: some hundred
// microseconds.
const releaseStep = 2048

// droppedTopics are deleted topics whose producers still have their numbers. Nothing finds them any more, and no snapshot
// holds them: when the numbers are free again is the business of one broker alone.
type droppedTopics struct {
	topics []*topicState
	places int      // of the producers that are released, in the first topic's last partition
	free   []uint32 // numbers of topics
}

// number gives a new topic its number.
func (d *droppedTopics) number(s *State, t *topicState) {
	if n := len(d.free); n > 0 {
		t.number = d.free[n-1]
		d.free = d.free[:n-1]
		s.numbered[t.number] = t
		return
	}
	t.number = uint32(len(s.numbered))
	s.numbered = append(s.numbered, t)
}

func (d *droppedTopics) add(s *State, t *topicState) {
	for i := range t.partitions {
		if x := t.partitions[i].producers; x != nil {
			s.producers.count -= x.used
		}
	}
	s.numbered[t.number] = nil
	d.topics = append(d.topics, t)
}

// release frees numbers in about limit steps, topic after topic and from the last partition on.
func (d *droppedTopics) release(s *State, limit int) {
	for limit > 0 && len(d.topics) > 0 {
		t := d.topics[0]
		if len(t.partitions) == 0 {
			d.free = append(d.free, t.number)
			d.topics = d.topics[1:]
			continue
		}
		p := &t.partitions[len(t.partitions)-1]
		for ; limit > 0 && p.producers != nil && d.places < len(p.producers.places); limit-- {
			if n := p.producers.places[d.places]; n != 0 {
				s.producers.forget(n - 1)
			}
			d.places++
		}
		if limit > 0 {
			t.partitions = t.partitions[:len(t.partitions)-1]
			d.places = 0
			limit--
		}
	}
}
