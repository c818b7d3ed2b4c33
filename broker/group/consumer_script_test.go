package group

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// TestConsumerScripts runs testdata/consumer/*.txt, in the manner of TestScripts. Partitions are written t0: partition 0 of topic
// t. Records are durable at once, unless the script says hold.
//
//	config max=2 migration=disabled session=45s interval=1s assignors=range,uniform
//	topic t 4                           there is such a topic now; 0: there is none
//	beat A epoch=0 topics=t owned=      ConsumerGroupHeartbeat; what is not named is null
//	    regex= instance= assignor= rebalance=30s rack=
//	join A topics=t owned=t0 protocols=range,sticky  JoinGroup of a classic member; id= instead of A, and new= for a new one
//	sync A gen=1 [assign=A:t0,t1;B:t2]  SyncGroup; a leader of a classic group assigns
//	heartbeat A gen=1, leave A | leave instance=i
//	commit A epoch=1 [v8], fetch A epoch=1   OffsetCommit, OffsetFetch
//	hold, persisted, fail, takeover, advance 3s, describe
func TestConsumerScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/consumer/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runConsumerScript(t, file) })
	}
}

func runConsumerScript(t *testing.T, file string) {
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	s := &consumerScript{t: t, out: &got}
	s.reset(nil)
	lines := bufio.NewScanner(bytes.NewReader(want))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, " ") {
			continue
		}
		fmt.Fprintln(&got, line)
		if line != "" && !strings.HasPrefix(line, "#") {
			s.run(line)
		}
	}
	if len(s.waiting) > 0 {
		s.printf("still waits: %d", len(s.waiting))
	}
	if *rewrite {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got.String() != string(want) {
		t.Errorf("%s does something else now:\n%s", file, firstDifference(want, got.Bytes()))
	}
}

type consumerScript struct {
	t       *testing.T
	out     *bytes.Buffer
	c       *Coordinator
	g       *loaded
	now     time.Time
	topics  []*metastore.Topic
	made    int // topics
	last    callID
	waiting map[callID]string
	hold    bool
	durable metastore.GroupRecord
}

// Topics implements Topics.
func (s *consumerScript) Topics() []*metastore.Topic { return s.topics }

func (s *consumerScript) reset(a args) {
	s.now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	times := ConsumerTimes{HeartbeatInterval: 5 * time.Second, SessionTimeout: a.duration("session", 45*time.Second), AssignmentInterval: a.duration("interval", 0)}
	policy := map[string]Migration{"upgrade": MigrateUpgrade, "downgrade": MigrateDowngrade, "disabled": MigrateNever}[a.one("migration", "")]
	opts := Options{
		Now: func() time.Time { return s.now }, Topics: s, InitialRebalanceDelay: -1, ConsumerMaxSize: a.number("max", 0),
		ConsumerTimes: func(string) ConsumerTimes { return times }, ConsumerMigration: policy,
	}
	if names := a.one("assignors", ""); names != "" {
		opts.ConsumerAssignors = strings.Split(names, ",")
	}
	s.topics, s.hold, s.durable, s.waiting = nil, false, metastore.GroupRecord{}, make(map[callID]string)
	s.c = New(memory.New(memory.Options{}), 1, opts)
	s.load()
}

// load makes the group of what is durable, as a coordinator does that takes it over.
func (s *consumerScript) load() {
	m, err := s.c.machineOf(s.durable)
	if err != nil {
		s.t.Fatal(err)
	}
	s.g = &loaded{id: "g", machine: m}
	s.event(func() {})
}

func (s *consumerScript) printf(format string, args ...any) {
	fmt.Fprintf(s.out, "  "+format+"\n", args...)
}

func (s *consumerScript) run(line string) {
	words := strings.Fields(line)
	id, a := "", arguments(words[1:])
	if len(words) > 1 && !strings.Contains(words[1], "=") {
		id = words[1]
	}
	id = a.one("id", id)
	switch words[0] {
	case "config":
		s.reset(a)
	case "topic":
		s.topic(words[1], words[2])
	case "hold":
		s.hold = true
	case "persisted":
		s.persist()
	case "fail":
		s.g.machine.fail(ErrCoordinatorUnavailable)
		s.settle()
	case "takeover":
		s.g.machine.fail(ErrNotCoordinator)
		s.settle()
		s.load()
	case "advance":
		s.advance(words[1])
	case "describe":
		s.describe()
	default:
		s.request(words[0], id, a)
	}
}

