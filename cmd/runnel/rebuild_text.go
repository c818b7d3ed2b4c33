package main

import (
	"fmt"
	"time"

	"github.com/runnel-io/runnel/batching/rebuild"
)

const shownMissing = 20

// writeRebuild writes a report for people.
func writeRebuild(env *environment, r *rebuild.Report) error {
	if err := writeRebuilt(env, r); err != nil {
		return err
	}
	if err := writeLosses(env, r); err != nil {
		return err
	}
	fmt.Fprintln(env.out, "\nWhat no rebuild brings back:")
	for _, what := range r.NotRecoverable() {
		fmt.Fprintln(env.out, reflow("  - "+what, widthOf(env.out)))
	}
	for _, other := range r.Others {
		fmt.Fprintln(env.out, reflow(fmt.Sprintf("\nCluster %s has left marks or copies in the bucket, too. If it is still in use, give it a prefix of its own before any broker starts.", other), widthOf(env.out)))
	}
	_, err := fmt.Fprintln(env.out, "\n"+rebuildOutcome(r))
	return err
}

func rebuildOutcome(r *rebuild.Report) string {
	switch {
	case r.DryRun:
		return "dry run: nothing was changed"
	case r.LostCluster == "":
		return "done: cluster " + r.Cluster
	}
	return fmt.Sprintf("done: cluster %s takes the place of %s, whose brokers must not run any more", r.Cluster, r.LostCluster)
}

// writeRebuilt tells what was used and what there is now.
func writeRebuilt(env *environment, r *rebuild.Report) error {
	t := newTable(env.out)
	if r.Index == "" {
		t.row("copy", "none that can be read")
	} else {
		t.row("copy", fmt.Sprintf("of entry %s, written at %s, %s ago", grouped(int64(r.Entry)), r.IndexTime.UTC().Format(time.DateTime), r.IndexAge.Round(time.Second)))
		t.row("", r.Index)
	}
	t.row("bucket", fmt.Sprintf("%s, %s", plural(r.Objects, "object", "objects"), bytesText(r.ObjectBytes)))
	t.row("partitions", fmt.Sprintf("%s of %s, in %s of %s", grouped(int64(r.Partitions)), plural(int64(r.Topics), "topic", "topics"),
		plural(int64(r.Runs), "run", "runs"), plural(int64(r.Segments), "object", "objects")))
	t.row("offsets", fmt.Sprintf("%s, of which %s newer than the copy", grouped(r.Offsets), grouped(r.Beyond)))
	if r.Gone > 0 {
		t.row("gone", fmt.Sprintf("%s that the copy names, %s: replaced since, deleted, or lost", plural(r.Gone, "object", "objects"), bytesText(r.GoneBytes)))
	}
	t.row("groups", fmt.Sprintf("%s with %s, as of the copy", grouped(r.Groups), plural(r.GroupOffsets, "offset", "offsets")))
	t.row("transactions", fmt.Sprintf("ongoing by the copy: %s committed since, %s aborted, %s go on until they time out",
		grouped(int64(r.TxnCommitted)), grouped(int64(r.TxnAborted)), grouped(int64(r.TxnOngoing))))
	return t.flush()
}

