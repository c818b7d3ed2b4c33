package metastore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// goldenSegment has a fixed id, so that golden bytes are fixed.
var goldenSegment = SegmentID{0x01, 0x98, 0xf0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}

func goldenRecords() map[string]record {
	at := func(c change) record { return record{time: 1_760_000_000_123, nonce: 0x0102030405060708, change: c} }
	return map[string]record{
		"commit": at(commitSegments{segments: []committedSegment{{id: goldenSegment, size: 5000, runs: []committedRun{
			{TopicPartition: TopicPartition{TopicID{9}, 3}, position: 32, batches: []committedBatch{
				{length: 100, records: 2, maxTimestamp: 50, producerID: NoProducerID, verdict: Accepted, offset: 40},
				{length: 110, records: 3, maxTimestamp: 40, producerID: 4, producerEpoch: 1, baseSequence: 7, verdict: Accepted, offset: 42},
				{length: 120, records: 1, maxTimestamp: 60, producerID: 4, producerEpoch: 1, baseSequence: 7, verdict: Duplicate, offset: 5},
				{length: 130, records: 1, maxTimestamp: -1, producerID: 4, producerEpoch: 0, baseSequence: 0, verdict: StaleProducerEpoch, offset: NoOffset},
			}},
			{TopicPartition: TopicPartition{TopicID{8}, 0}, position: 492, batches: []committedBatch{
				{length: 90, records: 1, maxTimestamp: 1, producerID: NoProducerID, verdict: UnknownPartition, offset: NoOffset},
			}},
		}}}}),
		"create_topic": at(createTopic{id: TopicID{9}, name: "orders", partitions: 6, replicationFactor: 3, configs: map[string]string{"a": "1", "b": ""}}),
		"delete_topic": at(deleteTopic{id: TopicID{9}}),
		"partitions":   at(createPartitions{id: TopicID{9}, partitions: 12}),
		"configs":      at(alterTopicConfigs{id: TopicID{9}, set: map[string]string{"c": "2"}, unset: []string{"a", "b"}}),
		"producer_ids": at(allocateProducerIDs{first: 3000, count: 1000}),
		"expire":       at(expireProducers{before: 1_750_000_000_000}),
		"commit_transactional": at(commitSegments{segments: []committedSegment{{id: goldenSegment, size: 5000, runs: []committedRun{
			{TopicPartition: TopicPartition{TopicID{9}, 3}, position: 32, batches: []committedBatch{
				{length: 100, records: 2, maxTimestamp: 50, producerID: 4, producerEpoch: 1, transactional: true, verdict: Accepted, offset: 40},
				{length: 110, records: 3, maxTimestamp: 40, producerID: 4, producerEpoch: 1, baseSequence: 2, verdict: InvalidTxnState, offset: NoOffset},
				{length: 120, records: 1, maxTimestamp: 60, producerID: 5, transactional: true, verdict: UnknownTxnProducer, offset: NoOffset},
			}},
		}}}}),
		"transact": at(transact{
			results: []TxnResult{
				{Producer: 4, Epoch: 2}, refusedTxn(nil), refusedTxn(ErrTxnFenced), refusedTxn(ErrTxnMapping), refusedTxn(ErrTxnState), refusedTxn(ErrTxnMoved),
				refusedTxn(ErrTxnTooLarge), refusedTxn(ErrTxnExhausted), refusedTxn(ErrUnknownPartition), refusedTxn(ErrFenced),
			},
			changes: []txnChange{
				{id: "app-1", ended: &txnEnd{Marker: Marker{Producer: 4, Epoch: 2, Commit: true}, at: []markedPartition{{TopicPartition{TopicID{9}, 3}, 42}}},
					becomes: &txn{producer: 4, epoch: 2, lastProducer: 4, lastEpoch: 1, number: 1, timeout: 60_000, state: TxnCompleteCommit, version: 2, committed: true}},
				{id: "app-2", becomes: &txn{producer: 6, epoch: 0, lastProducer: NoProducerID, lastEpoch: -1, timeout: 1, state: TxnOngoing, version: 1},
					partitions: []TopicPartition{{TopicID{9}, 0}, {TopicID{8}, 1}}, groups: []string{"g"}},
				{id: "app-2", offsets: []groupOffset{
					{"g", CommittedOffset{TopicPartition: TopicPartition{TopicID{9}, 5}, TopicName: "orders", Offset: 12, LeaderEpoch: -1, Metadata: "m", CommittedAt: time.UnixMilli(1_760_000_000_000)}},
				}},
				{id: "app-3", forgotten: true},
			},
		}),
		"delete_records": at(moveLogStarts{topics: []movedTopic{
			{TopicID{9}, []movedPartition{{0, 1}, {3, 1 << 40}}}, {TopicID{8}, []movedPartition{{2, 300}}},
		}}),
		"replication_factor": at(setReplicationFactor{id: TopicID{9}, replicationFactor: 3}),
		"alter_configs": at(alterConfigs{changes: []ConfigChange{
			{ConfigResource: ConfigResource{BrokerConfig, ""}, Set: map[string]string{"log.retention.ms": "5", "max.connections": "7"}},
			{ConfigResource: ConfigResource{BrokerConfig, "3"}, Set: map[string]string{"max.connections": "8"}, Unset: []string{"log.retention.ms"}},
			{ConfigResource: ConfigResource{GroupConfig, "g"}, Unset: []string{"a", "b"}},
			{ConfigResource: ConfigResource{ClientMetricsConfig, "m"}, Set: map[string]string{"match": ""}},
		}}),
		"swap": at(swapRuns{
			segments: []RewrittenSegment{{goldenRewritten, 9000}, {SegmentID{6: 0x80, 15: 2}, 0}, {SegmentID{6: 0x80, 15: 3}, 70}},
			swapped: []swappedRuns{
				{TopicPartition: TopicPartition{TopicID{9}, 3}, request: 0, from: 40, end: 45, count: 1, cleanedTo: 44, runs: []run{
					{base: 38, maxTimestamp: 60, segment: 0, position: 16, length: 150, records: 3},
					{base: 44, maxTimestamp: 50, segment: 1, position: 32, length: 70, records: 1},
				}},
				{TopicPartition: TopicPartition{TopicID{8}, 0}, request: 3, from: 7, end: 1 << 40, count: 300},
				{TopicPartition: TopicPartition{TopicID{9}, 1}, request: 4, cleanedTo: 5},
			},
		}),
		"collected": at(collectGarbage{through: 300}),
		"put_off":   at(putOffGarbage{through: 300, kept: []int64{0, 1, 70, 299}}),
		"touch":     at(touch{}),
		"cleaned":   at(noteCleaned{TopicPartition: TopicPartition{TopicID{9}, 3}, to: 1 << 40, forgotten: []Offset{0, 300, 1 << 33}}),
	}
}

