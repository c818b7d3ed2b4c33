package ecosystem

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// TestStreamsCountsWordsExactlyOnce kills a word count in the middle, with exactly_once_v2, and starts it again, on the
// state that it left and on none. Each word's counts are 1, 2, 3 and so on up to how often it was there.
func TestStreamsCountsWordsExactlyOnce(t *testing.T) {
	onTargets(t, func(t *testing.T, bootstrap string) {
		countWords(t, bootstrap, "words", nil)
		checkInternalTopics(t, bootstrap, "words", map[string]string{"-changelog": "compact", "-repartition": "delete"})
		checkPurged(t, bootstrap, "words")
	})
}

// countWords runs the word count through its lives and looks at its counts. dead is as of killStream.
func countWords(t *testing.T, bootstrap, name string, dead func()) {
	t.Helper()
	in, counted := name+"-in", name+"-out"
	createTopic(t, bootstrap, in, 2)
	createTopic(t, bootstrap, counted, 2)
	out := follow(t, bootstrap, counted)
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string]int{}
	input := feed(t, bootstrap, 10*time.Millisecond, func(int) *kgo.Record {
		var line []string
		for range 4 {
			word := fmt.Sprint("word", random.IntN(50))
			line = append(line, word)
			want[word]++
		}
		return &kgo.Record{Topic: in, Value: []byte(strings.Join(line, " "))}
	})
	stream := killStream(t, "words", bootstrap, name, func() int { return out.count(counted) }, dead)
	out.await(t, counted, 4*input(), time.Minute)
	stream.alive(t)
	checkCounts(t, counted, out.of(counted), want)
}

