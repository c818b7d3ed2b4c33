package cli

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

func TestGroupsOfTheConsumerProtocolAreDescribed(t *testing.T) {
	s := newShell(t)
	s.run("", "topic create t -p 2")
	s.run("a\nb\nc\n", "produce t -p 0")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	member, err := harness.Client(t, kgo.SeedBrokers(s.bootstrap), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ServerSideBalancer(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.ClientID("reader"), kgo.FetchMaxWait(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	for read := 0; read < 3; {
		fetches := member.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		read += fetches.NumRecords()
	}
	describe := func() (g groupShown) {
		t.Helper()
		var groups []groupShown
		if err := json.Unmarshal([]byte(s.run("", "group describe g --json")), &groups); err != nil || len(groups) != 1 {
			t.Fatal(groups, err)
		}
		return groups[0]
	}
	g := describe()
	if g.Type != "consumer" || g.State != "Stable" || g.Protocol != "uniform" || g.Lag != 3 || len(g.Members) != 1 || len(g.Partitions) != 2 {
		t.Fatalf("before a commit: %+v", g)
	}
	if p := g.Partitions[0]; p.Topic != "t" || p.Committed != -1 || p.End != 3 || p.Lag != 3 || p.Client != "reader" {
		t.Errorf("before a commit: %+v", p)
	}
	if err := member.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	if g = describe(); g.Lag != 0 || g.Partitions[0].Committed != 3 {
		t.Errorf("after a commit: %+v", g)
	}
	if out := s.run("", "group describe g"); !strings.Contains(out, "group g, consumer, Stable, 1 member, lag 0") {
		t.Error(out)
	}
	member.Close()
	if g = describe(); g.State != "Empty" || len(g.Members) != 0 || g.Partitions[0].Client != "" {
		t.Errorf("after the member left: %+v", g)
	}
}

// groupShown is what `runnel group describe --json` tells of a group.
type groupShown struct {
	Type, State, Protocol string
	Lag                   int64
	Members               []struct{ ID string }
	Partitions            []struct {
		Topic     string
		Committed int64 `json:"committed_offset"`
		End       int64 `json:"end_offset"`
		Lag       int64
		Client    string `json:"client_id"`
	}
}
