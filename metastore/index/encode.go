package index

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

const (
	magic        = "RNLIDX\r\n"
	version      = 1
	clusterBytes = 22
	headerSize   = 108
	sumSize      = sha256.Size

	// maxPart bounds what a part is when it is not compressed. A metastore holds no larger snapshot.
	maxPart = 1 << 30
	// groupPage is how many groups are asked for at a time, and how many offsets one record holds.
	groupPage = 1000
	// window is how far back a part refers: what a decoder keeps.
	window = 4 << 20
)

// ErrTooLarge: there is more than an index object may hold.
var ErrTooLarge = errors.New("too much for an index object")

// header is the fixed part of an object.
type header struct {
	Name
	groups, offsets            int64
	groupsPacked, groupsLength int64
	statePacked, stateLength   int64
}

func (h *header) encode() []byte {
	be := binary.BigEndian
	b := append(make([]byte, 0, headerSize), magic...)
	b = be.AppendUint16(b, version)
	b = be.AppendUint16(b, 0)
	b = append(b, h.Cluster...)
	b = be.AppendUint16(b, 0)
	b = be.AppendUint64(b, uint64(h.Seq))
	b = be.AppendUint64(b, h.Checksum)
	b = be.AppendUint64(b, uint64(h.Written.UnixMilli()))
	for _, n := range []int64{h.groups, h.offsets, h.groupsPacked, h.groupsLength, h.statePacked, h.stateLength} {
		b = be.AppendUint64(b, uint64(n))
	}
	return b
}

// Groups is what is read of groups.
type Groups interface {
	GroupAges(ctx context.Context, from string, limit int) ([]metastore.GroupAge, error)
	FetchOffsets(ctx context.Context, groupID string, partitions []metastore.TopicPartition) ([]metastore.CommittedOffset, error)
}

// packedGroups are the offsets of all groups, compressed, and a sum of what they say.
type packedGroups struct {
	packed          [][]byte
	length          int64
	groups, offsets int64
	sum             [sha256.Size]byte
}

// packGroups reads all offsets. It keeps them compressed, and the offsets of one group at a time.
func packGroups(ctx context.Context, from Groups) (*packedGroups, error) {
	p, err := newPacker()
	if err != nil {
		return nil, err
	}
	defer p.close()
	g := &packedGroups{}
	var b []byte
	for next := ""; ; {
		page, err := from.GroupAges(ctx, next, groupPage)
		if err != nil {
			return nil, fmt.Errorf("list groups: %w", err)
		}
		for i := range page {
			if page[i].OldestCommit.IsZero() {
				continue // it has no offsets
			}
			offsets, err := from.FetchOffsets(ctx, page[i].GroupID, nil)
			if err != nil {
				return nil, fmt.Errorf("read offsets of group %q: %w", page[i].GroupID, err)
			}
			if len(offsets) > 0 {
				g.groups++
				g.offsets += int64(len(offsets))
			}
			for len(offsets) > 0 {
				n := min(len(offsets), groupPage)
				b = appendGroup(b[:0], page[i].GroupID, offsets[:n])
				if err := p.write(b); err != nil {
					return nil, err
				}
				offsets = offsets[n:]
			}
		}
		if len(page) < groupPage {
			break
		}
		next = page[len(page)-1].GroupID + "\x00"
	}
	g.length = p.length
	copy(g.sum[:], p.sum.Sum(nil))
	g.packed, err = p.finish()
	return g, err
}

func appendGroup(b []byte, group string, offsets []metastore.CommittedOffset) []byte {
	b = appendString(b, group)
	b = binary.AppendUvarint(b, uint64(len(offsets)))
	for i := range offsets {
		o := &offsets[i]
		b = append(b, o.Topic[:]...)
		b = binary.AppendUvarint(b, uint64(o.Partition))
		b = appendString(b, o.TopicName)
		b = binary.AppendUvarint(b, uint64(o.Offset))
		b = binary.AppendVarint(b, int64(o.LeaderEpoch))
		b = appendString(b, o.Metadata)
		b = binary.AppendVarint(b, o.CommittedAt.UnixMilli())
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// assemble lays out an object. Its bytes are the concatenation of what is returned.
func assemble(cluster string, written time.Time, state metastore.Snapshot, g *packedGroups) (Name, [][]byte, error) {
	if !validCluster(cluster) || state.Seq < 1 {
		return Name{}, nil, fmt.Errorf("no index of entry %d of cluster %q", state.Seq, cluster)
	}
	p, err := newPacker()
	if err != nil {
		return Name{}, nil, err
	}
	defer p.close()
	if err := p.write(state.State); err != nil {
		return Name{}, nil, err
	}
	packed, err := p.finish()
	if err != nil {
		return Name{}, nil, err
	}
	h := header{
		Name:   Name{cluster, state.Position, time.UnixMilli(written.UnixMilli())},
		groups: g.groups, offsets: g.offsets, groupsPacked: size(g.packed), groupsLength: g.length,
		statePacked: size(packed), stateLength: p.length,
	}
	object := append([][]byte{h.encode()}, g.packed...)
	object = append(object, packed...)
	sum := sha256.New()
	for _, part := range object {
		sum.Write(part)
	}
	return h.Name, append(object, sum.Sum(nil)), nil
}

func size(parts [][]byte) (n int64) {
	for _, p := range parts {
		n += int64(len(p))
	}
	return n
}
