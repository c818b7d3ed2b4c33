package recordbatch_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
)

// levels are the default of each codec, and the ends of its scale.
var levels = map[recordbatch.Codec][]int{
	recordbatch.None: {0}, recordbatch.Snappy: {0},
	recordbatch.Gzip: {-1, 1, 9}, recordbatch.LZ4: {9, 1, 17}, recordbatch.Zstd: {3, -131072, 22},
}

func TestRecompressionKeepsAllButTheCodec(t *testing.T) {
	for _, from := range codecs() {
		for to, levels := range levels {
			for _, level := range levels {
				t.Run(fmt.Sprintf("%s to %s level %d", from.name, to, level), func(t *testing.T) {
					opts := from.opts
					opts.ProducerID, opts.ProducerEpoch, opts.BaseSequence = 77, 3, 1000
					b := recordbatchtest.Encode(sample(500), opts)
					before, err := recordbatch.Validate(b, rules())
					if err != nil {
						t.Fatal(err)
					}
					whole := bytes.Clone(b)
					made, h, err := recordbatch.Recompress(b, rules(), recordbatch.Compression{Codec: to, Level: level})
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(b, whole) {
						t.Error("the batch was written to")
					}
					valid, err := recordbatch.Validate(made, rules())
					if err != nil || valid != h {
						t.Fatalf("header %+v, validated %+v (%v)", h, valid, err)
					}
					if h.Codec() != to {
						t.Errorf("codec %s", h.Codec())
					}
					h.Length, h.CRC, h.Attributes = before.Length, before.CRC, before.Attributes
					if h != before {
						t.Errorf("header %+v, was %+v", h, before)
					}
					var got []recordbatch.Record
					for r, err := range recordbatch.Records(made, 1<<24) {
						if err != nil {
							t.Fatal(err)
						}
						got = append(got, r)
					}
					if !reflect.DeepEqual(got, sample(500)) {
						t.Error("records differ")
					}
					p := kmsg.NewFetchResponseTopicPartition()
					p.RecordBatches, p.HighWatermark = made, 500
					read, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: "t"}, &p, kgo.DefaultDecompressor(), nil)
					if read.Err != nil || len(read.Records) != 500 {
						t.Errorf("franz-go reads %d records (%v)", len(read.Records), read.Err)
					}
				})
			}
		}
	}
}

