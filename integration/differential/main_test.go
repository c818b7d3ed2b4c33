package differential

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/integration/toolchain"
)

// script is a sequence of questions. It runs once against each broker and must ask the same of both.
type script struct {
	name string
	run  func(s *side)
}

func scripts() []script {
	return slices.Concat(
		protocolScripts, metadataScripts, topicScripts, partitionScripts, configScripts, dynamicConfigScripts, clusterScripts,
		produceScripts, recompressScripts, timestampScripts, idempotenceScripts, fetchScripts, sessionScripts, listOffsetsScripts, epochScripts,
		joinScripts, groupScripts, staticScripts, offsetScripts, groupAdminScripts, consumerGroupScripts, wrongGroupScripts, wrongConsumerGroupScripts, transactionScripts,
		wrongTransactionScripts, hostileConsumerScripts,
		deleteRecordsScripts, replicaScripts, controllerScripts, aclScripts,
	)
}

func TestAnswersAsKafkaDoes(t *testing.T) {
	t.Parallel()
	kafka := openKafka(t, servers.KafkaOptions{})
	runnel := harness.Dev(t, harness.DevOptions{Set: map[string]string{"num.partitions": "3"}}).Addr
	p := &pair{start: time.Now(), kafka: kafka, runnel: runnel, used: make([]int, len(known))}
	if err := p.learnVersions(); err != nil {
		t.Fatal(err)
	}
	if err := p.awaitCoordinators(); err != nil {
		t.Fatal(err)
	}
	// Before other scripts make subscriptions, which concern all clients.
	t.Run("alone", func(t *testing.T) {
		for _, sc := range telemetryScripts {
			t.Run(sc.name, func(t *testing.T) { p.compare(t, sc) })
		}
	})
	t.Run("scripts", func(t *testing.T) {
		for _, sc := range scripts() {
			t.Run(sc.name, func(t *testing.T) {
				t.Parallel()
				p.compare(t, sc)
			})
		}
	})
	t.Logf("%d answers compared, %d fields, %d of them known to differ", p.answers, p.fields, p.allowed)
	if t.Failed() {
		return
	}
	for i, k := range known {
		if p.used[i] == 0 && partial() == "" {
			t.Errorf("no longer different, take it off the table: %s %s (%s)", k.answer, k.path, k.reason)
		}
	}
}

// TestAnswersOfRulesAsKafkaDoes has an authorizer on both sides, of which the clients are super users.
func TestAnswersOfRulesAsKafkaDoes(t *testing.T) {
	t.Parallel()
	kafka := openKafka(t, servers.KafkaOptions{Set: map[string]string{
		"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS"}})
	stores := harness.NewStores(t)
	stores.Migrate(t)
	runnel := harness.Node(t, stores, harness.NodeOptions{Set: map[string]string{"super.users": "User:ANONYMOUS"}, Env: []string{"RUNNEL_AUTHORIZER=on"}})
	runnel.Start()
	runnel.WaitReady()
	p := &pair{start: time.Now(), kafka: kafka, runnel: runnel.Addr, used: make([]int, len(known))}
	if err := p.learnVersions(); err != nil {
		t.Fatal(err)
	}
	for _, sc := range authorizedScripts {
		t.Run(sc.name, func(t *testing.T) { p.compare(t, sc) })
	}
	t.Logf("%d answers compared, %d fields, %d of them known to differ", p.answers, p.fields, p.allowed)
}

// partial is the -run pattern that leaves out scripts, if there is one.
func partial() string {
	for _, arg := range os.Args {
		if v, ok := strings.CutPrefix(arg, "-test.run="); ok && strings.Contains(v, "/") {
			return v
		}
	}
	return ""
}

// openKafka starts Apache Kafka, with a receiver of clients' metrics, or skips the test where its jars cannot be had; in CI that is a failure.
func openKafka(t *testing.T, opts servers.KafkaOptions) (bootstrap string) {
	t.Helper()
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	jars, err := tools.JavaClasses(t.Context(), "../compat/clients/java/pom.xml", "java/Receiver.java")
	if err != nil {
		harness.Missing(t, "Apache Kafka, the reference,", err)
	}
	opts.Set = maps.Clone(opts.Set)
	if opts.Set == nil {
		opts.Set = make(map[string]string)
	}
	opts.Set["metric.reporters"] = "Receiver" // or it does not serve telemetry
	return harness.OwnKafka(t, jars, opts).Bootstrap
}

// pair is the two brokers.
type pair struct {
	start         time.Time
	kafka, runnel string
	versions      map[int16][]int16 // of every API that both serve: lowest, middle, highest

	mu                       sync.Mutex
	answers, fields, allowed int
	used                     []int // how often each known difference was met
}

// side opens one of the two brokers for a script.
func (p *pair) side(name, addr, script string) *side {
	return &side{name: name, addr: addr, script: script, start: p.start, versions: p.versions, node: -1, aliases: make(map[string]string), topics: make(map[[16]byte]string)}
}

