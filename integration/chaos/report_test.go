package chaos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

func TestReportSaysWhatHappenedAndWhatIsWrong(t *testing.T) {
	h := succeeded(1, 2, 3)
	h.Operations[0].Steps = []history.Step{{
		Begun: history.Moment{Seq: 1, At: time.Second}, Ended: history.Moment{Seq: 2, At: 1250 * time.Millisecond}, Outcome: history.OK,
		Send: &history.Record{Value: 1},
	}}
	o := &outcome{seed: 42, brokers: 3, load: time.Minute, history: h, deeds: []deed{did("kill -9", 1, 2), did("kill -9", 4, 5)}}
	if o.failed() {
		t.Error("a run in which nothing went wrong has failed")
	}
	for _, want := range []string{"seed 42", "2 kill -9", "p50 250ms", "anomalies: 0"} {
		if !strings.Contains(o.String(), want) {
			t.Errorf("the report lacks %q:\n%v", want, o)
		}
	}
	for _, c := range []struct {
		name string
		spot func(o *outcome)
		want string
	}{
		{"an anomaly", func(o *outcome) { o.anomalies = []checker.Anomaly{{Name: checker.LostWrite, Text: "where is it"}} }, "lost-write: where is it"},
		{"a stall", func(o *outcome) { o.stalls = []stall{{Who: everyone, Unexplained: true}} }, "UNEXPLAINED: everyone"},
		{"a broker", func(o *outcome) { o.wrong = []string{"broker-1 ended by itself"} }, "broker-1 ended by itself"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := *o
			c.spot(&bad)
			if !bad.failed() || !strings.Contains(bad.String(), c.want) {
				t.Errorf("failed: %v; the report:\n%v", bad.failed(), &bad)
			}
		})
	}
	dir := t.TempDir()
	if err := o.save(dir); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if loaded, err := history.Load(f); err != nil || len(loaded.Operations) != 3 {
		t.Errorf("the history that was saved: %v", err)
	}
}
