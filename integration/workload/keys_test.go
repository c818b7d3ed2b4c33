package workload

import (
	"context"
	"errors"
	"net"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/history"
)

// TestTheWindowOfKeysMovesOn: keys become active in turn, and only where their topic exists; none is forgotten.
func TestTheWindowOfKeysMovesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &keys{start: time.Now(), count: 3, rotate: time.Second, created: map[string]bool{}, told: map[string]bool{}}
		if got := k.active(); len(got) != 0 {
			t.Errorf("without a topic %v are active", got)
		}
		k.add(topicName(0))
		k.add(topicName(1))
		want := []history.Partition{partitionOf(0), partitionOf(1), partitionOf(2)}
		if got := k.active(); !reflect.DeepEqual(got, want) {
			t.Errorf("at first %v are active, want %v", got, want)
		}
		time.Sleep(2 * time.Second)
		want = []history.Partition{partitionOf(2), partitionOf(3)}
		if got := k.active(); !reflect.DeepEqual(got, want) {
			t.Errorf("two keys later %v are active, want %v: the next topic does not exist", got, want)
		}
		time.Sleep(4 * time.Second)
		k.add(topicName(3))
		want = []history.Partition{partitionOf(2), partitionOf(3), partitionOf(6), partitionOf(7)}
		if got := k.active(); !reflect.DeepEqual(got, want) {
			t.Errorf("four keys later %v are active, want %v: some stay in use", got, want)
		}
		if got := k.of(compacted); !reflect.DeepEqual(got, want[:2]) {
			t.Errorf("of compacted topics there are %v, want %v", got, want[:2])
		}
		if got := k.all(); len(got) != 6 {
			t.Errorf("all that was ever used is %v", got)
		}
	})
}

// TestCommitsOfOneGoForward: who goes back to read does not commit what is behind an offset that it asked to be committed.
func TestCommitsOfOneGoForward(t *testing.T) {
	t.Parallel()
	w := &worker{asked: map[history.Partition]int64{}}
	at := func(key, offset int64) history.At { return history.At{Partition: partitionOf(key), Offset: offset} }
	for _, step := range []struct {
		isMember  bool
		ask, want []history.At
	}{
		{false, []history.At{at(0, 5), at(1, 1)}, []history.At{at(0, 5), at(1, 1)}},
		{false, []history.At{at(0, 3), at(1, 1)}, []history.At{at(1, 1)}},
		{false, []history.At{at(0, 4)}, nil},
		{true, []history.At{at(0, 4)}, []history.At{at(0, 4)}}, // the group is somewhere else
		{false, []history.At{at(0, 6)}, []history.At{at(0, 6)}},
	} {
		if got := w.forward(&consumer{isMember: step.isMember}, step.ask); !reflect.DeepEqual(got, step.want) {
			t.Errorf("of %v, %v go forward, want %v", step.ask, got, step.want)
		}
	}
}

// TestAWireCountsAndCuts: a request counts before the other side has it, and after the cut nothing leaves any more.
func TestAWireCountsAndCuts(t *testing.T) {
	t.Parallel()
	there := make(chan net.Conn, 1)
	w := &wire{connect: func(context.Context, string, string) (net.Conn, error) {
		here, other := net.Pipe()
		there <- other
		return here, nil
	}}
	c, err := w.dial(t.Context(), "tcp", "broker")
	if err != nil {
		t.Fatal(err)
	}
	other := <-there
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write([]byte{0, 0, 0, 4, 0, byte(kmsg.EndTxn), 0, 5})
		wrote <- err
	}()
	if _, err := other.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if n := w.sent(kmsg.EndTxn); n != 1 {
		t.Errorf("%d requests are counted while one is under way", n)
	}
	w.cut()
	if err := <-wrote; err == nil {
		t.Error("the rest of a request left after the cut")
	}
	if _, err := w.dial(t.Context(), "tcp", "broker"); !errors.Is(err, errCut) {
		t.Errorf("a dead client dials, and gets %v", err)
	}
}
