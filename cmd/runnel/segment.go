package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/broker/node"
	"github.com/runnel-io/runnel/objstore"
)

func newSegment(env *environment) *cobra.Command {
	return parent("segment", "Look into segments: objects of the bucket, or copies of them", newSegmentDump(env), newSegmentVerify(env))
}

const segmentArguments = "An argument is the key of an object (t0/HH/ID or t1/HH/ID), a segment's id, or a file. Keys and ids are looked for in the\n" +
	"bucket of a broker's configuration; files need none."

func newSegmentDump(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dump KEY|FILE...",
		Short: "Show the index of segments: runs, byte ranges, counts, producers",
		Long: "Show the index of segments: runs, byte ranges, counts, and producers, or of rewritten segments offsets. The index is\n" +
			"verified; with --records everything is read and verified, and the headers of all record batches are shown, too.\n\n" + segmentArguments,
		Example: "  runnel segment dump --config /etc/runnel.yaml t0/5f/0192f5e0-7c1b-7000-8000-0123456789ab\n" +
			"  runnel segment dump --records ./segment",
		Args: args(cobra.MinimumNArgs(1)),
	}
	records := false
	run := segmentCommand(env, cmd)
	cmd.Flags().BoolVar(&records, "records", false, "show the headers of record batches")
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		dumps := []segmentJSON{}
		err := run(cmd.Context(), given, func(ctx context.Context, o *segmentObject) error {
			dump, err := o.dump(ctx, records)
			if dump == nil {
				return err
			}
			dumps = append(dumps, *dump)
			if !env.json {
				err = errors.Join(err, dump.write(env))
			}
			return err
		})
		if env.json {
			err = errors.Join(err, writeJSON(env.out, dumps))
		}
		return err
	}
	return cmd
}

func newSegmentVerify(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify KEY|FILE...",
		Short: "Read segments and verify all that they say of themselves",
		Long: "Read segments and verify all that they say of themselves: the checksums of index, runs and record batches, counts,\n" +
			"timestamps, sequences of producers. Whether the commit log agrees, `runnel fsck` tells.\n\n" + segmentArguments + "\n\n" +
			"Exit code: 0 all are right; 1 one is damaged or not there; 2 one could not be read.",
		Example: "  runnel segment verify --config /etc/runnel.yaml 0192f5e0-7c1b-7000-8000-0123456789ab",
		Args:    args(cobra.MinimumNArgs(1)),
	}
	run := segmentCommand(env, cmd)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		verified := []segmentVerifiedJSON{}
		err := run(cmd.Context(), given, func(ctx context.Context, o *segmentObject) error {
			v, err := o.verify(ctx)
			verified = append(verified, v)
			if !env.json && err == nil {
				fmt.Fprintf(env.out, "%s: ok, %s in %s of %s, %s\n", o.name, plural(v.Records, "record", "records"), plural(v.Batches, "batch", "batches"),
					plural(int64(v.Runs), "run", "runs"), bytesText(v.Size))
			}
			return err
		})
		if env.json {
			err = errors.Join(err, writeJSON(env.out, verified))
		}
		return err
	}
	return cmd
}

// segmentCommand gives a command the flags of the bucket, and returns what calls do for every argument. Errors of one do
// not keep it from the others.
func segmentCommand(env *environment, cmd *cobra.Command) func(ctx context.Context, given []string, do func(context.Context, *segmentObject) error) error {
	flags := newConfigFlags(cmd)
	flags.show(objectStoreKeys...)
	cmd.Flags().BoolVar(&env.json, "json", false, "write JSON")
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault // files
	}
	return func(ctx context.Context, given []string, do func(context.Context, *segmentObject) error) (err error) {
		bucket := lazyBucket{env: env, flags: flags}
		defer func() { err = errors.Join(err, bucket.close()) }()
		for _, name := range given {
			o, failed := openSegment(ctx, &bucket, name)
			if failed == nil {
				failed = do(ctx, o)
			}
			if failed != nil {
				err = errors.Join(err, segmentError(name, failed))
			}
		}
		return err
	}
}

