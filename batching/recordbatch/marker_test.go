package recordbatch_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
)

// kmsgMarker makes the batch of a marker field by field.
func kmsgMarker(m recordbatch.Marker) []byte {
	key := kmsg.NewControlRecordKey()
	if m.Commit {
		key.Type = kmsg.ControlRecordKeyTypeCommit
	}
	value := kmsg.NewEndTxnMarker()
	record := kmsg.Record{Key: key.AppendTo(nil), Value: value.AppendTo(nil)}
	record.Length = int32(len(record.AppendTo(nil)) - 1) // less the length of 0 itself
	records := record.AppendTo(nil)
	batch := kmsg.RecordBatch{
		FirstOffset: m.BaseOffset, Length: int32(recordbatch.HeaderSize - 12 + len(records)), PartitionLeaderEpoch: m.LeaderEpoch, Magic: 2,
		Attributes: 0x30, FirstTimestamp: m.Timestamp, MaxTimestamp: m.Timestamp,
		ProducerID: m.ProducerID, ProducerEpoch: m.ProducerEpoch, FirstSequence: -1, NumRecords: 1, Records: records,
	}
	b := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestMarkerIsWhatFranzGoMakes(t *testing.T) {
	for _, m := range []recordbatch.Marker{
		{},
		{Commit: true},
		{BaseOffset: 1 << 40, LeaderEpoch: 7, ProducerID: 1<<62 + 1, ProducerEpoch: 32767, Commit: true, Timestamp: 1_790_000_000_123},
		{BaseOffset: 1, ProducerID: 4711, ProducerEpoch: 3, Timestamp: -1},
	} {
		got := m.Append([]byte("before"))
		if !bytes.HasPrefix(got, []byte("before")) {
			t.Fatal("what was there is gone")
		}
		got = got[len("before"):]
		if want := kmsgMarker(m); len(got) != recordbatch.MarkerSize || !bytes.Equal(got, want) {
			t.Fatalf("%+v:\n%x, want\n%x", m, got, want)
		}
	}
}

func TestMarkerReads(t *testing.T) {
	m := recordbatch.Marker{BaseOffset: 12, ProducerID: 5, ProducerEpoch: 2, Commit: true, Timestamp: 1_790_000_000_123}
	b := m.Append(nil)
	h, err := recordbatch.ParseHeader(b)
	if err != nil || !h.Control() || !h.Transactional() || h.Size() != len(b) || h.CRC != recordbatch.Checksum(b) ||
		h.BaseOffset != 12 || h.LastOffset() != 12 || h.ProducerID != 5 || h.ProducerEpoch != 2 || h.MaxTimestamp != m.Timestamp {
		t.Fatalf("%+v, %v", h, err)
	}
	for r, err := range recordbatch.Records(b, 100) {
		want := recordbatch.Record{Offset: 12, Timestamp: m.Timestamp, Key: []byte{0, 0, 0, 1}, Value: make([]byte, 6)}
		if err != nil || !reflect.DeepEqual(r, want) {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if refused, err := recordbatch.Validate(recordbatch.Marker{}.Append(nil), rules()); err == nil {
		t.Fatalf("a client may write %+v", refused)
	}
}

func TestMarkerCostsNoMoreThanItsBytes(t *testing.T) {
	room := make([]byte, 0, recordbatch.MarkerSize)
	if n := testing.AllocsPerRun(100, func() { recordbatch.Marker{ProducerID: 3, Commit: true}.Append(room) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