// writeLosses tells what is known to be lost.
func writeLosses(env *environment, r *rebuild.Report) error {
	if !r.Losses() {
		_, err := fmt.Fprintln(env.out, "\nNothing is known to be lost.")
		return err
	}
	fmt.Fprintln(env.out, "\nLost, as far as it is known:")
	t := newTable(env.out)
	if r.MissingRanges > 0 {
		t.row("  offsets", fmt.Sprintf("%s in %s", grouped(r.MissingOffsets), plural(r.MissingRanges, "range", "ranges")))
	}
	if u := r.Unrecorded; u.Objects > 0 {
		t.row("  uploads", fmt.Sprintf("%s, %s, from %s to %s, that the copy does not know: rewritten since, refused, or lost", plural(u.Objects, "object of tier 0", "objects of tier 0"),
			bytesText(u.Bytes), u.Oldest.UTC().Format(time.DateTime), u.Newest.UTC().Format(time.DateTime)))
	}
	if r.TxnCut > 0 {
		t.row("  ends", fmt.Sprintf("of %s: aborted where the end is missing", plural(r.TxnCut, "transaction in a partition", "transactions in partitions")))
	}
	if err := t.flush(); err != nil {
		return err
	}
	writeMissing(env, r)
	for _, d := range append(r.Skipped, r.Damaged...) {
		fmt.Fprintf(env.out, "  %s: %s\n", d.Key, d.What)
	}
	for _, u := range r.Unknown {
		as := "not made; --recover-unknown-topics would"
		if u.As != "" {
			as = "there as " + u.As
		}
		fmt.Fprintf(env.out, "  topic %s, created after the copy: %s in %s; %s\n", u.ID, plural(u.Offsets, "offset", "offsets"), plural(int64(u.Partitions), "partition", "partitions"), as)
	}
	for _, g := range r.Grown {
		fmt.Fprintf(env.out, "  topic %s had %d partitions by the copy, and has %d\n", g.Topic, g.From, g.To)
	}
	return nil
}

func writeMissing(env *environment, r *rebuild.Report) {
	for i, m := range r.Missing {
		if i == shownMissing {
			fmt.Fprintf(env.out, "  and %s more; --json and --max-findings tell of them\n", plural(r.MissingRanges-int64(i), "range", "ranges"))
			return
		}
		fmt.Fprintf(env.out, "  %s-%d offsets %d to %d%s\n", m.Topic, m.Partition, m.From, m.To-1, missingText(&m))
	}
}

func missingText(m *rebuild.Missing) string {
	switch {
	case m.GaveWay:
		return ": gave way to ends of transactions that are missing before them"
	case m.Deleted:
		return ": the first ones, most likely deleted since"
	case m.Compacted:
		return ": there may have been none, in a compacted topic"
	}
	return ""
}

// rebuildJSON is what rebuild --json writes. Fields are added and none is changed.
type rebuildJSON struct {
	Finished bool   `json:"finished"`
	Error    string `json:"error,omitempty"` // why it did not finish
	DryRun   bool   `json:"dry_run"`
	Written  bool   `json:"written"`
	Losses   bool   `json:"losses"`
	Cluster  string `json:"cluster"`

	LostCluster string              `json:"lost_cluster"`
	Index       string              `json:"index"` // key; "" if there was none
	Entry       int64               `json:"index_entry"`
	IndexTime   *time.Time          `json:"index_time"`
	IndexAge    int64               `json:"index_age_seconds"`
	Skipped     []rebuildDamageJSON `json:"skipped_indexes"`
	Others      []string            `json:"other_clusters"`

	Objects      int64 `json:"objects"`
	ObjectBytes  int64 `json:"object_bytes"`
	Topics       int   `json:"topics"`
	Partitions   int   `json:"partitions"`
	Runs         int   `json:"runs"`
	Segments     int   `json:"segments"`
	Offsets      int64 `json:"offsets"`
	Beyond       int64 `json:"offsets_beyond_index"`
	Pieces       int   `json:"runs_cut"`
	Groups       int64 `json:"groups"`
	GroupOffsets int64 `json:"group_offsets"`
	TxnCommitted int   `json:"transactions_committed"`
	TxnAborted   int   `json:"transactions_aborted"`
	TxnOngoing   int   `json:"transactions_ongoing"`
	TxnCut       int64 `json:"transactions_cut"`
	ProducerIDs  int64 `json:"next_producer_id"`

	MissingRanges  int64                `json:"missing_ranges"`
	MissingOffsets int64                `json:"missing_offsets"`
	Missing        []rebuildMissingJSON `json:"missing"`
	Damaged        []rebuildDamageJSON  `json:"damaged"`
	Gone           int64                `json:"gone_objects"` // that the index names
	GoneBytes      int64                `json:"gone_bytes"`
	Unrecorded     rebuildUnrecorded    `json:"unrecorded"`
	Unknown        []rebuildUnknownJSON `json:"unknown_topics"`
	Grown          []rebuildGrownJSON   `json:"grown_topics"`
	Stale          int64                `json:"stale_runs"`
	NotRecoverable []string             `json:"not_recoverable"`
}