// goldenRewritten is of the time of the records.
var goldenRewritten = SegmentID{0x01, 0x99, 0xc8, 0x2c, 0xc0, 0, 0x80, 0, 0x80, 0, 0, 0, 0, 0, 0, 3}

// goldenSwapState has garbage, of which some was collected, a segment of a swap that is remembered, and a partition that was
// cleaned.
func goldenSwapState() *State {
	s := goldenState()
	for i, rec := range []record{
		goldenRecords()["swap"],
		{time: goldenSegment.Time().UnixMilli(), change: collectGarbage{through: 0}},
	} {
		s.apply(Position{Seq(4 + i), 44}, rec, func(TopicPartition) {})
	}
	return s
}

// golden returns the bytes of a golden file. A file that exists is never written again: entries of every version
// ever released have to stay readable.
func golden(t *testing.T, name string, fresh []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && os.Getenv("RUNNEL_NEW_GOLDEN") != "" {
		if err := os.WriteFile(path, fresh, 0o644); err != nil {
			t.Fatal(err)
		}
		return fresh
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordsMatchTheirGoldenFiles(t *testing.T) {
	for name, rec := range goldenRecords() {
		t.Run(name, func(t *testing.T) {
			encoded := rec.encode()
			want := golden(t, name+".v1", encoded)
			if !bytes.Equal(encoded, want) {
				t.Errorf("encoded\n%x\nwant\n%x", encoded, want)
			}
			decoded, err := decodeRecord(want)
			if err != nil || !reflect.DeepEqual(decoded, rec) {
				t.Errorf("decoded %+v (%v)\nwant %+v", decoded, err, rec)
			}
		})
	}
}

func goldenState() *State {
	s := NewState()
	s.apply(Position{1, 11}, goldenRecords()["create_topic"], func(TopicPartition) {})
	s.apply(Position{2, 22}, goldenRecords()["commit"], func(TopicPartition) {})
	s.apply(Position{3, 33}, goldenRecords()["producer_ids"], func(TopicPartition) {})
	return s
}

// goldenTxnState has a transaction that ended and one that is ongoing.
func goldenTxnState() *State {
	s := NewState()
	for i, c := range []change{
		goldenRecords()["create_topic"].change,
		transact{changes: []txnChange{{id: "app-1", becomes: &txn{producer: 4, epoch: 1, lastProducer: NoProducerID, lastEpoch: -1, timeout: 60_000}}}},
		goldenRecords()["commit_transactional"].change,
		transact{changes: []txnChange{{id: "app-1", ended: &txnEnd{Marker: Marker{Producer: 4, Epoch: 2}, at: []markedPartition{{TopicPartition{TopicID{9}, 3}, 42}}},
			becomes: &txn{producer: 4, epoch: 2, lastProducer: 4, lastEpoch: 1, number: 1, timeout: 60_000, state: TxnCompleteAbort, version: 2}}}},
		transact{changes: []txnChange{{id: "app-1", becomes: &txn{producer: 4, epoch: 2, lastProducer: 4, lastEpoch: 1, number: 1, timeout: 60_000, state: TxnOngoing, version: 2},
			groups: []string{"g"}, offsets: []groupOffset{{"g", CommittedOffset{TopicPartition: TopicPartition{TopicID{7}, 5}, TopicName: "gone", Offset: 12, LeaderEpoch: -1, CommittedAt: time.UnixMilli(1_760_000_000_000)}}}}}},
		commitSegments{segments: []committedSegment{{id: SegmentID{1}, size: 900, runs: []committedRun{{TopicPartition: TopicPartition{TopicID{9}, 3}, batches: []committedBatch{
			{length: 100, records: 2, maxTimestamp: 50, producerID: 4, producerEpoch: 2, transactional: true, verdict: Accepted, offset: 43},
		}}}}}},
	} {
		s.apply(Position{Seq(i + 1), 11}, record{time: 1_760_000_000_123, nonce: 1, change: c}, func(TopicPartition) {})
	}
	return s
}

// goldenConfigState has overrides of configs.
func goldenConfigState() *State {
	s := goldenState()
	s.apply(Position{4, 44}, goldenRecords()["alter_configs"], func(TopicPartition) {})
	return s
}

func TestSnapshotsMatchTheirGoldenFiles(t *testing.T) {
	t.Run("snapshot.v1", func(t *testing.T) { matchesGoldenSnapshot(t, "snapshot.v1", goldenState()) })
	t.Run("snapshot.v2", func(t *testing.T) { matchesGoldenSnapshot(t, "snapshot.v2", goldenTxnState()) })
	t.Run("snapshot_garbage.v2", func(t *testing.T) { matchesGoldenSnapshot(t, "snapshot_garbage.v2", goldenSwapState()) })
	t.Run("snapshot_configs.v2", func(t *testing.T) { matchesGoldenSnapshot(t, "snapshot_configs.v2", goldenConfigState()) })
}

func matchesGoldenSnapshot(t *testing.T, name string, s *State) {
	want := golden(t, name, s.clone().encode())
	if got := s.clone().encode(); !bytes.Equal(got, want) {
		t.Errorf("encoded\n%x\nwant\n%x", got, want)
	}
	decoded, err := decodeState(Snapshot{Position: s.at, State: want})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describe(t, decoded), describe(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("decoded %+v\nwant %+v", got, want)
	}
}

func TestTruncatedBytesAreCorrupt(t *testing.T) {
	for name, rec := range goldenRecords() {
		whole := rec.encode()
		for n := range whole {
			if _, err := decodeRecord(whole[:n]); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s cut to %d bytes: %v", name, n, err)
			}
		}
		if _, err := decodeRecord(append(whole, 0)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s with a byte more: %v", name, err)
		}
	}
	for _, s := range []*State{goldenState(), goldenTxnState(), goldenConfigState(), goldenSwapState()} {
		whole := s.clone().encode()
		for n := range whole {
			if _, err := decodeState(Snapshot{State: whole[:n]}); !errors.Is(err, ErrCorrupt) {
				t.Errorf("snapshot cut to %d bytes: %v", n, err)
			}
		}
	}
}

func TestNewerFormatsAreNamedAsSuch(t *testing.T) {
	if _, err := decodeRecord([]byte{recordVersion + 1, 1}); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("record: %v", err)
	}
	if _, err := decodeRecord(append([]byte{recordVersion, 200, 0}, make([]byte, 8)...)); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("kind: %v", err)
	}
	if _, err := decodeState(Snapshot{State: []byte{snapshotSections + 1}}); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("snapshot: %v", err)
	}
	unknown := goldenState().clone().encode()
	unknown[0] = snapshotSections
	unknown = appendSections(unknown, []section{{200, []byte("what it is")}})
	if _, err := decodeState(Snapshot{State: unknown}); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("section: %v", err)
	}
}

