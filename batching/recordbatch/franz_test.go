package recordbatch_test

import (
	"bytes"
	"hash/crc32"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
)

var franzCodecs = map[recordbatch.Codec]kgo.CompressionCodecType{
	recordbatch.Gzip:   kgo.CodecGzip,
	recordbatch.Snappy: kgo.CodecSnappy,
	recordbatch.LZ4:    kgo.CodecLz4,
	recordbatch.Zstd:   kgo.CodecZstd,
}

// What franz-go makes of records must be valid here and read as the same records.
func TestBatchesOfFranzGo(t *testing.T) {
	for codec := recordbatch.None; codec <= recordbatch.Zstd; codec++ {
		t.Run(codec.String(), func(t *testing.T) {
			want := sample(100)
			b := franzBatch(t, want, codec)
			h, err := recordbatch.Validate(b, rules())
			if err != nil || h.Codec() != codec || h.Records != 100 || h.ProducerID != 77 || h.BaseSequence != 9 {
				t.Fatalf("%+v, %v", h, err)
			}
			var got []recordbatch.Record
			for r, err := range recordbatch.Records(b, 1<<20) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, r)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatal("records differ")
			}
		})
	}
}

func franzBatch(t *testing.T, records []recordbatch.Record, codec recordbatch.Codec) []byte {
	var body []byte
	for i, r := range records {
		k := kmsg.Record{TimestampDelta64: r.Timestamp - records[0].Timestamp, OffsetDelta: int32(i), Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		encoded := k.AppendTo(nil) // with a length of 0, in one byte
		k.Length = int32(len(encoded) - 1)
		body = k.AppendTo(body)
	}
	if codec != recordbatch.None {
		c, err := kgo.DefaultCompressor([]kgo.CompressionCodec{
			kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
		}[codec-1])
		if err != nil {
			t.Fatal(err)
		}
		compressed, used := c.Compress(new(bytes.Buffer), body)
		if used != franzCodecs[codec] {
			t.Fatalf("compressed with %v", used)
		}
		body = bytes.Clone(compressed)
	}
	k := kmsg.RecordBatch{
		Length: int32(recordbatch.HeaderSize - 12 + len(body)), PartitionLeaderEpoch: -1, Magic: 2,
		Attributes: int16(codec), LastOffsetDelta: int32(len(records) - 1),
		FirstTimestamp: records[0].Timestamp, MaxTimestamp: now + 4,
		ProducerID: 77, ProducerEpoch: 1, FirstSequence: 9, NumRecords: int32(len(records)), Records: body,
	}
	k.CRC = int32(crc32.Checksum(k.AppendTo(nil)[21:], crc32.MakeTable(crc32.Castagnoli)))
	return k.AppendTo(nil)
}

// What is patched here must read in franz-go's consumer as intended.
func TestFranzGoReadsPatchedBatches(t *testing.T) {
	for _, c := range codecs() {
		t.Run(c.name, func(t *testing.T) {
			b := recordbatchtest.Encode(sample(20), c.opts)
			recordbatch.SetBaseOffset(b, 5000, 0)
			recordbatch.SetLogAppendTime(b, now+99)
			p := kmsg.NewFetchResponseTopicPartition()
			p.RecordBatches, p.HighWatermark = b, 5020
			got, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: "t", Offset: 5010}, &p, kgo.DefaultDecompressor(), nil)
			if got.Err != nil || len(got.Records) != 10 {
				t.Fatalf("%d records, %v", len(got.Records), got.Err)
			}
			for i, r := range got.Records {
				if r.Offset != int64(5010+i) || !r.Timestamp.Equal(time.UnixMilli(now+99)) {
					t.Fatalf("record %d: offset %d at %v", i, r.Offset, r.Timestamp)
				}
			}
		})
	}
}
