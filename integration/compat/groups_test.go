package compat

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/harness"
)

// quickGroups are settings under which groups of both protocols notice in seconds what otherwise takes them minutes.
func quickGroups() map[string]string {
	return map[string]string{
		"group.initial.rebalance.delay.ms":         "0",
		"group.min.session.timeout.ms":             "1000",
		"group.consumer.min.heartbeat.interval.ms": "100",
		"group.consumer.heartbeat.interval.ms":     "300",
		"group.consumer.min.session.timeout.ms":    "1000",
		"group.consumer.session.timeout.ms":        "4000",
	}
}

// tick produces one record to each partition of a topic.
func tick(t *testing.T, bootstrap, topic string, partitions int) {
	t.Helper()
	client, err := harness.Client(t, seeds(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for p := range partitions {
		if err := client.ProduceSync(within(t, 30*time.Second), &kgo.Record{Topic: topic, Partition: int32(p), Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// tickFor produces one record to each partition, and waits until the members have read them, all as many.
func tickFor(t *testing.T, bootstrap, topic string, partitions int, members []*groupMember) {
	t.Helper()
	before := make([]int, len(members))
	for i, m := range members {
		before[i] = m.count()
	}
	tick(t, bootstrap, topic, partitions)
	for i, m := range members {
		m.await("a record of each of its partitions", func() bool { return m.counted() >= before[i]+partitions/len(members) })
	}
}

// checkSpread: the members have all partitions, and no two of them the same.
func checkSpread(t *testing.T, want int, members ...*groupMember) {
	t.Helper()
	var all []string
	for _, m := range members {
		has, _ := m.assigned()
		all = append(all, has...)
	}
	slices.Sort(all)
	if len(all) != want || len(slices.Compact(slices.Clone(all))) != want {
		t.Errorf("the members have %v, want %d partitions once each", all, want)
	}
}

// TestConsumerProtocol: consumers of the protocol of KIP-848 share the partitions of a topic, whether they name it or match it;
// one that dies is replaced by the other after its session; new topics that match are consumed; one that leaves does it at
// once.
func TestConsumerProtocol(t *testing.T) {
	t.Parallel()
	b := harness.Dev(t, harness.DevOptions{Set: quickGroups()})
	for _, client := range []string{"java", "confluent"} {
		for kind, subscription := range map[string]string{"names": client + "-names", "expression": "~" + client + "-expr.*"} {
			t.Run(client+" "+kind, func(t *testing.T) {
				topic := strings.TrimRight(strings.TrimPrefix(subscription, "~"), ".*")
				createTopic(t, b.Addr, topic, 4)
				tick(t, b.Addr, topic, 4)
				start := func() *groupMember {
					return startMember(t, client, b.Addr, "group of "+client+kind, subscription, consumerProtocol...)
				}
				first := start()
				first.await("a record of each partition", func() bool { return first.counted() == 4 })
				second := start()
				second.awaitPartitions(2)
				first.awaitPartitions(2)
				checkSpread(t, 4, first, second)
				tick(t, b.Addr, topic, 4)
				second.await("a record of each partition", func() bool { return len(second.read) == 2 })

				second.kill()
				first.awaitPartitions(4)
				tick(t, b.Addr, topic, 4)
				first.await("all that is not read", func() bool { return first.counted() >= 4+2+4 })
				all := 4
				if kind == "expression" {
					createTopic(t, b.Addr, topic+"ession", 1)
					all = 5
				}
				first.awaitPartitions(all)
				third := start()
				third.await("its share", func() bool { return len(third.has) >= 2 })
				third.close()
				first.awaitPartitions(all)
				first.close()
				if first.lost > 0 {
					t.Errorf("partitions were taken from a living member %d times", first.lost)
				}
			})
		}
	}
}

// TestGroupsChangeTheirProtocol: the members of a classic group are replaced one by one by those of the consumer protocol, and
// these by classic ones again, under load. No record is left out, and the committed offsets never go back.
func TestGroupsChangeTheirProtocol(t *testing.T) {
	t.Parallel()
	const topic, group, partitions = "migrates", "migrating", 4
	b := harness.Dev(t, harness.DevOptions{Set: quickGroups()})
	createTopic(t, b.Addr, topic, partitions)
	classic := []string{"group.protocol=classic", "session.timeout.ms=4000", "heartbeat.interval.ms=300"}
	start := func(client string, settings []string) *groupMember {
		return startMember(t, client, b.Addr, group, topic, settings...)
	}

	watch := watchOffsets(t, b.Addr, group)
	tick(t, b.Addr, topic, partitions)
	members := []*groupMember{start("java", classic), start("confluent", classic)}
	everybodyReads := func(step string) {
		t.Helper()
		for _, m := range members {
			m.awaitPartitions(partitions / len(members))
		}
		checkSpread(t, partitions, members...)
		tickFor(t, b.Addr, topic, partitions, members)
		t.Logf("%s: done", step)
	}
	replace := func(i int, client string, settings []string) {
		t.Helper()
		members[i].close()
		members[i] = start(client, settings)
	}
	everybodyReads("classic")
	replace(0, "java", consumerProtocol)
	everybodyReads("one of two upgraded")
	wantType(t, b.Addr, group, "consumer")
	replace(1, "confluent", consumerProtocol)
	everybodyReads("both upgraded")
	replace(0, "java", classic)
	everybodyReads("one of two downgraded")
	wantType(t, b.Addr, group, "consumer")
	replace(1, "java", classic)
	everybodyReads("both downgraded")
	wantType(t, b.Addr, group, "classic")
	for _, m := range members {
		m.close()
	}
	end := watch()
	for p := range int32(partitions) {
		if end[p] != 6 {
			t.Errorf("partition %d is committed up to %d of 6", p, end[p])
		}
	}
}

// wantType: the group is listed as one of a type.
func wantType(t *testing.T, bootstrap, group, want string) {
	t.Helper()
	client, err := harness.Client(t, seeds(bootstrap))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	listed, err := kmsg.NewPtrListGroupsRequest().RequestWith(within(t, 10*time.Second), client)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range listed.Groups {
		if g.Group == group && g.GroupType == want {
			return
		}
	}
	t.Errorf("%q is not listed as %q: %+v", group, want, listed.Groups)
}

// watchOffsets looks at the committed offsets of a group again and again; none may go back. The function returned ends that and
// gives the last.
func watchOffsets(t *testing.T, bootstrap, group string) (end func() map[int32]int64) {
	t.Helper()
	client := admin(t, bootstrap)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	last := make(map[int32]int64)
	look := func(ctx context.Context) {
		offsets, err := client.FetchOffsets(ctx, group)
		if err != nil {
			return // the coordinator may be away
		}
		for _, o := range offsets.Sorted() {
			if o.At < last[o.Partition] {
				t.Errorf("partition %d: committed %d after %d", o.Partition, o.At, last[o.Partition])
			}
			last[o.Partition] = o.At
		}
	}
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			look(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(stop)
	return func() map[int32]int64 {
		stop()
		<-done
		look(harness.Soon(t))
		return last
	}
}

// TestMembersOutliveTheirCoordinator: the coordinator of a group is killed; its members go on reading with what they have.
func TestMembersOutliveTheirCoordinator(t *testing.T) {
	t.Parallel()
	const topic, group, partitions = "outlives", "outliving", 6
	stores := harness.NewStores(t)
	var all []*harness.Broker
	var addrs []string
	for range 3 {
		b := harness.Node(t, stores, harness.NodeOptions{Set: quickGroups()})
		b.Restart()
		all, addrs = append(all, b), append(addrs, b.Addr)
	}
	bootstrap := strings.Join(addrs, ",")
	createTopic(t, bootstrap, topic, partitions)
	tick(t, bootstrap, topic, partitions)
	members := []*groupMember{
		startMember(t, "java", bootstrap, group, topic, consumerProtocol...),
		startMember(t, "java", bootstrap, group, topic, consumerProtocol...),
		startMember(t, "confluent", bootstrap, group, topic, consumerProtocol...),
	}
	for _, m := range members {
		m.awaitPartitions(partitions / len(members))
	}
	checkSpread(t, partitions, members...)
	type state struct {
		has     string
		changes int
	}
	look := func() (states []state) {
		for _, m := range members {
			has, changes := m.assigned()
			states = append(states, state{fmt.Sprint(has), changes})
		}
		return states
	}
	before := look()

	found := admin(t, bootstrap).FindGroupCoordinators(within(t, 10*time.Second), group)
	coordinator := found[group]
	if coordinator.Err != nil {
		t.Fatal(coordinator.Err)
	}
	for _, b := range all {
		if strings.HasSuffix(b.Addr, fmt.Sprintf(":%d", coordinator.Port)) {
			b.Kill()
			t.Logf("killed broker %d", coordinator.NodeID)
			addrs = slices.DeleteFunc(addrs, func(a string) bool { return a == b.Addr })
		}
	}
	if len(addrs) != 2 {
		t.Fatal("the coordinator is none of the brokers")
	}
	bootstrap = strings.Join(addrs, ",")
	for range 3 {
		tickFor(t, bootstrap, topic, partitions, members)
	}
	if after := look(); !slices.Equal(after, before) {
		t.Errorf("the members had %v before their coordinator was killed, and %v after", before, after)
	}
}

// TestStaticMembersComeBack: a static member of a consumer group that is restarted has its partitions again, and nobody else notices.
func TestStaticMembersComeBack(t *testing.T) {
	t.Parallel()
	const topic, group, partitions = "static", "with static members", 4
	settings := quickGroups()
	settings["group.consumer.session.timeout.ms"] = "60000" // a Java process may take long to start
	b := harness.Dev(t, harness.DevOptions{Set: settings})
	createTopic(t, b.Addr, topic, partitions)
	for _, client := range []string{"java", "confluent"} {
		t.Run(client, func(t *testing.T) {
			start := func(instance string) *groupMember {
				return startMember(t, client, b.Addr, group+client, topic, append([]string{"group.instance.id=" + instance}, consumerProtocol...)...)
			}
			first, second := start("one"), start("two")
			first.awaitPartitions(2)
			second.awaitPartitions(2)
			tickFor(t, b.Addr, topic, partitions, []*groupMember{first, second})
			had, _ := first.assigned()
			before, changes := second.assigned()
			first.close()
			first = start("one")
			first.awaitPartitions(2)
			tickFor(t, b.Addr, topic, partitions, []*groupMember{first, second})
			if has, _ := first.assigned(); !slices.Equal(has, had) {
				t.Errorf("it had %v and came back to %v", had, has)
			}
			if after, now := second.assigned(); now != changes || !slices.Equal(after, before) {
				t.Errorf("the other had %v, and has %v after %d changes", before, after, now-changes)
			}
		})
	}
}

// TestToolsShowConsumerGroups: franz-go as a member of the consumer protocol, and what Kafka's own tool shows of its group.
func TestToolsShowConsumerGroups(t *testing.T) {
	t.Parallel()
	const topic, group = "shown", "showing"
	b := harness.Dev(t, harness.DevOptions{Set: quickGroups()})
	createTopic(t, b.Addr, topic, 4)
	tick(t, b.Addr, topic, 4)
	var members []*kgo.Client
	for range 2 {
		client, err := harness.Client(t, seeds(b.Addr), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ServerSideBalancer(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		members = append(members, client)
	}
	read := 0
	ctx := within(t, 60*time.Second)
	for read < 4 {
		for _, client := range members {
			poll, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			read += client.PollFetches(poll).NumRecords()
			cancel()
		}
		if ctx.Err() != nil {
			t.Fatalf("%d records of 4 after a minute", read)
		}
	}
	tool := func(args ...string) string {
		t.Helper()
		out, err := clients(t).java.run(within(t, 60*time.Second), nil, groupCommand, append([]string{"--bootstrap-server", b.Addr}, args...)...)
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	late := time.Now().Add(60 * time.Second)
	for state := ""; !strings.Contains(state, "Stable"); {
		if state = tool("--describe", "--group", group, "--state"); time.Now().After(late) {
			t.Fatalf("not stable after a minute:\n%s", state)
		}
	}
	contains(t, tool("--list", "--type", "consumer"), group)
	shown := tool("--describe", "--group", group, "--members", "--verbose")
	if n := strings.Count(shown, "\n"+group); n != 2 {
		t.Errorf("%d members are shown, want 2:\n%s", n, shown)
	}
	contains(t, tool("--describe", "--group", group, "--state"), "uniform")
	for _, client := range members {
		client.Close()
	}
	contains(t, tool("--delete", "--group", group), "successful")
}
