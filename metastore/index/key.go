// Package index keeps copies of the metastore's knowledge in the bucket, for when the metastore is lost.
//
// Objects of tier 0 do not say which offsets their records have, nor topics' names, nor anything of transactions and groups:
// the metastore alone does. An index object holds the folded state of the commit log as of a position, and the committed
// offsets of groups. From the newest one and the objects of segments, batching/rebuild makes a metastore anew. FORMAT.md has
// the bytes.
package index

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

const folder = "index/"

// Folder is what the keys of all index objects begin with.
const Folder = folder

// Name is what the key of an index object says.
type Name struct {
	Cluster string
	metastore.Position
	Written time.Time // when the state was taken, by the metastore's clock, to the millisecond
}

// Prefix is what the keys of a cluster's index objects begin with.
func Prefix(cluster string) string { return folder + cluster + "/" }

// Key is the name of the object: the later the position, and of one position the later the time, the earlier the key.
func (n Name) Key() string {
	return fmt.Sprintf("%s%016x-%016x-%016x", Prefix(n.Cluster), math.MaxInt64-uint64(n.Seq), n.Checksum, math.MaxInt64-uint64(n.Written.UnixMilli()))
}

// ParseKey is the inverse of Key. A name that Key does not make is an error.
func ParseKey(key string) (Name, error) {
	wrong := func() (Name, error) { return Name{}, fmt.Errorf("%q is not the key of an index object", key) }
	rest, ok := strings.CutPrefix(key, folder)
	cluster, name, split := strings.Cut(rest, "/")
	fields := strings.Split(name, "-")
	if !ok || !split || len(fields) != 3 || !validCluster(cluster) {
		return wrong()
	}
	seq, err1 := strconv.ParseUint(fields[0], 16, 63)
	sum, err2 := strconv.ParseUint(fields[1], 16, 64)
	at, err3 := strconv.ParseUint(fields[2], 16, 63)
	if errors.Join(err1, err2, err3) != nil {
		return wrong()
	}
	n := Name{cluster, metastore.Position{Seq: metastore.Seq(math.MaxInt64 - seq), Checksum: sum}, time.UnixMilli(int64(math.MaxInt64 - at))}
	if n.Seq < 1 || n.Key() != key {
		return wrong()
	}
	return n, nil
}

func validCluster(id string) bool {
	b, err := base64.RawURLEncoding.DecodeString(id)
	return err == nil && len(b) == 16 && len(id) == clusterBytes
}
