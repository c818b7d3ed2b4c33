package index

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"math"
	"os"
	"reflect"
	runtimemetrics "runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

var write = flag.Bool("write-golden", false, "write the golden file of a new version; refuses to replace one")

const (
	goldenFile = "testdata/v1.index"
	cluster    = "bmV2ZXIgYW55IG90aGVyIQ"
)

var goldenTime = time.UnixMilli(1_790_000_000_123)

func goldenState() metastore.Snapshot {
	return metastore.Snapshot{Position: metastore.Position{Seq: 12345, Checksum: 0x0123456789abcdef}, State: bytes.Repeat([]byte("the state "), 100)}
}

func goldenGroups() groupList {
	return groupList{
		{Group: "billing", Offsets: []metastore.CommittedOffset{
			{TopicPartition: metastore.TopicPartition{Topic: metastore.TopicID{9}, Partition: 3}, TopicName: "orders", Offset: 1 << 40,
				LeaderEpoch: -1, Metadata: "m\x00\xff", CommittedAt: time.UnixMilli(1_760_000_000_000)},
			{TopicPartition: metastore.TopicPartition{Topic: metastore.TopicID{9}, Partition: math.MaxInt32}, TopicName: "orders", Offset: -5,
				LeaderEpoch: math.MaxInt32, CommittedAt: time.UnixMilli(-1)},
		}},
		{Group: "empty"},
		{Group: "ßhipping", Offsets: []metastore.CommittedOffset{{TopicName: "", CommittedAt: time.UnixMilli(0)}}},
	}
}

