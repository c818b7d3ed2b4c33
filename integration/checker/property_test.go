package checker_test

import (
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/checker"
)

func TestHistoriesOfTheModelAreSound(t *testing.T) {
	for seed := range uint64(300) {
		h := runModel(seed)
		anomalies := checker.Check(h)
		if len(anomalies) == 0 {
			continue
		}
		var text strings.Builder
		for _, a := range anomalies[:min(len(anomalies), 3)] {
			if err := a.Print(&text, h, 12); err != nil {
				t.Fatal(err)
			}
		}
		t.Fatalf("seed %d: %d anomalies\n%s", seed, len(anomalies), text.String())
	}
}