// TestStreamsJoinsExactlyOnce does the same to a join of a stream with a table, and a count in windows of what it gives.
func TestStreamsJoinsExactlyOnce(t *testing.T) {
	onTargets(t, func(t *testing.T, bootstrap string) {
		for _, topic := range []string{"join-users", "join-clicks", "join-joined", "join-counts"} {
			createTopic(t, bootstrap, topic, 2)
		}
		c, _ := client(t, bootstrap)
		region := func(user int) string { return fmt.Sprint("region", user%5) }
		start := time.Now().Add(-time.Hour) // not so old that it expires
		for user := range 40 {
			r := &kgo.Record{Topic: "join-users", Key: fmt.Append(nil, "user", user), Value: []byte(region(user)), Timestamp: start}
			if err := c.ProduceSync(harness.Soon(t), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		out := follow(t, bootstrap, "join-joined", "join-counts")
		joined, counts := map[string]int{}, map[string]int{}
		input := feed(t, bootstrap, 5*time.Millisecond, func(i int) *kgo.Record {
			user, page, at := i*7%40, fmt.Sprint("page", i), start.Add(time.Duration(1+i)*20*time.Millisecond)
			joined[fmt.Sprintf("user%d %s %s", user, page, region(user))]++
			counts[fmt.Sprintf("%s@%d", region(user), at.Truncate(10*time.Second).UnixMilli())]++
			return &kgo.Record{Topic: "join-clicks", Key: fmt.Append(nil, "user", user), Value: []byte(page), Timestamp: at}
		})
		stream := killStream(t, "join", bootstrap, "join", func() int { return out.count("join-counts") }, nil)
		n := input()
		goesOn(time.Minute, func() (int, bool) { // else the checks say what is missing
			stream.alive(t)
			clicks, windows := out.count("join-joined"), out.count("join-counts")
			return clicks + windows, clicks >= n && windows >= n
		})
		checkJoined(t, out.of("join-joined"), joined)
		checkCounts(t, "join-counts", out.of("join-counts"), counts)
		checkInternalTopics(t, bootstrap, "join", map[string]string{"-changelog": "compact,delete", "-repartition": "delete"})
	})
}

// checkJoined looks for each click once.
func checkJoined(t *testing.T, records []*kgo.Record, want map[string]int) {
	t.Helper()
	got, wrong := map[string]int{}, []string{}
	for _, r := range records {
		got[string(r.Key)+" "+string(r.Value)]++
	}
	for click := range want {
		if got[click] != 1 {
			wrong = append(wrong, fmt.Sprintf("%s: %d times", click, got[click]))
		}
	}
	slices.Sort(wrong)
	if len(wrong) > 0 || len(records) != len(want) {
		t.Errorf("%d clicks are joined, there were %d; not once: %d, among them %q", len(records), len(want), len(wrong), wrong[:min(len(wrong), 20)])
	}
}

// killStream runs a topology of clients/java/Stream.java through two crashes, each after it wrote some more, and returns
// its third life once that writes too. dead, if there is one, runs while it is dead, before a life that has no state.
func killStream(t *testing.T, kind, bootstrap, name string, written func() int, dead func()) *process {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state")
	var stream *process
	for life := range 3 {
		if life == 2 { // where its id is kept too, so that nobody ends the transaction of the killed one
			if err := os.RemoveAll(state); err != nil {
				t.Fatal(err)
			}
			if dead != nil {
				dead()
			}
		}
		stream = start(t, fmt.Sprintf("life %d of the stream", life), java(t, "Stream", kind, bootstrap, name, state))
		from := written()
		eventually(t, fmt.Sprintf("life %d of the stream writes", life), 90*time.Second, func() bool {
			stream.alive(t)
			return written() > from+300
		})
		if life < 2 {
			stream.kill(t)
		}
	}
	return stream
}

// checkCounts looks at records of a key and how often it was there up to then: the next number each time, up to want.
func checkCounts(t *testing.T, topic string, records []*kgo.Record, want map[string]int) {
	t.Helper()
	got, wrong := map[string]int{}, 0
	for _, r := range records {
		key := string(r.Key)
		got[key]++
		if count, err := strconv.Atoi(string(r.Value)); err != nil || count != got[key] {
			if wrong++; wrong < 5 {
				t.Errorf("%s: %s is counted %q at %d/%d, want %d", topic, key, r.Value, r.Partition, r.Offset, got[key])
			}
		}
	}
	for key := range want {
		if got[key] != want[key] {
			t.Errorf("%s: %s is counted %d times, was there %d times", topic, key, got[key], want[key])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d keys are counted, there were %d", topic, len(got), len(want))
	}
}

// checkInternalTopics looks at the cleanup.policy of the topics that Streams made for itself, by how their names end.
func checkInternalTopics(t *testing.T, bootstrap, name string, policies map[string]string) {
	t.Helper()
	seen := map[string]string{}
	for topic, policy := range policiesOf(t, bootstrap, name+"-KSTREAM") {
		seen[topic[strings.LastIndexByte(topic, '-'):]] = policy
	}
	if !maps.Equal(seen, policies) {
		t.Errorf("cleanup.policy of the internal topics: %v, want %v", seen, policies)
	}
}

// policiesOf gives the cleanup.policy, its words in order, of each topic whose name begins with a prefix.
func policiesOf(t *testing.T, bootstrap, prefix string) map[string]string {
	t.Helper()
	_, admin := client(t, bootstrap)
	topics, err := admin.ListTopics(harness.Soon(t))
	if err != nil {
		t.Fatal(err)
	}
	names := slices.DeleteFunc(topics.Names(), func(topic string) bool { return !strings.HasPrefix(topic, prefix) })
	configs, err := admin.DescribeTopicConfigs(harness.Soon(t), names...)
	if err != nil {
		t.Fatal(err)
	}
	policies := map[string]string{}
	for _, resource := range configs {
		for _, config := range resource.Configs {
			if config.Key == "cleanup.policy" {
				words := strings.Split(config.MaybeValue(), ",")
				slices.Sort(words)
				policies[resource.Name] = strings.Join(words, ",")
			}
		}
	}
	return policies
}

// checkPurged waits until Streams deleted what it had read of a repartition topic.
func checkPurged(t *testing.T, bootstrap, name string) {
	t.Helper()
	_, admin := client(t, bootstrap)
	topics, err := admin.ListTopics(harness.Soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics.Names() {
		if strings.HasPrefix(topic, name+"-KSTREAM") && strings.HasSuffix(topic, "-repartition") {
			eventually(t, "records of "+topic+" are deleted", 30*time.Second, func() bool {
				starts, err := admin.ListStartOffsets(harness.Soon(t), topic)
				first, ok := starts.Lookup(topic, 0)
				return err == nil && ok && first.Offset > 0
			})
		}
	}
}
