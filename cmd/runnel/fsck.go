package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
	"github.com/runnel-io/runnel/metastore"
)

// fsckOptions are the flags of fsck.
type fsckOptions struct {
	stores *storesFlags
	deep   bool
	strict bool
}

func newFsck(env *environment) *cobra.Command {
	var o fsckOptions
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Prove that bucket and metastore agree",
		Long: "Prove that bucket and metastore agree. It folds the commit log, lists the bucket, and reads the index at the end of\n" +
			"every object that the log names; with --deep it reads all of their bytes and verifies every checksum, count and\n" +
			"sequence. It tells of objects that are missing, damaged, of another size, orphaned or not Runnel's; of partitions\n" +
			"whose runs overlap, have gaps that log compaction did not make, or do not end at the high watermark; of a log whose entries do not chain or whose\n" +
			"snapshot says something else; and, as warnings, of groups' offsets that lead nowhere and transactions that hang.\n\n" +
			"It only reads, and may run beside brokers that work: what they upload, commit, rewrite and delete meanwhile it tells from\n" +
			"damage. There is no repair: what nothing names brokers delete by themselves, after garbage.grace, and what is lost can only\n" +
			"be restored from a copy of the bucket. It takes a broker's configuration, or with --data the directory of `runnel dev`,\n" +
			"whose broker must be stopped. Memory: as a broker takes for the folded log, and some ten bytes for each run.\n\n" +
			"Exit code: 0 nothing found, or warnings alone; 1 errors (with --strict also warnings); 2 it could not finish.",
		Example: "  runnel fsck --config /etc/runnel.yaml\n" +
			"  runnel fsck --metastore-url postgres://runnel@db/runnel --object-store-url s3://bucket/runnel --deep\n" +
			"  runnel fsck --data ~/runnel --json",
		Args: args(cobra.NoArgs),
	}
	o.stores = newStoresFlags(env, cmd, "findings of a kind")
	cmd.Flags().BoolVar(&o.deep, "deep", false, "read all bytes of all objects, not their indexes alone")
	cmd.Flags().BoolVar(&o.strict, "strict", false, "exit with 1 for warnings, too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.stores.check(); err != nil {
			return err
		}
		c, err := o.stores.load(env)
		if err != nil {
			return err
		}
		return runFsck(cmd.Context(), env, &o, c)
	}
	return cmd
}

func runFsck(ctx context.Context, env *environment, o *fsckOptions, c *config.Config) (err error) {
	stores, err := node.OpenToRead(ctx, c)
	if err != nil {
		return o.stores.notOpened(err)
	}
	defer func() { err = closeAfter(stores, err) }()
	progress := new(fsck.Progress)
	line := startProgress(env.err, func() string { return fsckLine(progress) })
	opts := fsck.Options{
		Deep: o.deep, Concurrency: o.stores.concurrency, MaxFindings: o.stores.mostFound, Progress: progress, GarbageGrace: c.Garbage.Grace,
	}
	if c.Cluster != nil {
		opts.Compacted = func(t *metastore.Topic) bool { return c.Cluster.Topic(t.Configs).Compacted }
	}
	report, err := fsck.Check(ctx, stores.Metastore, stores.Objects, opts)
	line.close()
	written := error(nil)
	switch {
	case env.json:
		written = writeJSON(env.out, fsckJSONOf(report, err))
	case err == nil || len(report.Counts) > 0:
		written = writeFsck(env, report, err == nil)
	}
	if err = errors.Join(err, written); err != nil {
		return &unfinishedError{err}
	}
	if report.Errors() > 0 || o.strict && report.Warnings() > 0 {
		return errFindings
	}
	return nil
}

// fsckLine is what the terminal shows of a check.
func fsckLine(p *fsck.Progress) string {
	checked, of, bytes := p.Objects()
	line := p.Stage()
	if of > 0 {
		line += fmt.Sprintf(": %s of %s, %s read", grouped(checked), plural(of, "object", "objects"), bytesText(bytes))
	}
	if found := p.Found(); found > 0 {
		line += ", " + plural(found, "finding", "findings")
	}
	return line
}