// TestGolden: the object of version 1 goes on being read. What is written now may be compressed otherwise.
func TestGolden(t *testing.T) {
	name, fresh := build(t, cluster, goldenTime, goldenState(), goldenGroups())
	if *write {
		f, err := os.OpenFile(goldenFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(fresh); err != nil || f.Close() != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	for what, object := range map[string][]byte{"golden file": golden, "fresh object": fresh} {
		o, err := Decode(object)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if o.Name != name || name != (Name{cluster, goldenState().Position, goldenTime}) || o.Groups != 2 || o.Offsets != 3 {
			t.Errorf("%s: %+v, %d groups, %d offsets", what, o.Name, o.Groups, o.Offsets)
		}
		if state, err := o.State(); err != nil || !reflect.DeepEqual(state, goldenState()) {
			t.Errorf("%s: state %+v, %v", what, state, err)
		}
		want := slices.DeleteFunc(goldenGroups(), func(g metastore.GroupOffsets) bool { return g.Offsets == nil })
		if got := groupsOf(t, o); !reflect.DeepEqual(got, []metastore.GroupOffsets(want)) {
			t.Errorf("%s: groups\n%+v, want\n%+v", what, got, want)
		}
	}
	if !bytes.Equal(golden[:76], fresh[:76]) {
		t.Errorf("header\n%x, want\n%x", fresh[:76], golden[:76])
	}
}

func TestKeysAreWhatTheyWere(t *testing.T) {
	for key, n := range map[string]Name{
		"index/" + cluster + "/7fffffffffffcfc6-0123456789abcdef-7ffffe5f3baf9384": {cluster, goldenState().Position, goldenTime},
		"index/" + cluster + "/7ffffffffffffffe-0000000000000000-7fffffffffffffff": {cluster, metastore.Position{Seq: 1}, time.UnixMilli(0)},
		"index/" + cluster + "/0000000000000000-ffffffffffffffff-0000000000000000": {
			cluster, metastore.Position{Seq: math.MaxInt64, Checksum: math.MaxUint64}, time.UnixMilli(math.MaxInt64)},
	} {
		if got := n.Key(); got != key {
			t.Errorf("%+v has key %q, want %q", n, got, key)
		}
		if got, err := ParseKey(key); err != nil || got != n {
			t.Errorf("%q is read as %+v, %v", key, got, err)
		}
		if err := objstore.ValidKey(key); err != nil || !strings.HasPrefix(key, Prefix(cluster)) || !strings.HasPrefix(key, Folder) {
			t.Error(key, err)
		}
	}
	old := Name{cluster, metastore.Position{Seq: 5}, goldenTime}
	later := Name{cluster, metastore.Position{Seq: 5}, goldenTime.Add(time.Millisecond)}
	newer := Name{cluster, metastore.Position{Seq: 6}, goldenTime.Add(-time.Hour)}
	if !(newer.Key() < later.Key() && later.Key() < old.Key()) {
		t.Errorf("not the newest first: %q, %q, %q", newer.Key(), later.Key(), old.Key())
	}
}

func TestKeysThatNoIndexHasAreRefused(t *testing.T) {
	good := Name{cluster, metastore.Position{Seq: 5, Checksum: 6}, goldenTime}.Key()
	for _, key := range []string{
		"", "index/", good + "x", good + "/", good + "-0", "x" + good, strings.ToUpper(good), strings.Replace(good, cluster, "short", 1),
		strings.Replace(good, cluster, strings.Repeat("*", 22), 1), strings.TrimSuffix(good, "84"), strings.Replace(good, cluster, cluster+"==", 1),
		"index/" + cluster + "/7fffffffffffffff-0000000000000000-0000000000000000", // no entry has the number 0
		"index/" + cluster + "/8000000000000000-0000000000000000-0000000000000000",
		"position/" + cluster + "/7ffffffffffffffe-0000000000000000-0",
	} {
		if n, err := ParseKey(key); err == nil {
			t.Errorf("%q is read as %+v", key, n)
		}
	}
}

// TestEveryDamagedByteIsNoticed, and every missing one.
func TestEveryDamagedByteIsNoticed(t *testing.T) {
	_, object := build(t, cluster, goldenTime, goldenState(), goldenGroups())
	for i := range object {
		damaged := bytes.Clone(object)
		damaged[i] ^= 0x10
		_, err := Decode(damaged)
		newer := (*VersionError)(nil)
		if wantNewer := i == 8 || i == 9; err == nil || errors.As(err, &newer) != wantNewer || !wantNewer && !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d: %v", i, err)
		}
		if _, err := Decode(object[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

// TestAGroupWithManyOffsetsComesInPages, so that whoever reads it needs little memory.
func TestAGroupWithManyOffsetsComesInPages(t *testing.T) {
	big := metastore.GroupOffsets{Group: "big"}
	for i := range int32(2500) {
		big.Offsets = append(big.Offsets, metastore.CommittedOffset{
			TopicPartition: metastore.TopicPartition{Topic: metastore.TopicID{1}, Partition: i}, TopicName: "t", Offset: 3, CommittedAt: goldenTime})
	}
	groups := groupList{big}
	for i := range 1500 {
		groups = append(groups, metastore.GroupOffsets{Group: "g" + string(rune(0x10000+i)), Offsets: big.Offsets[:1]})
	}
	_, object := build(t, cluster, goldenTime, goldenState(), groups)
	o, err := Decode(object)
	if err != nil {
		t.Fatal(err)
	}
	if o.Groups != 1501 || o.Offsets != 4000 {
		t.Errorf("%d groups with %d offsets", o.Groups, o.Offsets)
	}
	pages := []int{}
	for g, err := range o.EachGroup() {
		if err != nil {
			t.Fatal(err)
		}
		if g.Group == "big" {
			pages = append(pages, len(g.Offsets))
		}
	}
	if !slices.Equal(pages, []int{1000, 1000, 500}) {
		t.Errorf("pages %v", pages)
	}
	if got := groupsOf(t, o); !reflect.DeepEqual(got, []metastore.GroupOffsets(groups)) {
		t.Error("groups are not what they were")
	}
}

// reseal gives an object the checksum and the lengths of its bytes, so that what lies behind the checks is reached.
func reseal(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) < headerSize+sumSize {
		return b
	}
	be := binary.BigEndian
	copy(b, magic)
	be.PutUint16(b[8:], version)
	be.PutUint16(b[10:], 0)
	copy(b[12:], cluster)
	be.PutUint16(b[34:], 0)
	packed := uint64(len(b) - headerSize - sumSize)
	groups := min(be.Uint64(b[76:]), packed)
	be.PutUint64(b[76:], groups)
	be.PutUint64(b[92:], packed-groups)
	sum := sha256.Sum256(b[:len(b)-sumSize])
	copy(b[len(b)-sumSize:], sum[:])
	return b
}

func allocated() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	runtimemetrics.Read(sample)
	return sample[0].Value.Uint64()
}

// FuzzDecode looks for bytes that make panics, errors that say nothing, or memory out of proportion: what is taken grows with
// what the compressed bytes say, not with what the header does.
func FuzzDecode(f *testing.F) {
	golden, err := os.ReadFile(goldenFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	_, empty := build(f, cluster, goldenTime, metastore.Snapshot{Position: metastore.Position{Seq: 1}}, nil)
	f.Add(empty)
	claims := bytes.Clone(empty)
	binary.BigEndian.PutUint64(claims[84:], maxPart)
	binary.BigEndian.PutUint64(claims[100:], maxPart)
	f.Add(claims)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, reseal(b)} {
			before, read := allocated(), 0
			o, err := Decode(b)
			if newer := (*VersionError)(nil); err != nil && !errors.Is(err, ErrCorrupt) && !errors.As(err, &newer) {
				t.Errorf("error %v", err)
			}
			if err != nil {
				continue
			}
			state, err := o.State()
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("state: error %v", err)
			}
			read += len(state.State)
			for g, err := range o.EachGroup() {
				if err != nil && !errors.Is(err, ErrCorrupt) {
					t.Errorf("groups: error %v", err)
				}
				read += len(g.Group)
				for _, c := range g.Offsets {
					read += 200 + len(c.TopicName) + len(c.Metadata)
				}
			}
			// What was compressed well, and turned out too short, is not in read.
			if n := allocated() - before; n > uint64(64*len(b)+8*read+3*2*window+16<<20) && n > uint64(min(o.header.stateLength, o.header.groupsLength))*8 {
				t.Errorf("%d bytes were allocated for %d that say %d", n, len(b), read)
			}
		}
	})
}
