package harness

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	// ours is what goroutines of interest have in their stacks.
	ours = "github.com/runnel-io/runnel/"
	// mostStacks bounds what is printed of a process.
	mostStacks = 128 << 10
)

// stack is what some goroutines do.
type stack struct {
	text    string
	count   int
	minutes int // that one of them waits, at most
}

var (
	goroutine = regexp.MustCompile(`(?m)^goroutine \d+ .*\[([^\],]*)(?:, (\d+) minutes)?.*\]:$`)
	detail    = regexp.MustCompile(`(?m)( in goroutine \d+| \+0x[0-9a-f]+|\([^()\n]*\))$`)
)

// stacks sums up goroutines as Go's runtime prints them, those that have to do with this repository: each stack once, those of tests
// first, then who waits longest.
func stacks(dump string) string {
	known := make(map[string]*stack)
	for text := range strings.SplitSeq(dump, "\n\n") {
		at := goroutine.FindStringSubmatchIndex(text)
		if at == nil || !strings.Contains(text[at[0]:], ours) {
			continue
		}
		key := "[" + text[at[2]:at[3]] + "]" + detail.ReplaceAllString(text[at[1]:], "")
		if known[key] == nil {
			known[key] = &stack{text: key}
		}
		known[key].count++
		if at[4] >= 0 {
			minutes, _ := strconv.Atoi(text[at[4]:at[5]])
			known[key].minutes = max(known[key].minutes, minutes)
		}
	}
	all := make([]*stack, 0, len(known))
	for _, s := range known {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *stack) int {
		return cmp.Or(cmp.Compare(b.ofTest(), a.ofTest()), cmp.Compare(b.minutes, a.minutes), cmp.Compare(a.text, b.text))
	})
	var out strings.Builder
	for i, s := range all {
		if out.Len() > mostStacks {
			fmt.Fprintf(&out, "and %d more\n", len(all)-i)
			break
		}
		fmt.Fprintf(&out, "%d for up to %d minutes %s\n\n", s.count, s.minutes, strings.TrimSpace(s.text))
	}
	return out.String()
}

// ofTest is 1 if a test is at work, 0 if not.
func (s *stack) ofTest() int { return min(strings.Count(s.text, "_test.go:"), 1) }
