package workload

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/history"
)

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, r := range []history.Record{
		{Partition: partitionOf(7), Offset: 3, Key: 7, Value: 1_000_001},
		{Partition: partitionOf(3), Offset: 4, Key: 19, Value: 2_000_001, Tombstone: true},
		{Partition: history.Partition{Topic: pipelineTo, Number: 1}, Offset: 1 << 40, Key: 1, Value: 9_000_002, Of: 8_000_001},
	} {
		k := encode(r)
		k.Offset = r.Offset
		if got, err := decode(k); err != nil || got != r {
			t.Errorf("%+v came back as %+v: %v", r, got, err)
		}
	}
}

func TestForeignRecordsAreNamed(t *testing.T) {
	t.Parallel()
	for _, k := range []*kgo.Record{
		{Key: []byte("1"), Value: []byte("x")}, {Value: []byte("1")}, {Key: []byte("1")}, {Key: []byte("1"), Value: []byte("1 x")}, {},
	} {
		if got, err := decode(k); err == nil || !strings.Contains(err.Error(), "foreign record") {
			t.Errorf("%q, %q was read as %+v: %v", k.Key, k.Value, got, err)
		}
	}
}