type rebuildDamageJSON struct {
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	Detail string `json:"detail"`
}

type rebuildMissingJSON struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"` // the offset after the last
	Deleted   bool   `json:"deleted"`
	Compacted bool   `json:"compacted"`
	GaveWay   bool   `json:"gave_way"`
}

type rebuildUnrecorded struct {
	Objects int64      `json:"objects"`
	Bytes   int64      `json:"bytes"`
	Oldest  *time.Time `json:"oldest"`
	Newest  *time.Time `json:"newest"`
}

type rebuildUnknownJSON struct {
	ID         string `json:"id"`
	Partitions int32  `json:"partitions"`
	Runs       int    `json:"runs"`
	Offsets    int64  `json:"offsets"`
	Bytes      int64  `json:"bytes"`
	As         string `json:"as"`
}

type rebuildGrownJSON struct {
	Topic string `json:"topic"`
	From  int32  `json:"from"`
	To    int32  `json:"to"`
}

func rebuildJSONOf(r *rebuild.Report, failed error) rebuildJSON {
	j := rebuildJSON{
		Finished: failed == nil, DryRun: r.DryRun, Written: r.Written, Losses: failed == nil && r.Losses(), Cluster: r.Cluster,
		LostCluster: r.LostCluster, Index: r.Index, Entry: int64(r.Entry), IndexTime: timeJSON(r.IndexTime), IndexAge: int64(r.IndexAge.Seconds()),
		Skipped: damageJSON(r.Skipped), Others: append([]string{}, r.Others...),
		Objects: r.Objects, ObjectBytes: r.ObjectBytes, Topics: r.Topics, Partitions: r.Partitions, Runs: r.Runs, Segments: r.Segments,
		Offsets: r.Offsets, Beyond: r.Beyond, Pieces: r.Pieces, Groups: r.Groups, GroupOffsets: r.GroupOffsets,
		TxnCommitted: r.TxnCommitted, TxnAborted: r.TxnAborted, TxnOngoing: r.TxnOngoing, TxnCut: r.TxnCut, ProducerIDs: int64(r.ProducerIDsFrom),
		MissingRanges: r.MissingRanges, MissingOffsets: r.MissingOffsets, Missing: []rebuildMissingJSON{}, Damaged: damageJSON(r.Damaged),
		Gone: r.Gone, GoneBytes: r.GoneBytes, Unknown: []rebuildUnknownJSON{}, Grown: []rebuildGrownJSON{}, Stale: r.Stale, NotRecoverable: r.NotRecoverable(),
		Unrecorded: rebuildUnrecorded{r.Unrecorded.Objects, r.Unrecorded.Bytes, timeJSON(r.Unrecorded.Oldest), timeJSON(r.Unrecorded.Newest)},
	}
	if failed != nil {
		j.Error = failed.Error()
	}
	for _, m := range r.Missing {
		j.Missing = append(j.Missing, rebuildMissingJSON{m.Topic, m.Partition, int64(m.From), int64(m.To), m.Deleted, m.Compacted, m.GaveWay})
	}
	for _, u := range r.Unknown {
		j.Unknown = append(j.Unknown, rebuildUnknownJSON{u.ID.String(), u.Partitions, u.Runs, u.Offsets, u.Bytes, u.As})
	}
	for _, g := range r.Grown {
		j.Grown = append(j.Grown, rebuildGrownJSON(g))
	}
	return j
}

func damageJSON(list []rebuild.Damaged) []rebuildDamageJSON {
	all := []rebuildDamageJSON{}
	for _, d := range list {
		all = append(all, rebuildDamageJSON{d.Key, d.Size, d.What})
	}
	return all
}

// timeJSON is null for no time.
func timeJSON(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
