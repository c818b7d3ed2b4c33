package acl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// String is the rule in a line, which ParseRules reads: "Topic:PREFIXED:orders- ALLOW Read * User:alice". Words with blanks or
// quotes in them are quoted as in Go.
func (r Rule) String() string {
	return word(r.Resource()) + " " + r.Permission.String() + " " + r.Operation.String() + " " + word(r.Host) + " " + word(r.Principal)
}

// Resource is what the rule is about: "Topic:PREFIXED:orders-".
func (r Rule) Resource() string {
	resource, _ := r.Pair()
	return resource
}

func word(s string) string {
	special := func(c rune) bool {
		return unicode.IsSpace(c) || !unicode.IsPrint(c) || c == '"' || c == '#' || c == unicode.ReplacementChar
	}
	if s == "" || strings.ContainsFunc(s, special) {
		return strconv.Quote(s)
	}
	return s
}

// ParseRules reads rules as String writes them, one a line. Empty lines, and those that begin with #, are left out. The error
// tells the line.
func ParseRules(text string) ([]Rule, error) {
	var rules []Rule
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		r, err := ParseRule(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		rules = append(rules, r)
	}
	slices.SortFunc(rules, Rule.Compare)
	return slices.Compact(rules), nil
}

// ParseRule reads one line of ParseRules: ErrInvalid.
func ParseRule(line string) (Rule, error) {
	var words []string
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimLeftFunc(rest, unicode.IsSpace) {
		w, after, err := cutWord(rest)
		if err != nil {
			return Rule{}, err
		}
		words, rest = append(words, w), after
	}
	if len(words) != 5 {
		return Rule{}, invalid("%d words: wanted are resource, ALLOW or DENY, operation, host, principal, such as Topic:PREFIXED:orders- ALLOW Read * User:alice", len(words))
	}
	for _, w := range words[1:4] {
		if strings.Contains(w, " ") { // joined, it would be two
			return Rule{}, invalid("a blank in %q", brief(w))
		}
	}
	return FromPair(words[0], strings.Join(words[1:], " "))
}

func cutWord(s string) (w, after string, err error) {
	if s[0] != '"' {
		end := strings.IndexFunc(s, unicode.IsSpace)
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], nil
	}
	quoted, err := strconv.QuotedPrefix(s)
	if err == nil {
		w, err = strconv.Unquote(quoted)
	}
	if err != nil {
		return "", "", invalid("a quote does not end: %s", brief(s))
	}
	after = s[len(quoted):]
	if next, _ := utf8.DecodeRuneInString(after); after != "" && !unicode.IsSpace(next) {
		return "", "", invalid("no blank after a quoted word: %s", brief(s))
	}
	return w, after, nil
}
