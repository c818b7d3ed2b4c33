package assignor

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/metastore"
)

func topicID(n int) metastore.TopicID { return metastore.TopicID{0: byte(n >> 8), 15: byte(n)} }

type input struct {
	members    []Member
	partitions map[metastore.TopicID]int32
}

// drawInput makes a group. What members own is anything: theirs, another's, twice, or gone.
func drawInput(t *rapid.T) input {
	in := input{partitions: make(map[metastore.TopicID]int32)}
	topics := rapid.IntRange(0, 6).Draw(t, "topics")
	for i := range topics {
		in.partitions[topicID(i)] = int32(rapid.IntRange(1, 12).Draw(t, "partitions"))
	}
	same := rapid.Bool().Draw(t, "homogeneous")
	for i := range rapid.IntRange(1, 7).Draw(t, "members") {
		m := Member{ID: fmt.Sprintf("m%d", i)}
		if rapid.IntRange(0, 2).Draw(t, "static") == 0 {
			m.Instance = fmt.Sprintf("i%d", 9-i)
		}
		for n := range topics + 1 { // the last does not exist
			if same || rapid.Bool().Draw(t, "subscribes") {
				m.Topics = append(m.Topics, topicID(n))
			}
		}
		for range rapid.IntRange(0, 10).Draw(t, "owned") {
			m.Owned = append(m.Owned, metastore.TopicPartition{
				Topic: topicID(rapid.IntRange(0, topics+1).Draw(t, "topic")), Partition: int32(rapid.IntRange(0, 12).Draw(t, "partition")),
			})
		}
		in.members = append(in.members, m)
	}
	return in
}

// checkComplete: every partition of a subscribed topic belongs to exactly one subscriber, and nothing else is assigned.
func checkComplete(t *rapid.T, in input, assigned [][]metastore.TopicPartition) {
	owner := make(map[metastore.TopicPartition]int)
	for m, all := range assigned {
		if !slices.IsSortedFunc(all, Compare) {
			t.Fatalf("what member %d gets is not sorted", m)
		}
		for _, p := range all {
			if other, twice := owner[p]; twice {
				t.Fatalf("%v belongs to %d and %d", p, other, m)
			}
			owner[p] = m
			if p.Partition < 0 || p.Partition >= in.partitions[p.Topic] || !slices.Contains(in.members[m].Topics, p.Topic) {
				t.Fatalf("member %d got %v, which does not exist or it did not subscribe to", m, p)
			}
		}
	}
	want := 0
	for topic, n := range in.partitions {
		if slices.ContainsFunc(in.members, func(m Member) bool { return slices.Contains(m.Topics, topic) }) {
			want += int(n)
		}
	}
	if len(owner) != want {
		t.Fatalf("%d partitions assigned, want %d", len(owner), want)
	}
}

func TestUniformProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		assigned := Uniform(in.members, in.partitions)
		checkComplete(t, in, assigned)
		checkBalanced(t, in, assigned)

		// What is even stays as it is.
		for m := range in.members {
			in.members[m].Owned = assigned[m]
		}
		again := Uniform(in.members, in.partitions)
		for m := range again {
			if !slices.Equal(again[m], assigned[m]) {
				t.Fatalf("member %d had %v and gets %v although nothing changed", m, assigned[m], again[m])
			}
		}
	})
}

// checkBalanced: no partition can move to a subscriber that has two or more fewer.
func checkBalanced(t *rapid.T, in input, assigned [][]metastore.TopicPartition) {
	for m, all := range assigned {
		for _, p := range all {
			for other := range in.members {
				if len(assigned[other])+2 <= len(all) && slices.Contains(in.members[other].Topics, p.Topic) {
					t.Fatalf("member %d has %d partitions and %d has %d, though it could take %v", m, len(all), other, len(assigned[other]), p)
				}
			}
		}
	}
}

