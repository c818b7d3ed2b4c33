package ecosystem

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/mover"
)

// moverOptions names the environment variable that makes this program a mover, with options in JSON, instead of the tests.
const moverOptions = "RUNNEL_ECOSYSTEM_MOVER"

func TestMain(m *testing.M) {
	if text := os.Getenv(moverOptions); text != "" {
		runMover(text)
		return
	}
	os.Exit(m.Run())
}

func runMover(text string) {
	var o mover.Options
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	mover.Run(ctx, o, func(err error) { fmt.Fprintln(os.Stderr, "the session ended:", err) })
}

// TestGroupTransactSessionMovesExactlyOnce: of two members of a group that move records in transactions one is killed, and
// a third comes. Readers of committed records find each once, in order.
func TestGroupTransactSessionMovesExactlyOnce(t *testing.T) {
	onTargets(t, func(t *testing.T, bootstrap string) {
		const partitions = 4
		createTopic(t, bootstrap, "moved-from", partitions)
		createTopic(t, bootstrap, "moved-to", partitions)
		member := func(id string) *process {
			options, err := json.Marshal(mover.Options{
				Seeds: []string{bootstrap}, Group: "movers", ID: id, From: "moved-from", To: "moved-to", Batch: 20,
			})
			if err != nil {
				t.Fatal(err)
			}
			return start(t, "the mover "+id, []string{"env", moverOptions + "=" + string(options), os.Args[0]})
		}
		out := follow(t, bootstrap, "moved-to")
		input := feed(t, bootstrap, 2*time.Millisecond, func(i int) *kgo.Record { return mover.Record("moved-from", i, partitions) },
			kgo.RecordPartitioner(kgo.ManualPartitioner()))
		await := func(more int) { out.await(t, "moved-to", out.count("moved-to")+more, time.Minute) }

		first, second := member("first"), member("second")
		await(1000)
		first.kill(t)
		await(500)
		third := member("third")
		await(500)
		second.kill(t)
		await(500)
		n := input()
		out.await(t, "moved-to", n, time.Minute)
		third.alive(t)
		if err := mover.Check(out.of("moved-to"), n, partitions); err != nil {
			t.Error(err)
		}
	})
}
