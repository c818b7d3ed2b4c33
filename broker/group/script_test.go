package group

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts in testdata do now as what they should do")

// TestScripts runs testdata/*.txt. Lines that begin in the first column are events, the indented lines after each are
// what the machine does upon it:
//
//	config delay=3s max=2             a new machine; generation=5 is the last there was
//	join CALL id=A new=A ...          JoinGroup; new is the id for a new member
//	sync CALL id=A gen=1 assign=A:x   SyncGroup
//	heartbeat id=A gen=1              Heartbeat
//	leave id=A [id=B]                 LeaveGroup; instance=I removes by instance
//	commit id=A gen=1                 OffsetCommit
//	persisted                         the oldest record asked for is durable
//	fail                              it could not be written: the coordinator gives the machine up
//	takeover                          another coordinator continues from the last record that is durable
//	advance 3s                        time passes
//	expiry 1h                         which offsets are old, if they are kept for so long
//	describe                          the group as DescribeGroups shows it
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	s := &script{t: t, out: &got, calls: make(map[string]callID), names: make(map[callID]string)}
	s.reset(limits{initialDelay: 3 * time.Second})
	lines := bufio.NewScanner(bytes.NewReader(want))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, " ") {
			continue // what was expected
		}
		fmt.Fprintln(&got, line)
		if line != "" && !strings.HasPrefix(line, "#") {
			s.run(line)
		}
	}
	s.checkAnswered()
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

func firstDifference(want, got []byte) string {
	w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			from := max(i-4, 0)
			return fmt.Sprintf("line %d\nwant:\n%s\ngot:\n%s", i+1, strings.Join(w[min(from, len(w)):min(i+6, len(w))], "\n"), strings.Join(g[min(from, len(g)):min(i+6, len(g))], "\n"))
		}
	}
	return ""
}

// script is the state of one run.
type script struct {
	t       *testing.T
	out     *bytes.Buffer
	m       *machine
	now     time.Time
	start   time.Time
	shown   State
	calls   map[string]callID // waiting, by the script's name
	names   map[callID]string
	last    callID
	asked   []persist // not yet durable
	durable []byte    // the last record that is
	written time.Time // since then
}

func (s *script) reset(l limits) {
	s.start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.now = s.start
	s.m = newMachine(l)
	s.shown, s.asked, s.durable = Empty, nil, nil
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(s.out, "  "+format+"\n", args...) }

func (s *script) run(line string) {
	words := strings.Fields(line)
	args := arguments(words[1:])
	switch words[0] {
	case "config":
		s.checkAnswered()
		s.reset(limits{initialDelay: args.duration("delay", 3*time.Second), maxSize: args.number("max", 0)})
		s.m.generation = Generation(args.number("generation", 0))
	case "join":
		s.m.join(s.now, s.newCall(words[1]), args.join(), args.one("new", args.one("id", "")))
	case "sync":
		s.m.sync(s.now, s.newCall(words[1]), args.sync())
	case "heartbeat":
		err := s.m.heartbeat(s.now, HeartbeatRequest{MemberID: args.one("id", ""), InstanceID: args.one("instance", ""), Generation: args.generation()})
		s.printf("%s", outcome(err))
	case "leave":
		for _, err := range s.m.leave(s.now, args.leave()) {
			s.printf("%s", outcome(err))
		}
	case "commit":
		err := s.m.commit(s.now, CommitRequest{MemberID: args.one("id", ""), InstanceID: args.one("instance", ""), Generation: args.generation()})
		s.printf("%s", outcome(err))
	case "persisted":
		p := s.asked[0]
		s.asked = s.asked[1:]
		s.durable, s.written = p.record.encode(), s.now
		s.m.persisted(s.now, p.ticket)
	case "fail":
		s.asked = nil
		s.m.fail(ErrCoordinatorUnavailable)
	case "takeover":
		s.takeover()
	case "advance":
		s.advance(words[1])
	case "expiry":
		s.expiry(words[1])
	case "describe":
		s.describe()
	default:
		s.t.Fatalf("unknown event %q", line)
	}
	s.settle()
}

func (s *script) newCall(name string) callID {
	s.last++
	s.calls[name], s.names[s.last] = s.last, name
	return s.last
}

func (s *script) takeover() {
	s.m.fail(ErrNotCoordinator)
	s.settle()
	r, err := decodeRecord(s.durable)
	if err != nil {
		s.t.Fatal(err)
	}
	r.writtenAt = s.written
	s.m, s.asked = newMachine(s.m.limits), nil
	s.m.restore(s.now, r)
}

func (s *script) advance(by string) {
	d, err := time.ParseDuration(by)
	if err != nil {
		s.t.Fatal(err)
	}
	for end := s.now.Add(d); ; {
		at, ok := s.m.deadline()
		if !ok || at.After(end) {
			s.now = end
			return
		}
		s.now = at
		s.m.tick(at)
		if len(s.m.effects) > 0 || s.m.state != s.shown {
			s.printf("at %s", s.now.Sub(s.start))
		}
		s.settle()
	}
}