// lazyBucket is opened when it is needed, so that files need no configuration.
type lazyBucket struct {
	env   *environment
	flags *configFlags
	node.ObjectStore
}

func (b *lazyBucket) open(ctx context.Context) error {
	if b.ObjectStore != nil {
		return nil
	}
	loaded, err := b.flags.load(b.env, "metastore.url")
	if err != nil {
		return err
	}
	b.ObjectStore, err = node.OpenObjectsToRead(ctx, &loaded.Config)
	return err
}

func (b *lazyBucket) close() error {
	if c, ok := b.ObjectStore.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// segmentError is unfinished unless the segment itself is at fault.
func segmentError(name string, err error) error {
	err = fmt.Errorf("%s: %w", name, err)
	if fsck.IsFault(err) || errors.Is(err, errNoSegment) {
		return err
	}
	return &unfinishedError{err}
}

var errNoSegment = errors.New("no object has this key")

// segmentObject is a segment somewhere.
type segmentObject struct {
	objects fsck.Objects
	name    string
	size    int64
}

// openSegment finds a file, or the object of a key or of an id.
func openSegment(ctx context.Context, bucket *lazyBucket, name string) (*segmentObject, error) {
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		return &segmentObject{objects: oneFile(name), name: name, size: info.Size()}, nil
	}
	key := name
	if id, err := uuid.Parse(name); err == nil && len(name) == len(id.String()) {
		key = segment.Key(id)
	}
	if _, err := segment.ParseKey(key); err != nil {
		return nil, usagef("neither a file nor the key or the id of a segment")
	}
	if err := bucket.open(ctx); err != nil {
		return nil, err
	}
	for o, err := range bucket.List(ctx, key, "") {
		if err != nil {
			return nil, err
		}
		if o.Key == key {
			return &segmentObject{objects: bucket, name: key, size: o.Size}, nil
		}
	}
	return nil, errNoSegment
}

// oneFile is a file as the only object of a store.
type oneFile string

func (f oneFile) Get(_ context.Context, _ string, offset, length int64) ([]byte, error) {
	file, err := os.Open(filepath.Clean(string(f)))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.NewSectionReader(file, offset, length))
	if err == nil && len(b) == 0 {
		err = objstore.ErrRange
	}
	return b, err
}

func (f oneFile) GetSuffix(ctx context.Context, key string, length int64) ([]byte, error) {
	info, err := os.Stat(string(f))
	if err != nil {
		return nil, err
	}
	if length = min(length, info.Size()); length <= 0 {
		return nil, nil
	}
	return f.Get(ctx, key, info.Size()-length, length)
}

func (f oneFile) List(context.Context, string, string) iter.Seq2[objstore.Object, error] {
	return func(func(objstore.Object, error) bool) {}
}

// segmentVerifiedJSON is what segment verify --json writes of each segment.
type segmentVerifiedJSON struct {
	Segment string `json:"segment"` // as it was named
	OK      bool   `json:"ok"`
	Error   string `json:"error,omitempty"`
	Size    int64  `json:"size"`
	Runs    int    `json:"runs"`
	Batches int64  `json:"batches"`
	Records int64  `json:"records"`
}

func (o *segmentObject) verify(ctx context.Context) (segmentVerifiedJSON, error) {
	v := segmentVerifiedJSON{Segment: o.name, Size: o.size}
	index, err := fsck.ReadIndex(ctx, o.objects, o.name, o.size)
	if err == nil {
		v.Runs = len(index.Runs)
		err = fsck.ReadBatches(ctx, o.objects, o.name, &index, func(_ int, _ int64, h recordbatch.Header) {
			v.Batches++
			v.Records += int64(h.Records)
		})
	}
	if v.OK = err == nil; err != nil {
		v.Error = err.Error()
	}
	return v, err
}

// timeText is a time of records, or of a segment; times that a calendar does not hold are numbers.
func timeText(ms int64) string {
	if t := time.UnixMilli(ms).UTC(); t.Year() >= 1970 && t.Year() <= 9999 {
		return t.Format("2006-01-02T15:04:05.000Z")
	}
	return fmt.Sprintf("%d ms", ms)
}