func TestRecompressionLooksAtTheRecords(t *testing.T) {
	gzip := func(records []recordbatch.Record) []byte {
		return recordbatchtest.Encode(records, recordbatchtest.Options{Codec: recordbatch.Gzip}.NotIdempotent())
	}
	fewer := gzip(sample(5))
	fewer[57+3]++ // the header announces one record more
	fewer[23+3]++
	recordbatchtest.Seal(fewer)
	broken := gzip(sample(50))
	broken[len(broken)-20] ^= 0xff
	recordbatchtest.Seal(broken)
	late := sample(5)
	late[2].Timestamp = now + 10*3600*1000
	lying := gzip(late)
	for i := range 8 {
		lying[35+i] = lying[27+i] // the header's latest is the first
	}
	recordbatchtest.Seal(lying)
	huge := gzip([]recordbatch.Record{{Timestamp: now, Value: make([]byte, recordbatch.MaxRecompressed)}})
	for name, c := range map[string]struct {
		batch []byte
		to    recordbatch.Codec
		rules func(*recordbatch.Rules)
		want  recordbatch.Reason
	}{
		"too few":              {fewer, recordbatch.Zstd, nil, recordbatch.InvalidRecord},
		"broken":               {broken, recordbatch.Zstd, nil, recordbatch.InvalidRecord},
		"time behind a lie":    {lying, recordbatch.Zstd, nil, recordbatch.InvalidTimestamp},
		"inflates too much":    {huge, recordbatch.Zstd, nil, recordbatch.TooLarge},
		"too large in the end": {gzip([]recordbatch.Record{{Timestamp: now, Value: make([]byte, 5000)}}), recordbatch.None, func(r *recordbatch.Rules) { r.MaxBytes = 5000 }, recordbatch.TooLarge},
		"no key":               {recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now}}, recordbatchtest.Options{Codec: recordbatch.LZ4}.NotIdempotent()), recordbatch.None, func(r *recordbatch.Rules) { r.Compacted = true }, recordbatch.InvalidRecord},
	} {
		r := rules()
		if c.rules != nil {
			c.rules(&r)
		}
		made, _, err := recordbatch.Recompress(c.batch, r, recordbatch.Compression{Codec: c.to, Level: 3})
		var refusal *recordbatch.Refusal
		if !errors.As(err, &refusal) || refusal.Reason != c.want || made != nil {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func FuzzRecompress(f *testing.F) {
	for _, c := range codecs() {
		f.Add(recordbatchtest.Encode(sample(3), c.opts), int8(c.opts.Codec+1)%5)
	}
	f.Fuzz(func(t *testing.T, b []byte, to int8) {
		codec := recordbatch.Codec(to)
		if _, err := recordbatch.Validate(b, rules()); err != nil || !codec.Known() {
			return
		}
		made, h, err := recordbatch.Recompress(b, rules(), recordbatch.Compression{Codec: codec, Level: 1})
		if err != nil {
			return
		}
		if again, err := recordbatch.Validate(made, rules()); err != nil || again != h {
			t.Errorf("made %+v, which validates as %+v (%v)", h, again, err)
		}
	})
}

// TestRecompressionAllocatesLittleMoreThanItMakes: a producer of small batches would otherwise have a broker allocate a
// megabyte for each.
func TestRecompressionAllocatesLittleMoreThanItMakes(t *testing.T) {
	const batches = 20
	small := recordbatchtest.Encode(sample(3), recordbatchtest.Options{}.NotIdempotent())
	for codec, levels := range levels {
		for _, level := range levels {
			least := uint64(math.MaxUint64) // the race detector has a pool lose things now and then
			for range batches {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				if _, _, err := recordbatch.Recompress(small, rules(), recordbatch.Compression{Codec: codec, Level: level}); err != nil {
					t.Fatal(err)
				}
				runtime.ReadMemStats(&after)
				least = min(least, after.TotalAlloc-before.TotalAlloc)
			}
			if least > 128<<10 {
				t.Errorf("%s at level %d: %d bytes are allocated for a batch of %d", codec, level, least, len(small))
			}
		}
	}
}

// TestRecompressionCarriesNothingFromOneBatchToTheNext, although it uses encoders again, at once and one after the other.
func TestRecompressionCarriesNothingFromOneBatchToTheNext(t *testing.T) {
	var batches [][]byte
	for _, n := range []int{1, 600, 2, 300} {
		batches = append(batches, recordbatchtest.Encode(sample(n), recordbatchtest.Options{}.NotIdempotent()))
	}
	var all sync.WaitGroup
	for codec, levels := range levels {
		for _, level := range levels {
			all.Go(func() {
				for _, b := range slices.Concat(batches, batches) {
					made, h, err := recordbatch.Recompress(b, rules(), recordbatch.Compression{Codec: codec, Level: level})
					if err != nil {
						t.Error(err)
						return
					}
					body, err := recordbatch.Decompress(codec, made[recordbatch.HeaderSize:h.Size()], 1<<26)
					if err != nil || !bytes.Equal(body, b[recordbatch.HeaderSize:]) {
						t.Errorf("%s at level %d: other records (%v)", codec, level, err)
					}
				}
			})
		}
	}
	all.Wait()
}

func BenchmarkRecompress(b *testing.B) {
	for name, batch := range map[string][]byte{
		"3 records":   recordbatchtest.Encode(sample(3), recordbatchtest.Options{}.NotIdempotent()),
		"500 records": recordbatchtest.Encode(sample(500), recordbatchtest.Options{Codec: recordbatch.LZ4}.NotIdempotent()),
	} {
		for to := recordbatch.None; to <= recordbatch.Zstd; to++ {
			b.Run(name+" "+to.String(), func(b *testing.B) {
				b.SetBytes(int64(len(batch)))
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := recordbatch.Recompress(batch, rules(), recordbatch.Compression{Codec: to, Level: levels[to][0]}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
