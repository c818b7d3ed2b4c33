package group

import (
	"errors"
	"testing"
)

// TestExpressionsMatchWholeNames as RE2J does in Kafka.
func TestExpressionsMatchWholeNames(t *testing.T) {
	for _, c := range []struct {
		text, name string
		want       bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"a", "ba", false}, {"a|bc", "bc", true}, {"a|bc", "abc", false},
		{"^a$|b", "b", true}, {"(?i)A", "a", true}, {"[[:alpha:]]+", "aB", true}, {`\pL+`, "ä", true}, {"a.c", "a-c", true},
		{`\Qa.c\E`, "a.c", true}, {`\Qa.c\E`, "a-c", false},
		{`\Qa.c`, "a.c", true}, {`\Qa.c`, "a-c", false}, {`\Qa.c`, "a.cd", false}, {`b|\Qa)`, "a)", true}, {`b|\Qa)`, "b", true}, {`b|\Qa)`, "bb", false},
		{"", "", true}, {"", "a", false},
	} {
		compiled, err := CompileRegex(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
		} else if got := compiled.MatchString(c.name); got != c.want {
			t.Errorf("%s matches %s: %t", c.text, c.name, got)
		}
	}
	for _, text := range []string{"(", "a)", "a)|(b", "*", "[b-a]", `a\`, "(?=a)", `(a)\1`, "a{1001}", `\Qa\Eb)`} {
		if _, err := CompileRegex(text); !errors.Is(err, ErrInvalidRegex) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
