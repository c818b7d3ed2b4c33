package settings

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Check says what values a setting takes beyond its type.
type Check interface {
	check(value string) error
	// String is for documentation and error texts: "at least 1".
	String() string
}

// ValueError is a value that a setting does not take.
type ValueError struct {
	Name   string
	Value  string
	Reason string
	cause  error
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("invalid value %q for %s: %s", e.Value, e.Name, e.Reason)
}

// Unwrap is what the check of the setting said.
func (e *ValueError) Unwrap() error { return e.cause }

// UnknownError is a name that no setting has.
type UnknownError struct {
	Name       string
	Suggestion string // the most similar name, or ""
}

func (e *UnknownError) Error() string {
	if e.Suggestion == "" {
		return fmt.Sprintf("unknown setting %q", e.Name)
	}
	return fmt.Sprintf("unknown setting %q (did you mean %q?)", e.Name, e.Suggestion)
}

// checkValue tells whether the value has the definition's type and passes its check.
func (d *Definition) checkValue(value string) error {
	if err := checkType(d.Type, value); err != nil {
		return &ValueError{Name: d.Name, Value: value, Reason: err.Error()}
	}
	if d.Check == nil {
		return nil
	}
	if err := d.Check.check(value); err != nil {
		return &ValueError{Name: d.Name, Value: value, Reason: err.Error(), cause: err}
	}
	return nil
}

func checkType(t Type, value string) error {
	var err error
	v := strings.TrimSpace(value)
	switch t {
	case Boolean:
		if !strings.EqualFold(v, "true") && !strings.EqualFold(v, "false") {
			return fmt.Errorf("must be true or false")
		}
	case Short:
		_, err = strconv.ParseInt(v, 10, 16)
	case Int:
		_, err = strconv.ParseInt(v, 10, 32)
	case Long:
		_, err = strconv.ParseInt(v, 10, 64)
	case Double:
		_, err = strconv.ParseFloat(v, 64)
	}
	if err == nil {
		return nil
	}
	switch t {
	case Short:
		return fmt.Errorf("must be a whole number between %d and %d", math.MinInt16, math.MaxInt16)
	case Int:
		return fmt.Errorf("must be a whole number between %d and %d", math.MinInt32, math.MaxInt32)
	case Double:
		return fmt.Errorf("must be a number")
	}
	return fmt.Errorf("must be a whole number of 64 bits")
}

// atLeast takes numbers from a minimum up.
type atLeast int64

func (min atLeast) String() string { return fmt.Sprintf("at least %d", int64(min)) }

func (min atLeast) check(value string) error {
	if parseLong(value) < int64(min) {
		return fmt.Errorf("must be at least %d", int64(min))
	}
	return nil
}

// between takes numbers in a closed interval, fractions too.
type between struct{ min, max float64 }

func (b between) String() string { return fmt.Sprintf("%g to %g", b.min, b.max) }

func (b between) check(value string) error {
	f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || !(f >= b.min && f <= b.max) { // written so that NaN is refused
		return fmt.Errorf("must be between %g and %g", b.min, b.max)
	}
	return nil
}

// oneOf takes the words given.
type oneOf []string

func (o oneOf) String() string { return strings.Join(o, ", ") }

func (o oneOf) check(value string) error {
	if !slices.Contains(o, value) {
		return fmt.Errorf("must be one of %s", strings.Join(o, ", "))
	}
	return nil
}

// listOf takes comma-separated words among those given, each once.
type listOf []string

func (l listOf) String() string { return "list of " + strings.Join(l, ", ") }

func (l listOf) check(value string) error {
	seen := make(map[string]bool)
	for _, word := range splitList(value) {
		if !slices.Contains(l, word) {
			return fmt.Errorf("%q is not one of %s", word, strings.Join(l, ", "))
		}
		if seen[word] {
			return fmt.Errorf("%q stands twice", word)
		}
		seen[word] = true
	}
	return nil
}

// someOf is listOf, of one word at least.
type someOf []string

func (s someOf) String() string { return listOf(s).String() }

func (s someOf) check(value string) error {
	if len(splitList(value)) == 0 {
		return fmt.Errorf("must not be empty")
	}
	return listOf(s).check(value)
}

// only takes the one value that Runnel honors of those that Kafka has.
type only struct {
	value  string
	kafka  []string // all that Kafka takes
	reason string   // why the others are refused
}

func (o only) String() string { return o.value }

func (o only) check(value string) error {
	v := strings.TrimSpace(value)
	if strings.EqualFold(v, o.value) {
		return nil
	}
	if !slices.Contains(o.kafka, v) {
		return fmt.Errorf("must be one of %s", strings.Join(o.kafka, ", "))
	}
	return fmt.Errorf("%s; only %s is supported", o.reason, o.value)
}

// principals takes types and names, separated by semicolons.
type principals struct{}

func (principals) String() string { return "list of Type:name, by semicolons" }

func (principals) check(value string) error {
	for p := range strings.SplitSeq(value, ";") {
		if p = strings.TrimSpace(p); p != "" && !strings.Contains(p, ":") {
			return fmt.Errorf("%q is not of the form Type:name, such as User:alice", p)
		}
	}
	return nil
}

// gzipLevel takes the levels of gzip: -1 is the codec's own default.
type gzipLevel struct{}

func (gzipLevel) String() string { return "1 to 9, or -1" }

func (gzipLevel) check(value string) error {
	if n := parseLong(value); n == -1 || n >= 1 && n <= 9 {
		return nil
	}
	return fmt.Errorf("must be between 1 and 9, or -1")
}

// splitList splits as Kafka does: at commas, blanks trimmed, an empty text is the empty list.
func splitList(value string) []string {
	if strings.TrimSpace(value) == "" {
		return nil
	}
	words := strings.Split(value, ",")
	for i := range words {
		words[i] = strings.TrimSpace(words[i])
	}
	return words
}

// parseLong parses a value that was checked before; 0 if it was not.
func parseLong(value string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// parseDouble is parseLong for fractions.
func parseDouble(value string) float64 {
	f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil {
		return 0
	}
	return f
}

func parseBool(value string) bool { return strings.EqualFold(strings.TrimSpace(value), "true") }
