// Package mark leaves word in the bucket of how far brokers have seen the commit log, for brokers that know nothing of it yet.
//
// Entries chain a checksum, so a broker that has folded the log notices when the metastore goes back in time. One that
// starts has folded nothing. If all of a cluster's brokers start anew on a metastore that lost entries, none knows better:
// they would give offsets away that were acknowledged before. The bucket outlives them. A mark names a position of the log
// that a broker has folded, and a broker serves only if the log holds the positions of all marks. FORMAT.md has the names.
package mark

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

const (
	folder = "position/"
	// most is how many marks are looked at, the newest: one page of a LIST. There are more only where nobody may delete.
	most = 1000
	// readBytes is what a read of the log asks for that is made to learn whether it holds a position.
	readBytes = 1
)

// Mark is the word of one broker that it has folded the log up to a position.
type Mark struct {
	Cluster string
	metastore.Position
	Node metastore.NodeID
}

// Prefix is what the keys of a cluster's marks begin with.
func Prefix(cluster string) string { return folder + cluster + "/" }

// IsKey tells whether a key lies where marks do, of whatever cluster.
func IsKey(key string) bool { return strings.HasPrefix(key, folder) }

// Key is the name of the mark's object. It holds all that the mark says, and the later the position, the earlier the key: a
// LIST begins with the newest.
func (m Mark) Key() string {
	return fmt.Sprintf("%s%016x-%016x-%d", Prefix(m.Cluster), math.MaxInt64-uint64(m.Seq), m.Checksum, m.Node)
}

// Parse is the inverse of Key. A name that Key does not make is an error.
func Parse(key string) (Mark, error) {
	wrong := func() (Mark, error) { return Mark{}, fmt.Errorf("%q is not the key of a mark", key) }
	rest, ok := strings.CutPrefix(key, folder)
	cluster, name, split := strings.Cut(rest, "/")
	fields := strings.SplitN(name, "-", 3)
	if !ok || !split || len(fields) != 3 {
		return wrong()
	}
	if id, err := base64.RawURLEncoding.DecodeString(cluster); err != nil || len(id) != 16 {
		return wrong()
	}
	seq, err1 := strconv.ParseUint(fields[0], 16, 63)
	sum, err2 := strconv.ParseUint(fields[1], 16, 64)
	node, err3 := strconv.ParseInt(fields[2], 10, 32)
	m := Mark{cluster, metastore.Position{Seq: metastore.Seq(math.MaxInt64 - seq), Checksum: sum}, metastore.NodeID(node)}
	if errors.Join(err1, err2, err3) != nil || m.Seq < 1 || m.Key() != key {
		return wrong()
	}
	return m, nil
}

// text is what lies in the object, for people who find it.
func (m Mark) text() []byte {
	return fmt.Appendf(nil, "Node %d of cluster %s has folded the commit log up to entry %d, checksum %016x.\n", m.Node, m.Cluster, m.Seq, m.Checksum)
}

// OtherCluster returns the id of another cluster that left marks in the bucket, "" if there is none.
func OtherCluster(ctx context.Context, objects Lister, own string) (string, error) {
	behind := strings.TrimSuffix(Prefix(own), "/") + "0" // sorts after all marks of this cluster, and nothing else in between
	for _, after := range []string{"", behind} {
		looked := 0
		for o, err := range objects.List(ctx, folder, after) {
			if err != nil {
				return "", fmt.Errorf("list marks: %w", err)
			}
			m, err := Parse(o.Key)
			if err == nil && m.Cluster != own {
				return m.Cluster, nil
			}
			if looked++; err == nil || looked == most {
				break
			}
		}
	}
	return "", nil
}

// Lister is what OtherCluster needs of the bucket.
type Lister interface {
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error]
}

// Log is what marks are compared with; a metastore.Log is one.
type Log interface {
	Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error)
}

// Objects is the bucket; an objstore.Store is one.
type Objects interface {
	Put(ctx context.Context, key string, parts [][]byte) error
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error]
	Delete(ctx context.Context, keys []string) error
}

// RegressedError says that the log lacks a position that a broker has seen in it. It is metastore.ErrRegressed.
type RegressedError struct{ Mark Mark }

func (e *RegressedError) Error() string {
	if e.Mark.IsRebuilt() {
		return fmt.Sprintf("the metastore of cluster %s was given up and made anew as another cluster's, as %s in the bucket says: this one is no longer to be used",
			e.Mark.Cluster, e.Mark.Key())
	}
	return fmt.Sprintf("the metastore went back in time: node %d had seen entry %d of the commit log with checksum %016x, as %s in the bucket says, and the log does not hold it",
		e.Mark.Node, e.Mark.Seq, e.Mark.Checksum, e.Mark.Key())
}

// Unwrap implements errors.
func (e *RegressedError) Unwrap() error { return metastore.ErrRegressed }

// Compare returns nil if the log holds the mark's position, or is trimmed beyond it, which leaves nothing to compare. A
// *RegressedError: it does not. Other errors say that it could not be read.
func (m Mark) Compare(ctx context.Context, log Log) error {
	_, err := log.Read(ctx, m.Position, readBytes)
	switch {
	case err == nil || errors.Is(err, metastore.ErrTrimmed):
		return nil
	case errors.Is(err, metastore.ErrRegressed):
		return &RegressedError{m}
	}
	return fmt.Errorf("compare the commit log with a mark at %d: %w", m.Seq, err)
}

// compareAll compares marks with the log, a position once. Of several that it does not hold, the error names the first.
func compareAll(ctx context.Context, log Log, marks []Mark) error {
	for i, m := range marks {
		if i > 0 && m.Position == marks[i-1].Position {
			continue
		}
		if err := m.Compare(ctx, log); err != nil {
			return err
		}
	}
	return nil
}

// newest lists the marks of a cluster, the newest first, a thousand of them at most.
func newest(ctx context.Context, objects Objects, cluster string) ([]Mark, error) {
	var marks []Mark
	looked := 0
	for o, err := range objects.List(ctx, Prefix(cluster), "") {
		if err != nil {
			return nil, fmt.Errorf("list marks: %w", err)
		}
		if m, err := Parse(o.Key); err == nil { // what somebody else put there says nothing
			marks = append(marks, m)
		}
		if looked++; looked == most {
			break
		}
	}
	return marks, nil
}