// fsckJSON is what fsck --json writes. Fields are added and none is changed.
type fsckJSON struct {
	Finished bool              `json:"finished"`
	Error    string            `json:"error,omitempty"` // why it did not finish
	Deep     bool              `json:"deep"`
	At       time.Time         `json:"at"`    // by the metastore's clock
	Entry    int64             `json:"entry"` // of the log: the report is about all up to it
	Snapshot int64             `json:"snapshot_entry"`
	Checked  fsckCheckedJSON   `json:"checked"`
	Errors   int64             `json:"errors"`
	Warnings int64             `json:"warnings"`
	Counts   map[string]int64  `json:"counts"` // of findings, by kind
	Findings []fsckFindingJSON `json:"findings"`
	Unjudged []string          `json:"unjudged"` // what could not be told because of findings
}

type fsckCheckedJSON struct {
	Entries        int64 `json:"entries"`
	Topics         int   `json:"topics"`
	Partitions     int   `json:"partitions"`
	Runs           int   `json:"runs"`
	Markers        int   `json:"markers"`
	Transactional  int   `json:"transactional_ids"`
	Groups         int   `json:"groups"`
	Offsets        int   `json:"group_offsets"`
	Segments       int   `json:"segments"`
	Checked        int64 `json:"segments_checked"`
	Objects        int64 `json:"objects"`
	ObjectBytes    int64 `json:"object_bytes"`
	Marks          int64 `json:"marks"`
	Indexes        int64 `json:"indexes"`
	BytesRead      int64 `json:"bytes_read"`
	Batches        int64 `json:"batches"`
	Records        int64 `json:"records"`
	InFlight       int64 `json:"objects_in_flight"`
	CommittedSince int64 `json:"objects_committed_since"`
	OrphanBytes    int64 `json:"orphan_bytes"`
	Rewritten      int   `json:"segments_rewritten"` // of the segments
	Garbage        int64 `json:"objects_garbage"`
	GarbageBytes   int64 `json:"garbage_bytes"`
}

type fsckFindingJSON struct {
	Kind          string         `json:"kind"`
	Severity      string         `json:"severity"`
	Detail        string         `json:"detail"`
	Key           string         `json:"key,omitempty"`
	Size          int64          `json:"size,omitempty"`
	AgeSeconds    int64          `json:"age_seconds,omitempty"`
	Entry         int64          `json:"entry,omitempty"`
	Group         string         `json:"group,omitempty"`
	Transactional string         `json:"transactional_id,omitempty"`
	Affects       []fsckSpanJSON `json:"affects,omitempty"`
}

type fsckSpanJSON struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"` // the offset after the last
}

func fsckJSONOf(r *fsck.Report, failed error) fsckJSON {
	j := fsckJSON{
		Finished: failed == nil, Deep: r.Deep, At: r.At.UTC(), Entry: int64(r.Position.Seq), Snapshot: int64(r.Snapshot.Seq),
		Errors: r.Errors(), Warnings: r.Warnings(), Counts: map[string]int64{}, Findings: []fsckFindingJSON{}, Unjudged: append([]string{}, r.Unjudged...),
		Checked: fsckCheckedJSON{
			Entries: r.Entries, Topics: r.Topics, Partitions: r.Partitions, Runs: r.Runs, Markers: r.Markers, Transactional: r.Txns,
			Groups: r.Groups, Offsets: r.Offsets, Segments: r.Segments, Checked: r.Checked, Objects: r.Objects, ObjectBytes: r.ObjectBytes, Marks: r.Marks, Indexes: r.Indexes,
			BytesRead: r.BytesRead, Batches: r.Batches, Records: r.Records,
			InFlight: r.InFlight, CommittedSince: r.CommittedSince, OrphanBytes: r.OrphanBytes,
			Rewritten: r.Rewritten, Garbage: r.Garbage, GarbageBytes: r.GarbageBytes,
		},
	}
	if failed != nil {
		j.Error = failed.Error()
	}
	for kind, n := range r.Counts {
		j.Counts[string(kind)] = n
	}
	for _, f := range r.Findings {
		one := fsckFindingJSON{Kind: string(f.Kind), Severity: string(f.Kind.Severity()), Detail: f.Detail, Key: f.Key, Size: f.Size,
			AgeSeconds: int64(f.Age.Seconds()), Entry: int64(f.Entry), Group: f.Group, Transactional: f.Txn}
		for _, s := range f.Affects {
			one.Affects = append(one.Affects, fsckSpanJSON{s.Topic, s.Partition, int64(s.From), int64(s.To)})
		}
		j.Findings = append(j.Findings, one)
	}
	return j
}