// learnVersions finds out which versions both serve.
func (p *pair) learnVersions() error {
	var served [2]map[int16][2]int16
	for i, addr := range []string{p.kafka, p.runnel} {
		s := p.side("", addr, "versions")
		served[i] = make(map[int16][2]int16)
		err := s.guard(func(s *side) {
			for _, k := range quiet[*kmsg.ApiVersionsResponse](s, 0, kmsg.NewPtrApiVersionsRequest()).ApiKeys {
				served[i][k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
			}
		})
		if err != nil {
			return err
		}
	}
	p.versions = make(map[int16][]int16)
	for key, ours := range served[1] {
		theirs, ok := served[0][key]
		if !ok {
			return fmt.Errorf("kafka does not serve API %d", key)
		}
		low, high := max(ours[0], theirs[0]), min(ours[1], theirs[1])
		if key == 0 {
			low = 3 // those below are claimed for the sake of librdkafka
		}
		p.versions[key] = slices.Compact([]int16{low, (low + high) / 2, high})
	}
	return nil
}

// awaitCoordinators waits until both find the coordinators of groups and transactional ids, for which Kafka makes topics
// first, and give out producer ids.
func (p *pair) awaitCoordinators() error {
	for _, addr := range []string{p.kafka, p.runnel} {
		s := p.side("", addr, "coordinators")
		err := s.guard(func(s *side) {
			for i := range 16 {
				group := fmt.Sprint("await-", i)
				s.until("the coordinator of "+group, func() bool {
					req := kmsg.NewPtrFindCoordinatorRequest()
					req.CoordinatorKey = group
					if quiet[*kmsg.FindCoordinatorResponse](s, 0, req).ErrorCode != 0 {
						return false
					}
					beat := kmsg.NewPtrHeartbeatRequest()
					beat.Group, beat.MemberID = group, "m"
					return quiet[*kmsg.HeartbeatResponse](s, 0, beat).ErrorCode == 25
				})
			}
			for i := range 64 {
				id := fmt.Sprint("await-", i)
				s.until("the coordinator of "+id, func() bool {
					req := kmsg.NewPtrFindCoordinatorRequest()
					req.CoordinatorType, req.CoordinatorKey = 1, id
					return quiet[*kmsg.FindCoordinatorResponse](s, 2, req).ErrorCode == 0 &&
						quiet[*kmsg.InitProducerIDResponse](s, 4, initTxnRequest(id, 60_000)).ErrorCode == 0
				})
			}
			s.until("producer ids", func() bool {
				return quiet[*kmsg.InitProducerIDResponse](s, 4, kmsg.NewPtrInitProducerIDRequest()).ErrorCode == 0
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// compare runs a script against both and compares what they said.
func (p *pair) compare(t *testing.T, sc script) {
	sides := [2]*side{p.side("kafka", p.kafka, sc.name), p.side("runnel", p.runnel, sc.name)}
	var errs [2]error
	var wg sync.WaitGroup
	for i := range sides {
		wg.Go(func() { errs[i] = sides[i].guard(sc.run) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("%s: %v", sides[i].name, err)
		}
	}
	kafka, runnel := sides[0].steps, sides[1].steps
	for i := range min(len(kafka), len(runnel)) {
		if kafka[i].label != runnel[i].label {
			t.Fatalf("the script asked Kafka %q and Runnel %q", kafka[i].label, runnel[i].label)
		}
		p.compareStep(t, sc.name+"/"+kafka[i].label, kafka[i].fields, runnel[i].fields)
	}
	if len(kafka) != len(runnel) {
		t.Errorf("the script has %d answers from Kafka, %d from Runnel", len(kafka), len(runnel))
	}
}

func (p *pair) compareStep(t *testing.T, answer string, kafka, runnel map[string]string) {
	if wrong := p.differences(answer, kafka, runnel); len(wrong) > 0 {
		t.Errorf("%s:\n  %s", answer, strings.Join(wrong, "\n  "))
	}
}

// differences returns what differs and is not known to, and counts.
func (p *pair) differences(answer string, kafka, runnel map[string]string) (wrong []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers++
	paths := make(map[string]bool)
	for _, side := range []map[string]string{kafka, runnel} {
		for path := range side {
			paths[path] = true
		}
	}
	for path := range paths {
		p.fields++
		k, r := orAbsent(kafka, path), orAbsent(runnel, path)
		if k == r || within(path, kafka, runnel) {
			continue
		}
		if i := slices.IndexFunc(known, func(d difference) bool { return d.covers(answer, path, k, r) }); i >= 0 {
			p.used[i]++
			p.allowed++
			continue
		}
		wrong = append(wrong, fmt.Sprintf("%s: kafka %s, runnel %s", path, k, r))
	}
	slices.Sort(wrong)
	return wrong
}

// within tells whether a field belongs to something that one side lacks altogether, which is difference enough.
func within(path string, kafka, runnel map[string]string) bool {
	for i := range path {
		if path[i] != '[' && path[i] != '.' || i == 0 {
			continue
		}
		k, inKafka := kafka[path[:i]]
		r, inRunnel := runnel[path[:i]]
		if inKafka != inRunnel || k == "null" || r == "null" {
			return true
		}
	}
	return false
}

func orAbsent(fields map[string]string, path string) string {
	if v, ok := fields[path]; ok {
		return v
	}
	return "absent"
}
