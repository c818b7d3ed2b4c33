package peer

import (
	"bytes"
	"errors"
	"testing"

	"github.com/runnel-io/runnel/metastore"
)

func TestUsage(t *testing.T) {
	var report []byte
	address, _ := serveWith(t, shared(t), new(backend), ServerOptions{Usage: func() []byte { return report }})
	client := NewClient(shared(t), inCluster("one"), ClientOptions{})
	defer client.Close()
	if _, err := client.Usage(t.Context(), address); !errors.Is(err, metastore.ErrNewerFormat) {
		t.Errorf("a broker that does not tell: %v", err)
	}
	report = bytes.Repeat([]byte("x"), maxUsageBytes)
	if got, err := client.Usage(t.Context(), address); err != nil || !bytes.Equal(got, report) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	report = append(report, 'x')
	if _, err := client.Usage(t.Context(), address); err == nil {
		t.Error("a report that is too large is taken")
	}
}
