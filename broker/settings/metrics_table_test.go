package settings

import (
	"slices"
	"testing"
	"time"
)

func TestClientMetricsAreResolvedFromOverrides(t *testing.T) {
	m, ok := ClientMetricsOf(nil)
	if !ok || m.Interval != 5*time.Minute || len(m.Metrics)+len(m.Match) != 0 {
		t.Errorf("without overrides: %+v, %v", m, ok)
	}
	m, ok = ClientMetricsOf(map[string]string{"interval.ms": "100", "metrics": "a.b, c", "match": "client_id = app-.* , client_software_name=librdkafka"})
	if !ok || m.Interval != 100*time.Millisecond || !slices.Equal(m.Metrics, []string{"a.b", "c"}) || len(m.Match) != 2 {
		t.Errorf("%+v, %v", m, ok)
	}
	for id, want := range map[string]bool{"app-1": true, "my-app-1": false, "": false} {
		if got := m.Match[ClientID].MatchString(id); got != want {
			t.Errorf("client %q: %v", id, got)
		}
	}
	m, ok = ClientMetricsOf(map[string]string{"interval.ms": "1", "no.such": "x", "metrics": "*"})
	if !ok || m.Interval != 5*time.Minute || !slices.Equal(m.Metrics, []string{AllMetrics}) {
		t.Errorf("what another version allowed: %+v, %v", m, ok)
	}
	if _, ok = ClientMetricsOf(map[string]string{"metrics": "*", "match": "client_id=(?=of another version)"}); ok {
		t.Error("an expression that is not understood is for some clients")
	}
}
