package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

// shown are the settings that a command shows, "value (set by)" by name.
func (s *shell) shown(line string) map[string]string {
	s.t.Helper()
	var list []struct{ Name, Value, Source, Note string }
	if err := json.Unmarshal([]byte(s.run("", line+" --json")), &list); err != nil {
		s.t.Fatal(err)
	}
	values := make(map[string]string)
	for _, l := range list {
		values[l.Name] = l.Value + " (" + l.Source + ")"
	}
	return values
}

func TestSettingsAreShownAndChangedWhileBrokersRun(t *testing.T) {
	s := newShell(t)
	s.run("", "topic create t --config retention.ms=5000")
	check := func(line, name, want string) {
		t.Helper()
		if got := s.shown(line)[name]; got != want {
			t.Errorf("%s: %s is %q, want %q", line, name, got, want)
		}
	}
	if said := s.run("", "topic config set t retention.ms=6000 cleanup.policy=compact,delete max.message.bytes=9000"); strings.Count(said, "\n") != 3 ||
		!strings.Contains(said, "\nretention.ms: ") || !strings.Contains(said, "\ncleanup.policy: ") {
		t.Errorf("of what is different here it says\n%s", said)
	}
	check("topic config show t", "retention.ms", "6000 (topic)")
	check("topic config show t", "cleanup.policy", "compact,delete (topic)")
	s.run("", "topic config unset t retention.ms")
	check("topic config show t", "retention.ms", "")
	check("topic config show t --all", "retention.ms", "604800000 (default)")
	s.run("", "cluster config set log.retention.ms=7000")
	check("topic config show t --all", "retention.ms", "7000 (all brokers, live)")
	s.run("", "cluster config set log.retention.ms=8000 --broker 0")
	check("cluster config show", "log.retention.ms", "7000 (all brokers, live)")
	check("cluster config show --broker 0", "log.retention.ms", "8000 (broker, live)")
	s.run("", "cluster config unset log.retention.ms --broker 0")
	check("cluster config show --broker 0", "log.retention.ms", "7000 (all brokers, live)")
	s.run("", "cluster config unset log.retention.ms")
	check("cluster config show", "log.retention.ms", "")
	s.run("", "group config set g consumer.session.timeout.ms=50000")
	check("group config show g", "consumer.session.timeout.ms", "50000 (group)")
	s.run("", "topic config set t retention.ms=9000 --validate-only")
	check("topic config show t", "retention.ms", "")
	s.run("", "topic config set t flush.ms=9000")
	if out := s.run("", "topic describe t"); !strings.Contains(out, "Without effect") {
		t.Errorf("a setting without effect is shown without a word:\n%s", out)
	}
	for line, want := range map[string]string{
		"topic config set t retention.ms=soon":             "INVALID_CONFIG",
		"topic config set t retention.m=1":                 `did you mean "retention.ms"?`,
		"topic config set missing retention.ms=1":          "UNKNOWN_TOPIC_OR_PARTITION",
		"topic config set t retention.ms":                  "not of the form name=value",
		"cluster config set num.partitions=3":              "Cannot update these configs dynamically: [num.partitions]",
		"cluster config set log.retention.ms=3 --broker 7": "broker 7",
		"cluster config set":                               "an argument is missing",
		"cluster config show more":                         `unexpected argument "more"`,
	} {
		_, stderr, code := s.try("", line)
		if code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, want %q in\n%s", line, code, want, stderr)
		}
	}
}