func (s *consumerScript) request(verb, id string, a args) {
	call := func() callID {
		s.last++
		s.waiting[s.last] = id
		return s.last
	}
	m := func() groupMachine { return s.g.machine }
	s.event(func() {
		switch verb {
		case "beat":
			this := call()
			if err := s.c.consumerHeartbeatOn(s.g, this, s.beat(id, a), "new"); err != nil {
				s.answer(reply{call: this, err: err})
			}
		case "join":
			s.c.classicIfEmpty(s.g)
			m().join(s.now, call(), s.join(id, a), a.one("new", id))
		case "sync":
			m().sync(s.now, call(), s.sync(id, a))
		case "heartbeat":
			s.printf("%s", outcome(m().heartbeat(s.now, HeartbeatRequest{MemberID: id, InstanceID: a.one("instance", ""), Generation: a.generation()})))
		case "leave":
			for _, err := range m().leave(s.now, []LeaveMember{{id, a.one("instance", "")}}) {
				s.printf("%s", outcome(err))
			}
		case "commit":
			s.printf("%s", outcome(m().commit(s.now, CommitRequest{MemberID: id, Generation: Generation(a.number("epoch", -1)), MemberEpochs: a["v8"] == nil})))
		case "fetch":
			s.printf("%s", outcome(m().checkFetch(&id, MemberEpoch(a.number("epoch", -1)))))
		default:
			s.t.Fatalf("unknown event %q", verb)
		}
	})
}

// event does what Coordinator.act does.
func (s *consumerScript) event(do func()) {
	s.g.machine.observe(s.c.watch.now(), s.c.opts.ConsumerTimes("g"))
	do()
	s.c.downgrade(s.g)
	s.settle()
}

func (s *consumerScript) settle() {
	for _, e := range s.g.machine.takeEffects() {
		switch e := e.(type) {
		case reply:
			s.answer(e)
		case persist:
			e.of = s.g.machine
			s.g.queue = append(s.g.queue, e)
		}
	}
	if !s.hold && len(s.g.queue) > 0 {
		s.persist()
	}
}

// persist makes the oldest record that was asked for durable.
func (s *consumerScript) persist() {
	p, r, ok := s.g.nextWrite()
	if !ok {
		s.printf("nothing to persist")
		return
	}
	s.durable = r
	s.printf("persist %s %s", r.StateName, r.ProtocolType)
	s.event(func() {
		if p.of == s.g.machine {
			s.g.machine.persisted(s.now, p.ticket)
		}
	})
}

func (s *consumerScript) answer(r reply) {
	id, ok := s.waiting[r.call]
	if !ok {
		s.t.Errorf("answer to a call that does not wait: %+v", r)
	}
	delete(s.waiting, r.call)
	switch {
	case r.err != nil:
		s.printf("%s <- %v", id, r.err)
	case r.consumer.MemberID != "":
		text := ""
		if r.consumer.Assignment != nil {
			text = " may have [" + s.names(r.consumer.Assignment) + "]"
		}
		s.printf("%s <- epoch %d%s", r.consumer.MemberID, r.consumer.Epoch, text)
	case r.join.MemberID != "":
		s.printf("%s <- generation %d %s leader %q", r.join.MemberID, r.join.Generation, r.join.Protocol, r.join.LeaderID)
	default:
		assigned, err := decodeAssignment(r.sync.Assignment)
		if err != nil {
			s.t.Fatal(err)
		}
		s.printf("%s <- assigned [%s]", id, s.names(s.c.watch.now().resolve(assigned)))
	}
}

func (s *consumerScript) names(set []metastore.TopicPartition) string {
	var names []string
	for _, p := range set {
		name := "?"
		if t := s.c.watch.now().byID[p.Topic]; t != nil {
			name = t.Name
		}
		names = append(names, fmt.Sprintf("%s%d", name, p.Partition))
	}
	return strings.Join(names, " ")
}

// partitions reads t0,u1. Topics that do not exist are some that never did.
func (s *consumerScript) partitions(text string) []metastore.TopicPartition {
	set := []metastore.TopicPartition{}
	for word := range strings.SplitSeq(text, ",") {
		if word == "" {
			continue
		}
		n, err := strconv.Atoi(word[1:])
		if err != nil {
			s.t.Fatal(err)
		}
		p := metastore.TopicPartition{Topic: metastore.TopicID{0xff}, Partition: int32(n)}
		if t := s.c.watch.now().byName[word[:1]]; t != nil {
			p.Topic = t.ID
		}
		set = append(set, p)
	}
	return set
}

func (s *consumerScript) topic(name, count string) {
	n, err := strconv.Atoi(count)
	if err != nil {
		s.t.Fatal(err)
	}
	all := slices.Clone(s.topics)
	i := slices.IndexFunc(all, func(t *metastore.Topic) bool { return t.Name == name })
	switch {
	case i >= 0 && n == 0:
		all = slices.Delete(all, i, i+1)
	case i >= 0:
		grown := *all[i]
		grown.Partitions = int32(n)
		all[i] = &grown
	default:
		s.made++
		all = append(all, &metastore.Topic{ID: metastore.TopicID{byte(s.made)}, Name: name, Partitions: int32(n)})
	}
	s.topics = all
}