// TestUniformMovesNoMoreThanItMust: in a homogeneous group a member that joins takes its share and nothing else moves, and
// one that leaves makes nobody else lose anything.
func TestUniformMovesNoMoreThanItMust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := input{partitions: make(map[metastore.TopicID]int32)}
		var topics []metastore.TopicID
		total := 0
		for i := range rapid.IntRange(1, 4).Draw(t, "topics") {
			n := rapid.IntRange(1, 20).Draw(t, "partitions")
			in.partitions[topicID(i)] = int32(n)
			topics = append(topics, topicID(i))
			total += n
		}
		for i := range rapid.IntRange(1, 8).Draw(t, "members") {
			in.members = append(in.members, Member{ID: fmt.Sprint(i), Topics: topics})
		}
		before := Uniform(in.members, in.partitions)
		for m := range in.members {
			in.members[m].Owned = before[m]
		}

		more := append(slices.Clone(in.members), Member{ID: "new", Topics: topics})
		after := Uniform(more, in.partitions)
		if got, fair := len(after[len(after)-1]), total/len(more); got != fair {
			t.Fatalf("the new member got %d of %d partitions, want %d", got, total, fair)
		}
		for m := range before {
			for _, p := range after[m] {
				if !slices.Contains(before[m], p) {
					t.Fatalf("member %d got %v although somebody joined", m, p)
				}
			}
		}

		fewer := in.members[1:]
		for m, now := range Uniform(fewer, in.partitions) {
			for _, p := range before[m+1] {
				if !slices.Contains(now, p) {
					t.Fatalf("member %d lost %v although somebody left", m+1, p)
				}
			}
		}
	})
}

func TestRangeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		assigned := Range(in.members, in.partitions)
		checkComplete(t, in, assigned)
		for topic, n := range in.partitions {
			checkRanges(t, in, assigned, topic, n)
		}
		checkCoPartitioned(t, in, assigned)
	})
}

// checkRanges: what a member has of a topic is contiguous, and the sizes differ by one at most.
func checkRanges(t *rapid.T, in input, assigned [][]metastore.TopicPartition, topic metastore.TopicID, n int32) {
	smallest, largest := n, int32(0)
	for m, all := range assigned {
		if !slices.Contains(in.members[m].Topics, topic) {
			continue
		}
		var of []int32
		for _, p := range all {
			if p.Topic == topic {
				of = append(of, p.Partition)
			}
		}
		if len(of) > 0 && of[len(of)-1]-of[0] != int32(len(of)-1) {
			t.Fatalf("member %d has %v of one topic", m, of)
		}
		smallest, largest = min(smallest, int32(len(of))), max(largest, int32(len(of)))
	}
	if largest > smallest+1 {
		t.Fatalf("ranges of %d and %d partitions", smallest, largest)
	}
}

// checkCoPartitioned: topics of the same size and with the same subscribers are cut alike.
func checkCoPartitioned(t *rapid.T, in input, assigned [][]metastore.TopicPartition) {
	for a, n := range in.partitions {
		for b, other := range in.partitions {
			alike := n == other && !slices.ContainsFunc(in.members, func(m Member) bool {
				return slices.Contains(m.Topics, a) != slices.Contains(m.Topics, b)
			})
			if !alike {
				continue
			}
			for m := range assigned {
				for _, p := range assigned[m] {
					if p.Topic == a && !slices.Contains(assigned[m], metastore.TopicPartition{Topic: b, Partition: p.Partition}) {
						t.Fatalf("member %d has %v but not the same partition of the other topic", m, p)
					}
				}
			}
		}
	}
}

// TestRangeKeepsStaticMembersInPlace: the range goes with the instance id, whatever the member id is after a restart.
func TestRangeKeepsStaticMembersInPlace(t *testing.T) {
	partitions := map[metastore.TopicID]int32{topicID(1): 5}
	of := func(a, b, c string) [][]metastore.TopicPartition {
		return Range([]Member{
			{ID: c, Topics: []metastore.TopicID{topicID(1)}},
			{ID: b, Instance: "i2", Topics: []metastore.TopicID{topicID(1)}},
			{ID: a, Instance: "i1", Topics: []metastore.TopicID{topicID(1)}},
		}, partitions)
	}
	for _, ids := range [][3]string{{"a", "b", "c"}, {"z", "y", "x"}} {
		got := of(ids[0], ids[1], ids[2])
		if len(got[2]) != 2 || got[2][0].Partition != 0 || len(got[1]) != 2 || got[1][0].Partition != 2 || len(got[0]) != 1 || got[0][0].Partition != 4 {
			t.Errorf("with member ids %v: %v", ids, got)
		}
	}
}

// BenchmarkUniform is a group of 1,000 members and 10,000 partitions that one more member joins.
func BenchmarkUniform(b *testing.B) {
	partitions := make(map[metastore.TopicID]int32)
	var topics []metastore.TopicID
	for i := range 10 {
		partitions[topicID(i)] = 1000
		topics = append(topics, topicID(i))
	}
	members := make([]Member, 1001)
	for i := range members {
		members[i] = Member{ID: fmt.Sprint(i), Topics: topics}
	}
	for i, owned := range Uniform(members[:1000], partitions) {
		members[i].Owned = owned
	}
	for b.Loop() {
		Uniform(members, partitions)
	}
}
