package ecosystem

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/mover"
)

// TestFlinkMovesExactlyOnce kills a Flink job that moves records in transactions, twice, and starts it again at its last
// checkpoint. Readers of committed records find each once, in order.
func TestFlinkMovesExactlyOnce(t *testing.T) {
	onTargets(t, func(t *testing.T, bootstrap string) {
		const partitions = 2
		createTopic(t, bootstrap, "flink-from", partitions)
		createTopic(t, bootstrap, "flink-to", partitions)
		checkpoints := filepath.Join(t.TempDir(), "checkpoints")
		// What Flink opens of the Java runtime is written in its own distribution's start script.
		command := append(javaOf(t, "clients/flink", "--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED"),
			"FlinkMover", bootstrap, "flink-from", "flink-to", checkpoints)
		out := follow(t, bootstrap, "flink-to")
		input := feed(t, bootstrap, 2*time.Millisecond, func(i int) *kgo.Record { return mover.Record("flink-from", i, partitions) },
			kgo.RecordPartitioner(kgo.ManualPartitioner()))
		var job *process
		for life := range 3 {
			job = start(t, fmt.Sprintf("life %d of the job", life), command)
			from := out.count("flink-to")
			eventually(t, fmt.Sprintf("life %d of the job writes", life), time.Minute, func() bool {
				job.alive(t)
				return out.count("flink-to") > from+1000
			})
			if life < 2 {
				job.kill(t)
			}
		}
		n := input()
		out.await(t, "flink-to", n, time.Minute)
		job.alive(t)
		if err := mover.Check(out.of("flink-to"), n, partitions); err != nil {
			t.Error(err)
		}
	})
}
