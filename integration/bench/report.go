package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// section is the outcome of a load.
type section struct {
	head     []string
	rows     [][]string
	commands []string
	outcome  string // for the summary
	note     string
}

func newSection(head ...string) section { return section{head: head} }

func (s *section) row(cells ...string) { s.rows = append(s.rows, cells) }

// table is the rows as Markdown.
func (s *section) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(s.head, " | "), strings.Repeat("---|", len(s.head)))
	for _, r := range s.rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r, " | "))
	}
	return b.String()
}

type titled struct {
	load
	section
}

// report is docs/benchmarks.md.
type report struct {
	began         time.Time
	took          time.Duration
	before, after string // what uptime said
	command       string
	sections      []titled
}

func (r *report) markdown(ctx context.Context, m *machine) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- Made by %q. Do not edit. -->\n# Benchmarks\n\n", r.command)
	fmt.Fprintf(&b, "Client, broker, PostgreSQL and S3 server share %d cores of one machine: the numbers compare versions, and ratios mean\n"+
		"more than rates. The defaults of a broker are in force everywhere. PostgreSQL runs with fsync and synchronous commit,\n"+
		"on a disk whose flush takes about 0.1 ms, some ten times less than a cloud disk's. MB are millions of bytes.\n\n", runtime.NumCPU())
	fmt.Fprintf(&b, "| | |\n|---|---|\n| date | %s, %.0f s in all |\n| commit | %s |\n| machine | %s |\n| load before | %s |\n| load after | %s |\n| command | `%s` |\n\n",
		r.began.UTC().Format("2006-01-02 15:04 UTC"), r.took.Seconds(), commit(ctx, m.root), processor(), r.before, r.after, r.command)
	b.WriteString("The load counts everything on the machine; more than 0 before the run means that others used it, and that all rates\nare too low and all tails too long.\n\n")
	b.WriteString("| | load | measured | aim |\n|---|---|---|---|\n")
	for _, s := range r.sections {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s.letter, s.title, strings.TrimSpace(s.outcome), s.bar)
	}
	for _, s := range r.sections {
		fmt.Fprintf(&b, "\n## %s. %s\n\n%s", s.letter, s.title, s.table())
		if s.note != "" {
			b.WriteString("\n" + s.note + "\n")
		}
		if len(s.commands) == 0 { // the load speaks to the broker itself
			continue
		}
		b.WriteString("\n```\n" + strings.Join(slices.Compact(s.commands), "\n") + "\n```\n")
	}
	return b.String()
}

// commit names what was measured.
func commit(ctx context.Context, root string) string {
	head, err := output(ctx, root, "git", "rev-parse", "--short=12", "HEAD")
	if err != nil {
		return "unknown"
	}
	if changed, err := output(ctx, root, "git", "status", "--porcelain", "--untracked-files=no"); err != nil || changed != "" {
		head += " with changes that were not committed"
	}
	return head
}

func uptime(ctx context.Context) string {
	text, err := output(ctx, ".", "uptime")
	if _, load, ok := strings.Cut(text, "load average: "); ok && err == nil {
		return load + " (1, 5, 15 minutes)"
	}
	return "unknown"
}

func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// processor is the model and the number of cores.
func processor() string {
	model := runtime.GOARCH
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s, %s", model, runtime.NumCPU(), runtime.GOOS, runtime.Version())
}

// number writes three digits, or more above a thousand.
func number(f float64) string {
	switch {
	case f >= 100:
		return strconv.FormatFloat(f, 'f', 0, 64)
	case f >= 10:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}

func optional(f *float64) string {
	if f == nil {
		return "-"
	}
	return number(*f)
}

func mebibytes(f *float64) string {
	if f == nil {
		return "-"
	}
	return number(*f / (1 << 20))
}
