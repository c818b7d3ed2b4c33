package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/runnel-io/runnel/batching/fsck"
)

const (
	shownFindings = 20 // of a kind
	shownSpans    = 3  // of a finding
)

// writeFsck writes a report for people.
func writeFsck(env *environment, r *fsck.Report, finished bool) error {
	if err := writeChecked(env, r); err != nil {
		return err
	}
	for _, what := range r.Unjudged {
		fmt.Fprintf(env.out, "\nnot judged: %s\n", what)
	}
	if len(r.Counts) == 0 && finished {
		_, err := fmt.Fprintln(env.out, "\nclean: bucket and metastore agree")
		return err
	}
	fmt.Fprintln(env.out)
	t := newTable(env.out, "FINDING", "SEVERITY", "COUNT")
	var found []fsck.Kind
	for _, kind := range fsck.Kinds() {
		if n := r.Counts[kind]; n > 0 {
			t.row(kind, kind.Severity(), grouped(n))
			found = append(found, kind)
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, kind := range found {
		writeFindings(env, r, kind)
	}
	writeAdvice(env, found)
	_, err := fmt.Fprintf(env.out, "\n%s, %s\n", plural(r.Errors(), "error", "errors"), plural(r.Warnings(), "warning", "warnings"))
	return err
}

// writeChecked tells what was looked at.
func writeChecked(env *environment, r *fsck.Report) error {
	read := "their indexes"
	if r.Deep {
		read = fmt.Sprintf("%s in %s", plural(r.Records, "record", "records"), plural(r.Batches, "batch", "batches"))
	}
	t := newTable(env.out)
	t.row("commit log", fmt.Sprintf("up to entry %s; %s verified%s", grouped(int64(r.Position.Seq)), plural(r.Entries, "entry", "entries"), snapshotText(r)))
	t.row("partitions", fmt.Sprintf("%s of %s; %s, %s", grouped(int64(r.Partitions)), plural(int64(r.Topics), "topic", "topics"),
		plural(int64(r.Runs), "run", "runs"), plural(int64(r.Markers), "transaction marker", "transaction markers")))
	t.row("groups", fmt.Sprintf("%s with %s", grouped(int64(r.Groups)), plural(int64(r.Offsets), "offset", "offsets")))
	t.row("segments", fmt.Sprintf("%s named by runs, of them %s rewritten; %s there; read %s, %s", grouped(int64(r.Segments)), grouped(int64(r.Rewritten)),
		grouped(r.Checked), read, bytesText(r.BytesRead)))
	t.row("bucket", fmt.Sprintf("%s, %s; %s in flight, %s committed since, %s of the log's position, %s of the metastore's state",
		plural(r.Objects, "object", "objects"), bytesText(r.ObjectBytes), grouped(r.InFlight), grouped(r.CommittedSince), plural(r.Marks, "mark", "marks"),
		plural(r.Indexes, "copy", "copies")))
	t.row("garbage", fmt.Sprintf("%s, %s, named by no run any more", plural(r.Garbage, "object", "objects"), bytesText(r.GarbageBytes)))
	return t.flush()
}

// writeAdvice tells what to do, once for all kinds with the same advice.
func writeAdvice(env *environment, found []fsck.Kind) {
	fmt.Fprintln(env.out, "\nWhat to do:")
	for i, kind := range found {
		same := func(other fsck.Kind) bool { return other.Advice() == kind.Advice() }
		if slices.ContainsFunc(found[:i], same) {
			continue
		}
		names := []string{}
		for _, other := range found[i:] {
			if same(other) {
				names = append(names, string(other))
			}
		}
		fmt.Fprintln(env.out, reflow(strings.Join(names, ", ")+": "+kind.Advice(), widthOf(env.out)))
	}
}

func snapshotText(r *fsck.Report) string {
	if r.Snapshot.Seq == 0 {
		return "; no snapshot"
	}
	return fmt.Sprintf("; snapshot of entry %s", grouped(int64(r.Snapshot.Seq)))
}

func writeFindings(env *environment, r *fsck.Report, kind fsck.Kind) {
	fmt.Fprintf(env.out, "\n%s\n", kind)
	shown := int64(0)
	for _, f := range r.Findings {
		if f.Kind != kind || shown == shownFindings {
			continue
		}
		shown++
		fmt.Fprintf(env.out, "  %s\n", strings.TrimPrefix(subject(f)+": "+f.Detail, ": "))
		if spans := spansText(f.Affects); spans != "" {
			fmt.Fprintf(env.out, "    %s\n", spans)
		}
	}
	if left := r.Counts[kind] - shown; left > 0 {
		fmt.Fprintf(env.out, "  and %s more; --json and --max-findings tell of them\n", grouped(left))
	}
}

// subject is what a finding is about.
func subject(f fsck.Finding) string {
	switch {
	case f.Key != "":
		return f.Key
	case f.Group != "":
		return "group " + f.Group
	case f.Txn != "":
		return "transactional id " + f.Txn
	case f.Entry != 0:
		return "entry " + grouped(int64(f.Entry))
	}
	return ""
}

func spansText(spans []fsck.Span) string {
	var texts []string
	for i, s := range spans {
		if i == shownSpans && len(spans) > shownSpans+1 {
			texts = append(texts, fmt.Sprintf("and %s more", plural(int64(len(spans)-i), "range", "ranges")))
			break
		}
		texts = append(texts, s.String())
	}
	return strings.Join(texts, ", ")
}
