package settings

import (
	"fmt"
	"strings"
)

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

// CollisionKey is equal for names that Kafka does not let stand side by side, because '.' and '_' are one character in
// the names of its metrics.
func CollisionKey(name string) string { return strings.ReplaceAll(name, ".", "_") }

// CollidesWith tells whether two different names may not stand side by side.
func CollidesWith(a, b string) bool { return a != b && CollisionKey(a) == CollisionKey(b) }
