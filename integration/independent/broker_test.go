package independent

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // it is what S3's ETags are made of
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/metastore/index"
	"github.com/runnel-io/runnel/metastore/mark"
	"github.com/runnel-io/runnel/objstore"
)

// produced is what a test gave to a broker.
const (
	topics, partitions, rounds = 2, 3, 12
	perRound                   = 40 // records to each partition, of which every third round is large
	large                      = 20_000
)

// TestWhatABrokerWrote: minio-go finds in the bucket every object that the broker's own client does, and each is what its name and
// its own checksums say: segments down to the batches, which hold every record that was acknowledged; copies of the
// metastore; marks.
func TestWhatABrokerWrote(t *testing.T) {
	onServers(t, func(t *testing.T, bucket string) {
		stores := storesOn(t, bucket)
		b := harness.Node(t, stores, harness.NodeOptions{Env: []string{"RUNNEL_INDEX_INTERVAL=1s", "RUNNEL_COMPACTION_DELAY=1s", "RUNNEL_SEGMENT_SIZE=1MiB"}})
		b.Restart()
		acknowledged := produce(t, b.Addr)
		p := placeOf(t, stores)
		ours, theirs := p.sdk(t), p.minio(t)
		eventually(t, "the metastore is copied, and a mark made", func() bool {
			return len(listed(t, ours, "index/")) > 0 && len(listed(t, ours, "position/")) > 0
		})
		b.Stop()

		kinds, records := make(map[string]int), int64(0)
		entries := make(map[string]int64)
		for o := range theirs.entries(harness.Soon(t), "", "") {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			key := strings.TrimPrefix(o.Key, theirs.prefix)
			entries[key] = o.Size
			whole, err := theirs.GetSuffix(harness.Soon(t), key, o.Size+1)
			if err != nil || int64(len(whole)) != o.Size {
				t.Errorf("%s: %d bytes of the %d that the list tells: %v", key, len(whole), o.Size, err)
				continue
			}
			if sum := md5.Sum(whole); strings.Trim(o.ETag, `"`) != hex.EncodeToString(sum[:]) { //nolint:gosec // as above
				t.Errorf("%s: its ETag is %s, its bytes have %x", key, o.ETag, sum)
			}
			same, err := ours.GetSuffix(harness.Soon(t), key, o.Size+1)
			if err != nil || !bytes.Equal(whole, same) {
				t.Errorf("%s: the broker's client reads other bytes than minio-go: %v", key, err)
			}
			kind, n, err := examine(harness.Soon(t), theirs, key, whole)
			if err != nil {
				t.Errorf("%s: %v", key, err)
			}
			kinds[kind]++
			records += n
		}
		for o, err := range ours.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			if size, ok := entries[o.Key]; !ok || size != o.Size {
				t.Errorf("the broker's client lists %s of %d bytes, minio-go %v of %d", o.Key, o.Size, ok, size)
			}
			delete(entries, o.Key)
		}
		if len(entries) > 0 {
			t.Errorf("minio-go lists what the broker's client does not: %v", entries)
		}
		t.Logf("%v, %d records in segments of tier 0, %d acknowledged", kinds, records, acknowledged)
		if kinds["t0"] < rounds || kinds["index"] == 0 || kinds["position"] == 0 || records < acknowledged {
			t.Errorf("objects %v with %d records, of %d acknowledged", kinds, records, acknowledged)
		}
	})
}

// examine reads an object by ranges, as brokers do, and holds it to all that it says of itself. records are counted in tier 0,
// where each is stored once.
func examine(ctx context.Context, objects objstore.Store, key string, whole []byte) (kind string, records int64, err error) {
	kind, _, _ = strings.Cut(key, "/")
	switch kind {
	case "t0", "t1":
		if _, err := segment.ParseKey(key); err != nil {
			return kind, 0, err
		}
		found, err := fsck.ReadIndex(ctx, objects, key, int64(len(whole)))
		if err != nil {
			return kind, 0, err
		}
		err = fsck.ReadBatches(ctx, objects, key, &found, func(_ int, _ int64, h recordbatch.Header) {
			if kind == "t0" {
				records += int64(h.Records)
			}
		})
		return kind, records, err
	case "index":
		if _, err := index.ParseKey(key); err != nil {
			return kind, 0, err
		}
		_, err := index.Decode(whole)
		return kind, 0, err
	case "position":
		_, err := mark.Parse(key)
		return kind, 0, err
	}
	return kind, 0, fmt.Errorf("nobody knows objects of the kind %q", kind)
}

// produce makes records of all codecs, small and large, and returns how many were acknowledged.
func produce(t *testing.T, bootstrap string) (acknowledged int64) {
	t.Helper()
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.ZstdCompression(), kgo.Lz4Compression(), kgo.SnappyCompression(), kgo.GzipCompression()}
	var names []string
	for i := range topics {
		names = append(names, fmt.Sprint("topic-", i))
	}
	for i, codec := range codecs {
		c, err := harness.Client(t, kgo.SeedBrokers(bootstrap), kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if _, err := kadm.NewClient(c).CreateTopics(harness.Soon(t), partitions, 1, nil, names...); err != nil {
				t.Fatal(err)
			}
		}
		for round := range rounds {
			var all []*kgo.Record
			for n := range perRound * partitions {
				size := 100
				if round%3 == 0 {
					size = large
				}
				all = append(all, &kgo.Record{
					Topic: names[round%topics], Partition: int32(n % partitions), Key: fmt.Append(nil, n), Value: noise(uint64(n), size),
				})
			}
			if err := c.ProduceSync(harness.Soon(t), all...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			acknowledged += int64(len(all))
		}
		c.Close()
	}
	return acknowledged
}

func storesOn(t *testing.T, bucket string) harness.Stores {
	t.Helper()
	dsn := os.Getenv("RUNNEL_TEST_POSTGRES")
	if dsn == "" {
		dsn = harness.OwnPostgres(t, servers.PostgresOptions{}).DSN()
	}
	s := harness.StoresOn(t, dsn, bucket)
	s.Migrate(t)
	return s
}

// placeOf is where the brokers keep their objects.
func placeOf(t *testing.T, s harness.Stores) place {
	t.Helper()
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(s.ObjectStore, "s3://"), "/")
	return place{
		endpoint: s.Endpoint, host: strings.TrimPrefix(s.Endpoint, "http://"), bucket: bucket, prefix: prefix, access: s.AccessKey, secret: s.SecretKey,
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	harness.Eventually(t, what, 30*time.Second, ok)
}