func TestSectionsThatAreOutOfOrderAreCorrupt(t *testing.T) {
	whole := goldenState().clone().encode()
	whole[0] = snapshotSections
	configs := section{sectionConfigs, goldenConfigState().configs.encode()}
	for name, sections := range map[string][]section{
		"twice":        {configs, configs},
		"tag 0":        {{0, nil}},
		"cut short":    {{sectionConfigs, configs.body[:len(configs.body)-1]}},
		"bytes behind": {{sectionConfigs, append(configs.body[:len(configs.body):len(configs.body)], 0)}},
	} {
		if _, err := decodeState(Snapshot{State: appendSections(whole[:len(whole):len(whole)], sections)}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForgottenSegmentsAreAlwaysTooOld(t *testing.T) {
	s := NewState()
	old := SegmentID(goldenSegment)
	s.apply(Position{Seq: 1}, record{time: old.Time().UnixMilli(), change: commitSegments{segments: []committedSegment{{id: old}}}}, func(TopicPartition) {})
	if _, ok := s.committed(old); !ok {
		t.Fatal("segment is not remembered")
	}
	late := old.Time().Add(MaxSegmentAge + time.Millisecond)
	s.apply(Position{Seq: 2}, record{time: late.UnixMilli(), change: deleteTopic{}}, func(TopicPartition) {})
	if _, ok := s.committed(old); ok || !s.tooOld(old, old.Time(), nil) {
		t.Error("a forgotten segment could be committed by a broker with a slow clock")
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, rec := range goldenRecords() {
		f.Add(rec.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := decodeRecord(b)
		if err != nil {
			return
		}
		again, err := decodeRecord(rec.encode())
		if err != nil || !reflect.DeepEqual(again, rec) {
			t.Errorf("%+v came back as %+v (%v)", rec, again, err)
		}
	})
}

func FuzzDecodeSnapshot(f *testing.F) {
	f.Add(goldenState().clone().encode())
	f.Add(goldenTxnState().clone().encode())
	f.Add(goldenConfigState().clone().encode())
	f.Add(goldenSwapState().clone().encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeState(Snapshot{State: b})
		if err != nil {
			return
		}
		if _, err := decodeState(Snapshot{State: s.clone().encode()}); err != nil {
			t.Errorf("own encoding: %v", err)
		}
	})
}

func TestNumbersOfEveryLengthAreRead(t *testing.T) {
	for bit := range 65 {
		for _, v := range []uint64{1<<bit - 1, 1 << bit, 1<<bit + 1, 0x5555555555555555 & (1<<bit - 1)} {
			for _, behind := range [][]byte{nil, {0x80}, bytes.Repeat([]byte{0xff}, 9)} {
				d := &decoder{b: append(binary.AppendUvarint(nil, v), behind...)}
				if got := d.uvarint(); got != v || d.err != nil || d.left() != len(behind) {
					t.Errorf("%#x came back as %#x (%v), %d bytes left", v, got, d.err, d.left())
				}
				d = &decoder{b: append(binary.AppendVarint(nil, -int64(v)), behind...)}
				if got := d.varint(); got != -int64(v) || d.err != nil {
					t.Errorf("%d came back as %d (%v)", -int64(v), got, d.err)
				}
			}
		}
	}
	for n := range 12 {
		d := &decoder{b: bytes.Repeat([]byte{0x80}, n)}
		if d.uvarint(); d.err == nil {
			t.Errorf("%d bytes without an end are a number", n)
		}
	}
}

func TestGoldenSwapStateHasAllThatItsSectionsHold(t *testing.T) {
	s := goldenSwapState()
	said := describe(t, s)
	p := said.Partitions[TopicPartition{TopicID{9}, 3}]
	if len(said.Rewritten) != 3 || len(said.Garbage) != 1 || said.NextGarbage != 2 || p.CleanedTo != 44 || len(p.Runs) != 2 {
		t.Errorf("%+v", said)
	}
}