// settle prints what the machine did.
func (s *script) settle() {
	for _, e := range s.m.takeEffects() {
		switch e := e.(type) {
		case reply:
			s.answer(e)
		case persist:
			s.asked = append(s.asked, e)
			s.printf("persist %s", recordText(e.record))
		}
	}
	if s.m.state != s.shown {
		s.printf("%s, generation %d", s.m.state, s.m.generation)
		s.shown = s.m.state
	}
}

func (s *script) answer(r reply) {
	name, ok := s.names[r.call]
	if !ok {
		s.t.Errorf("answer to a call that does not wait: %+v", r)
	}
	delete(s.names, r.call)
	switch {
	case r.err != nil && r.join.MemberID != "":
		s.printf("%s <- %v (member %s)", name, r.err, r.join.MemberID)
	case r.err != nil:
		s.printf("%s <- %v", name, r.err)
	case r.join.MemberID == "":
		s.printf("%s <- assignment %q", name, r.sync.Assignment)
	default:
		skip := ""
		if r.join.SkipAssignment {
			skip = " skip assignment"
		}
		var members []string
		for _, m := range r.join.Members {
			members = append(members, m.MemberID+":"+strings.Trim(strconv.Quote(string(m.Metadata)), `"`))
		}
		s.printf("%s <- member %s generation %d %s leader %s%s %v", name, r.join.MemberID, r.join.Generation, r.join.Protocol, r.join.LeaderID, skip, members)
	}
}

func (s *script) expiry(retention string) {
	d, err := time.ParseDuration(retention)
	if err != nil {
		s.t.Fatal(err)
	}
	if due, some := s.m.expiry(s.now, d); some {
		s.printf("committed through %s, except of %q", due.through.Sub(s.start), due.except)
	} else {
		s.printf("nothing")
	}
}

func (s *script) describe() {
	d := s.m.describe("g")
	s.printf("%s %q %q", d.State, d.ProtocolType, d.Protocol)
	for _, m := range d.Members {
		s.printf("%s instance %q metadata %q assignment %q", m.MemberID, m.InstanceID, m.Metadata, m.Assignment)
	}
}

// checkAnswered prints the calls that wait, so that the script shows them.
func (s *script) checkAnswered() {
	for id := range s.last + 1 {
		if name, ok := s.names[id]; ok {
			s.printf("%s still waits", name)
			delete(s.names, id)
		}
	}
}

func recordText(r record) string {
	var members []string
	for _, m := range r.Members {
		members = append(members, fmt.Sprintf("%s=%s", m.ID, m.Assignment))
	}
	return fmt.Sprintf("%s generation %d %q leader %q %v", r.state(), r.Generation, r.Protocol, r.Leader, members)
}

func outcome(err error) string {
	if err != nil {
		return err.Error()
	}
	return "ok"
}

// args are the key=value words of an event.
type args map[string][]string

func arguments(words []string) args {
	a := make(args)
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		a[key] = append(a[key], value)
	}
	return a
}

func (a args) one(key, otherwise string) string {
	if len(a[key]) == 0 {
		return otherwise
	}
	return a[key][0]
}

func (a args) number(key string, otherwise int) int {
	n, err := strconv.Atoi(a.one(key, strconv.Itoa(otherwise)))
	if err != nil {
		panic(err)
	}
	return n
}

func (a args) generation() Generation { return Generation(a.number("gen", -1)) }

func (a args) duration(key string, otherwise time.Duration) time.Duration {
	d, err := time.ParseDuration(a.one(key, otherwise.String()))
	if err != nil {
		panic(err)
	}
	return d
}

func (a args) join() JoinRequest {
	req := JoinRequest{
		MemberID: a.one("id", ""), InstanceID: a.one("instance", ""), ProtocolType: a.one("type", "consumer"),
		SessionTimeout: a.duration("session", 10*time.Second), RebalanceTimeout: a.duration("rebalance", 30*time.Second),
		RequireKnownMemberID: a["require"] != nil, CanSkipAssignment: a["skip"] != nil,
	}
	for p := range strings.SplitSeq(a.one("protocols", "range:m"), ",") {
		name, metadata, _ := strings.Cut(p, ":")
		if topic, ok := strings.CutPrefix(metadata, "topic-"); ok { // a subscription to one topic
			metadata = "\x00\x01\x00\x00\x00\x01\x00" + string(rune(len(topic))) + topic
		}
		if name != "" {
			req.Protocols = append(req.Protocols, Protocol{name, []byte(metadata)})
		}
	}
	return req
}

func (a args) sync() SyncRequest {
	req := SyncRequest{
		MemberID: a.one("id", ""), InstanceID: a.one("instance", ""), Generation: a.generation(),
		ProtocolType: a.one("type", ""), Protocol: a.one("protocol", ""), Assignments: make(map[string][]byte),
	}
	for p := range strings.SplitSeq(a.one("assign", ""), ",") {
		member, assignment, _ := strings.Cut(p, ":")
		req.Assignments[member] = []byte(assignment)
	}
	return req
}

func (a args) leave() []LeaveMember {
	var all []LeaveMember
	for _, id := range a["id"] {
		all = append(all, LeaveMember{MemberID: id})
	}
	for _, instance := range a["instance"] {
		id, of, ok := strings.Cut(instance, "@")
		if !ok {
			id, of = "", instance
		}
		all = append(all, LeaveMember{MemberID: id, InstanceID: of})
	}
	return all
}
