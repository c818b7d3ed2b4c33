package metastore

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestDigestDoesNotDependOnTheOrderOfPendingOffsets: a transaction holds the offsets of several groups and partitions,
// in a map.
func TestDigestDoesNotDependOnTheOrderOfPendingOffsets(t *testing.T) {
	l := newLedger()
	topic := TopicID{1}
	l.fold(createTopic{id: topic, name: "t", partitions: 4, replicationFactor: 1})
	requests := []TxnRequest{InitTxn{ID: "app", Timeout: time.Minute, Producer: NoProducerID, Epoch: -1, Fresh: 5}}
	for i := range 12 {
		requests = append(requests, CommitTxnOffsets{ID: "app", Producer: 5, Group: fmt.Sprintf("group %d", i%3), Implicit: true, Offsets: []CommittedOffset{
			{TopicPartition: TopicPartition{topic, int32(i % 4)}, TopicName: "t", Offset: Offset(i), CommittedAt: time.UnixMilli(7)},
		}})
	}
	l.fold(l.s.decideTxns(requests, nil))
	if n := len(l.s.txns.find("app").ongoing.offsets); n != 12 {
		t.Fatalf("%d offsets are pending", n)
	}
	want := l.s.clone().encodeAs(true)
	defer l.s.thaw()
	for range 10 {
		restored, err := decodeState(Snapshot{Position: l.s.at, State: want})
		if err != nil {
			t.Fatal(err)
		}
		for of, s := range map[string]*State{"the state again": l.s, "a snapshot": restored, "the entries": l.refold(t, l.s.at.Seq)} {
			if got := s.clone().encodeAs(true); !bytes.Equal(got, want) {
				t.Fatalf("%s encodes to\n%x\nnot to\n%x", of, got, want)
			}
			s.thaw()
		}
	}
}

// TestDifferencesAreToldInWords has two replicas of which one lacks entries; there are more of these than are told.
func TestDifferencesAreToldInWords(t *testing.T) {
	l := storied(t)
	replicaOf := func(s *State) *Replica {
		r := NewReplica(nil, ReplicaOptions{})
		r.state = s
		return r
	}
	whole := replicaOf(l.s)
	if got := replicaOf(l.refold(t, l.s.at.Seq)).Differences(whole); got != nil {
		t.Errorf("of the same state: %q", got)
	}
	short := replicaOf(l.refold(t, l.s.at.Seq-1))
	want := []string{"its checksum is ", "partition 1 of topic a: it goes from 0 to 2, by the entries from 0 to 3"}
	got := strings.Join(short.Differences(whole), "\n")
	for _, text := range want {
		if !strings.Contains(got, text) {
			t.Errorf("got\n%s\nwant %q", got, text)
		}
	}
	for i := range 2 * mostDifferences {
		l.fold(createTopic{id: TopicID{9, byte(i)}, name: fmt.Sprint(i), partitions: 1, replicationFactor: 1})
	}
	if got := short.Differences(whole); len(got) != mostDifferences+1 || !strings.HasPrefix(got[mostDifferences], "and ") {
		t.Errorf("got %d, of which the last is %q", len(got), got[len(got)-1])
	}
}
