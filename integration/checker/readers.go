package checker

import (
	"slices"

	"github.com/runnel-io/runnel/integration/history"
)

// mostReaders is how many final readers are told apart, since a send has a bit for each. More of them are taken as one.
const mostReaders = 60

// reader is a final reader: a client that read partitions from their start to their end, at one isolation. Each has to find
// everything, so that a broker that serves less than others is found.
type reader struct {
	client     string // "": all that did not say what they read, as one
	committed  bool
	everything bool           // it came to the end of all partitions there are
	ends       map[int32]bool // the partitions it read, and whether it came to their ends
	highest    []int64        // by partition: the last offset it read, -1 if none
	begin      int64          // the Seq at which its first operation began
	last       int32          // its last operation
}

// covers tells whether it read a partition to its end.
func (r *reader) covers(partition int32) bool { return r.everything || r.ends[partition] }

// past tells whether it read a record after an offset.
func (r *reader) past(partition int32, offset int64) bool {
	return int(partition) < len(r.highest) && offset >= 0 && r.highest[partition] > offset
}

func (r *reader) note(partition int32, offset int64) {
	for int(partition) >= len(r.highest) {
		r.highest = append(r.highest, -1)
	}
	r.highest[partition] = max(r.highest[partition], offset)
}

// readerKey tells final readers apart.
type readerKey struct {
	client    string
	committed bool
}

// indexReaders finds the final readers, and gives each operation the number of its reader, -1 where it is no final read.
func (x *index) indexReaders() []int8 {
	readerOf := make([]int8, len(x.ops))
	numbers := map[readerKey]int8{}
	assigned := map[string][]history.Partition{} // by client
	untold := map[readerKey]bool{}               // clients that do not say what they read: whether the last poll was OK
	for i := range x.ops {
		o := &x.ops[i]
		readerOf[i] = -1
		switch {
		case o.Kind == history.Assign:
			assigned[o.Client] = o.Partitions
		case o.Kind == history.Subscribe:
			delete(assigned, o.Client)
		case o.Kind == history.Poll && o.Final:
			told := o.Partitions
			if len(told) == 0 {
				told = assigned[o.Client]
			}
			if slices.ContainsFunc(told, func(p history.Partition) bool { return p.Number < 0 }) {
				told = nil
			}
			key := readerKey{o.Client, o.Isolation == history.ReadCommitted}
			if len(told) == 0 {
				untold[key] = o.Outcome == history.OK
				key.client = ""
			}
			readerOf[i] = x.finalReader(numbers, key, o.Begun.Seq)
			r := &x.readers[readerOf[i]]
			r.last = int32(i)
			for _, p := range told {
				id := x.partition(p)
				// Several clients taken as one: one that came to the end is enough.
				r.ends[id] = o.Outcome == history.OK || r.client == "" && r.ends[id]
			}
		}
	}
	for key := range untold {
		r := &x.readers[numbers[readerKey{committed: key.committed}]]
		r.everything = true
	}
	for key, ok := range untold {
		if !ok {
			x.readers[numbers[readerKey{committed: key.committed}]].everything = false
		}
	}
	return readerOf
}

// finalReader gives the number of a final reader, which begins now if it is new.
func (x *index) finalReader(numbers map[readerKey]int8, key readerKey, now int64) int8 {
	if _, known := numbers[key]; !known && len(x.readers) >= mostReaders {
		key.client = ""
	}
	number, known := numbers[key]
	if !known {
		number = int8(len(x.readers))
		numbers[key] = number
		x.readers = append(x.readers, reader{client: key.client, committed: key.committed, begin: now, ends: map[int32]bool{}})
	}
	return number
}