func (s *consumerScript) beat(id string, a args) ConsumerHeartbeatRequest {
	req := ConsumerHeartbeatRequest{
		GroupID: "g", MemberID: id, InstanceID: a.one("instance", ""), ClientID: "client", Epoch: MemberEpoch(a.number("epoch", 0)),
		RebalanceTimeout: a.duration("rebalance", -1),
	}
	if req.Epoch == JoinEpoch {
		req.RebalanceTimeout = a.duration("rebalance", 30*time.Second)
	}
	if a["topics"] != nil {
		req.TopicNames = strings.FieldsFunc(a.one("topics", ""), func(r rune) bool { return r == ',' })
		if req.TopicNames == nil {
			req.TopicNames = []string{}
		}
	}
	for key, field := range map[string]**string{"regex": &req.TopicRegex, "assignor": &req.Assignor, "rack": &req.Rack} {
		if a[key] != nil {
			*field = &a[key][0]
		}
	}
	if a["owned"] != nil {
		req.Owned = s.partitions(a.one("owned", ""))
	}
	return req
}

func (s *consumerScript) join(id string, a args) JoinRequest {
	req := JoinRequest{
		MemberID: id, InstanceID: a.one("instance", ""), ProtocolType: a.one("type", "consumer"), ClientID: "client",
		SessionTimeout: a.duration("session", 10*time.Second), RebalanceTimeout: a.duration("rebalance", 30*time.Second),
		RequireKnownMemberID: a["require"] != nil,
	}
	metadata := []byte("garbage")
	if a["topics"] != nil {
		metadata = encodeSubscription(int16(a.number("version", 1)), strings.Split(a.one("topics", ""), ","),
			s.c.watch.now().byTopic(partitionsOf(s.partitions(a.one("owned", "")))))
	}
	for name := range strings.SplitSeq(a.one("protocols", "range"), ",") {
		req.Protocols = append(req.Protocols, Protocol{name, metadata})
	}
	return req
}

func (s *consumerScript) sync(id string, a args) SyncRequest {
	req := SyncRequest{MemberID: id, InstanceID: a.one("instance", ""), Generation: a.generation(), Assignments: make(map[string][]byte)}
	for part := range strings.SplitSeq(a.one("assign", ""), ";") {
		member, set, _ := strings.Cut(part, ":")
		req.Assignments[member] = encodeAssignment(1, s.c.watch.now().byTopic(partitionsOf(s.partitions(set))))
	}
	return req
}

// encodeSubscription makes what a classic consumer says of itself.
func encodeSubscription(version int16, topics []string, owned []topicPartitions) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(len(topics)))
	for _, t := range topics {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(t))), t...)
	}
	b = binary.BigEndian.AppendUint32(b, 0xffff_ffff) // no user data
	if version >= 1 {
		as := encodeAssignment(0, owned)
		b = append(b, as[2:len(as)-4]...)
	}
	if version >= 2 {
		b = binary.BigEndian.AppendUint32(b, 7)
	}
	if version >= 3 {
		b = append(binary.BigEndian.AppendUint16(b, 1), 'r')
	}
	return b
}

func (s *consumerScript) advance(by string) {
	d, err := time.ParseDuration(by)
	if err != nil {
		s.t.Fatal(err)
	}
	for end := s.now.Add(d); ; {
		at, ok := s.g.machine.deadline()
		if !ok || at.After(end) {
			s.now = end
			return
		}
		s.now = at
		s.event(func() { s.g.machine.tick(at) })
	}
}

func (s *consumerScript) describe() {
	m, ok := s.g.machine.(*consumerMachine)
	if !ok {
		d := s.g.machine.(*machine).describe("g")
		s.printf("classic %s protocol %q generation %d", d.State, d.Protocol, s.g.machine.(*machine).generation)
		for _, mb := range d.Members {
			assigned, _ := decodeAssignment(mb.Assignment)
			s.printf("%s [%s]", mb.MemberID, s.names(s.c.watch.now().resolve(assigned)))
		}
		return
	}
	s.printf("consumer %s epoch %d assignment %d %s", m.state(), m.epoch, m.assignmentEpoch, m.preferredAssignor())
	for _, mb := range m.order {
		kind := ""
		if mb.classic != nil {
			kind = " classic"
		}
		if mb.instance != "" {
			kind += " instance " + mb.instance
		}
		s.printf("%s%s epoch %d %s has [%s] revokes [%s] target [%s]", mb.id, kind, mb.epoch, mb.state, s.names(mb.assigned), s.names(mb.revoking), s.names(mb.target))
	}
}
