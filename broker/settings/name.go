package settings

import "fmt"

// MaxTopicName is the length of the longest topic name. Kafka's log directories set it; clients rely on it.
const MaxTopicName = 249

// ValidTopicName tells whether a topic may have the name, by Kafka's rules.
func ValidTopicName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("topic name is empty")
	case name == "." || name == "..":
		return fmt.Errorf("topic name cannot be %q", name)
	case len(name) > MaxTopicName:
		return fmt.Errorf("topic name has %d characters, more than %d", len(name), MaxTopicName)
	}
	for i := range len(name) {
		if !legalInName(name[i]) {
			return fmt.Errorf("topic name %q contains a character other than ASCII letters, digits, '.', '_' and '-'", name)
		}
	}
	return nil
}

func legalInName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

// CollidesWith tells whether two different names may not stand side by side, because '.' and '_' are one character in
// the names of Kafka's metrics. It is asked for every topic there is when one is created.
func CollidesWith(a, b string) bool {
	if len(a) != len(b) || a == b {
		return false
	}
	for i := range len(a) {
		if x, y := a[i], b[i]; x != y && !(isDot(x) && isDot(y)) {
			return false
		}
	}
	return true
}

func isDot(c byte) bool { return c == '.' || c == '_' }
