package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Rules make the name of a principal of a distinguished name, as Kafka's ssl.principal.mapping.rules: the first counts whose pattern
// is all of the name. They do not change.
type Rules struct {
	text  string
	rules []rule
}

type rule struct {
	verbatim bool // DEFAULT
	whole    *regexp.Regexp
	pattern  *regexp.Regexp
	source   string // of pattern
	put      []piece
	fold     func(string) string // nil: as it is
}

// piece is a text, or what a group of the pattern has matched.
type piece struct {
	text  string
	group int // -1: the text
}

// ErrNoRule: no rule takes the name, and its owner is refused.
var ErrNoRule = errors.New("no rule for principals takes the name")

// ParseRules reads rules that are separated by commas: DEFAULT, and RULE:pattern/replacement/ with L or U behind it. In both parts
// a backslash takes the meaning of the character after it.
func ParseRules(text string) (*Rules, error) {
	r := &Rules{text: text}
	rest := strings.TrimSpace(text)
	for rest != "" {
		next, after, err := parseRule(rest)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", rest, err)
		}
		if next != nil {
			r.rules = append(r.rules, *next)
		}
		rest = strings.TrimSpace(after)
		if rest != "" && rest[0] != ',' {
			return nil, fmt.Errorf("rule %q: a comma must come before %q", strings.TrimSpace(text), rest)
		}
		rest = strings.TrimSpace(strings.TrimPrefix(rest, ","))
	}
	return r, nil
}

var errRule = errors.New("must be DEFAULT or RULE:pattern/replacement/, with L or U behind it")

// parseRule takes a rule off the front of text; nil is an empty one.
func parseRule(text string) (*rule, string, error) {
	if text[0] == ',' {
		return nil, text, nil
	}
	if rest, ok := strings.CutPrefix(text, "DEFAULT"); ok {
		return &rule{verbatim: true}, rest, nil
	}
	rest, ok := strings.CutPrefix(text, "RULE:")
	if !ok {
		return nil, "", errRule
	}
	pattern, rest, ok := untilSlash(rest)
	if !ok {
		return nil, "", errRule
	}
	replacement, rest, ok := untilSlash(rest)
	if !ok {
		return nil, "", errRule
	}
	r := &rule{source: pattern}
	switch {
	case strings.HasPrefix(rest, "L"):
		r.fold, rest = lower, rest[1:]
	case strings.HasPrefix(rest, "U"):
		r.fold, rest = upper, rest[1:]
	}
	var err error
	if r.pattern, err = regexp.Compile(pattern); err != nil {
		return nil, "", err
	}
	if r.whole, err = regexp.Compile(`\A(?:` + pattern + `)\z`); err != nil {
		return nil, "", err
	}
	r.put, err = parseReplacement(replacement, r.pattern)
	return r, rest, err
}

// untilSlash splits at the first slash without a backslash before it, which stays where it is.
func untilSlash(text string) (before, after string, ok bool) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '/':
			return text[:i], text[i+1:], true
		}
	}
	return "", "", false
}

// parseReplacement reads $1 and ${name}. A number that no group has is a text, as in Kafka.
func parseReplacement(text string, pattern *regexp.Regexp) (pieces []piece, err error) {
	literal := func(s string) {
		if n := len(pieces); n > 0 && pieces[n-1].group < 0 {
			pieces[n-1].text += s
			return
		}
		pieces = append(pieces, piece{text: s, group: -1})
	}
	for text != "" {
		switch {
		case text[0] == '\\':
			_, size := utf8.DecodeRuneInString(text[1:])
			literal(text[1 : 1+size])
			text = text[1+size:]
		case text[0] != '$':
			literal(text[:1])
			text = text[1:]
		case len(text) > 1 && text[1] >= '0' && text[1] <= '9':
			group, size := groupNumber(text[1:], pattern.NumSubexp())
			if size == 0 {
				literal(text[:2])
				text = text[2:]
				continue
			}
			pieces = append(pieces, piece{group: group})
			text = text[1+size:]
		default:
			name, rest, ok := strings.Cut(strings.TrimPrefix(text, "${"), "}")
			group := pattern.SubexpIndex(name)
			if !strings.HasPrefix(text, "${") || !ok || group < 0 {
				return nil, errors.New("its replacement has a $ that names no group")
			}
			pieces = append(pieces, piece{group: group})
			text = rest
		}
	}
	return pieces, nil
}

// groupNumber takes as many digits as make the number of a group.
func groupNumber(digits string, groups int) (number, size int) {
	for size < len(digits) && digits[size] >= '0' && digits[size] <= '9' {
		next, err := strconv.Atoi(digits[:size+1])
		if err != nil || next > groups {
			break
		}
		number = next
		size++
	}
	return number, size
}

// Map returns the name of the principal. ErrNoRule.
func (r *Rules) Map(name string) (string, error) {
	for i := range r.rules {
		rule := &r.rules[i]
		switch {
		case rule.verbatim:
			return name, nil
		case rule.whole.MatchString(name):
			mapped := rule.replaceAll(name)
			if rule.fold != nil {
				mapped = rule.fold(mapped)
			}
			return mapped, nil
		}
	}
	return "", fmt.Errorf("%w %q; they are %s", ErrNoRule, name, r.text)
}

// Principal is that of a peer whose certificate was verified, "" if it has shown none.
func (r *Rules) Principal(state tls.ConnectionState) (string, error) {
	if len(state.VerifiedChains) == 0 {
		return "", nil
	}
	name, err := Name(state.VerifiedChains[0][0].RawSubject)
	if err == nil {
		name, err = r.Map(name)
	}
	if err != nil {
		return "", err
	}
	return "User:" + name, nil
}

// replaceAll replaces what the pattern matches anywhere. As in Java, and other than in package regexp, an empty match counts right
// behind one that was not: `.*` matches a name twice.
func (r *rule) replaceAll(name string) string {
	var b strings.Builder
	done := 0
	put := func(match []int) {
		b.WriteString(name[done:match[0]])
		for _, p := range r.put {
			switch {
			case p.group < 0:
				b.WriteString(p.text)
			case match[2*p.group] >= 0:
				b.WriteString(name[match[2*p.group]:match[2*p.group+1]])
			}
		}
		done = match[1]
	}
	for _, match := range r.pattern.FindAllStringSubmatchIndex(name, -1) {
		put(match)
		if match[0] < match[1] {
			if empty := r.emptyAt(name, match[1]); empty != nil {
				put(empty)
			}
		}
	}
	return b.String() + name[done:]
}

// emptyAt matches at one place of a name, nil if not or if the match is not empty.
func (r *rule) emptyAt(name string, at int) []int {
	there, err := regexp.Compile(`\A` + regexp.QuoteMeta(name[:at]) + `(` + r.source + `)`)
	if err != nil {
		return nil // too large a pattern: it cannot be both empty and that
	}
	match := there.FindStringSubmatchIndex(name)
	if match == nil || match[2] != match[3] {
		return nil
	}
	return match[2:]
}

// Letters for which there is more than the one of the other case.
func upper(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "ß", "SS")) }
func lower(s string) string { return strings.ToLower(strings.ReplaceAll(s, "İ", "i̇")) }
