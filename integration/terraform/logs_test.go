package terraform

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/harness"
)

var logFilter = regexp.MustCompile(`(?m)^    (\w+) += "\{ \$\.(\w+) = \\"([^"\\]+)\\" \}"$`)

// TestAlarmsCountWhatBrokersLog: what alarms look for stands in the log of the binary, by the same names.
func TestAlarmsCountWhatBrokersLog(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(modules, "modules/broker/alarms.tf"))
	if err != nil {
		t.Fatal(err)
	}
	b := harness.Node(t, harness.Stores{Metastore: "memory://", ObjectStore: "memory://"}, harness.NodeOptions{Env: []string{"RUNNEL_LOG_FORMAT=json"}})
	b.Start()
	filters := logFilter.FindAllStringSubmatch(string(text), -1)
	if len(filters) != 2 {
		t.Errorf("looked at %d filters", len(filters))
	}
	for _, filter := range filters {
		name, key, value := filter[1], filter[2], filter[3]
		harness.Eventually(t, name+" counts lines whose "+key+" is "+value, harness.ReadyTimeout, func() bool { return logs(b, key, value) })
	}
}

// logs tells whether a broker has logged a line with a value, or with another level: one that is well logs no error.
func logs(b *harness.Broker, key, value string) bool {
	for line := range strings.Lines(b.Log()) {
		var said map[string]any
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			continue // the end of a log may begin within a line
		}
		if said[key] == value || key == slog.LevelKey && said[key] == slog.LevelInfo.String() && value == slog.LevelError.String() {
			return true
		}
	}
	return false
}
