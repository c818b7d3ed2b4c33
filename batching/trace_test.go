package batching_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching"
)

var update = flag.Bool("update", false, "rewrite testdata")

// The number of requests to the object store and the metastore is what Runnel costs: a difference here is a change to
// be reviewed, not a file to be regenerated.
func TestTraceOfProduce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{})
		var b strings.Builder
		step := func(title string, requests ...[]batching.Batch) {
			puts, commits := len(r.store.trace()), len(r.log.calls())
			var pending []*batching.Pending
			for _, batches := range requests {
				pending = append(pending, r.append(batches...))
			}
			for _, p := range pending {
				r.offsets(p)
			}
			fmt.Fprintf(&b, "# %s\n", title)
			for _, line := range r.store.trace()[puts:] {
				fmt.Fprintln(&b, line)
			}
			for _, ids := range r.log.calls()[commits:] {
				fmt.Fprintf(&b, "COMMIT %d segments\n", len(ids))
			}
			time.Sleep(time.Second)
		}
		step("one request of one batch", []batching.Batch{r.batch(0, 1, 100)})
		step("one request to three partitions", []batching.Batch{r.batch(0, 1, 100), r.batch(1, 1, 100), r.batch(2, 1, 100)})
		step("five requests of one connection", []batching.Batch{r.batch(0, 1, 100)}, []batching.Batch{r.batch(0, 1, 100)},
			[]batching.Batch{r.batch(0, 1, 100)}, []batching.Batch{r.batch(0, 1, 100)}, []batching.Batch{r.batch(0, 1, 100)})
		got := regexp.MustCompile(`t0/[^ ]+`).ReplaceAllString(b.String(), "t0/SEGMENT")
		got = regexp.MustCompile(`\d+ bytes`).ReplaceAllString(got, "N bytes")
		const file = "testdata/produce.trace"
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("calls differ from %s:\n%s", file, got)
		}
	})
}
