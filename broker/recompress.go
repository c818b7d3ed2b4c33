package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/broker/settings"
)

// recompressors is how many Produce requests are compressed anew at a time. What that takes of memory is no part of the
// budget for frames: each holds the records of one batch, and all batches that it made until they are appended, both
// at most recordbatch.MaxRecompressed.
const recompressors = 2

// compressionOf is what the topic wants batches to be compressed with; false: whatever the producer chose.
func compressionOf(set *settings.Topic) (recordbatch.Compression, bool) {
	switch set.CompressionType {
	case settings.Uncompressed:
		return recordbatch.Compression{Codec: recordbatch.None}, true
	case recordbatch.Gzip.String():
		return recordbatch.Compression{Codec: recordbatch.Gzip, Level: set.GzipLevel}, true
	case recordbatch.Snappy.String():
		return recordbatch.Compression{Codec: recordbatch.Snappy}, true
	case recordbatch.LZ4.String():
		return recordbatch.Compression{Codec: recordbatch.LZ4, Level: set.LZ4Level}, true
	case recordbatch.Zstd.String():
		return recordbatch.Compression{Codec: recordbatch.Zstd, Level: set.ZstdLevel}, true
	}
	return recordbatch.Compression{}, false
}

// recompress makes of a valid batch one with the topic's codec. A batch that has it already stays as it is, whatever its
// level, as in Kafka. From the first batch that does not on, the request holds one of the places until release.
func (p *production) recompress(ctx context.Context, batch []byte, h recordbatch.Header, rules recordbatch.Rules, set *settings.Topic) ([]byte, recordbatch.Header, error) {
	to, ok := compressionOf(set)
	if !ok || to.Codec == h.Codec() {
		return batch, h, nil
	}
	if !p.recompresses {
		ctx, cancel := context.WithTimeout(ctx, p.patience())
		defer cancel()
		select {
		case p.recompressing <- struct{}{}:
			p.recompresses = true
		case <-ctx.Done():
			return nil, h, ctx.Err()
		}
	}
	made, h, err := recordbatch.Recompress(batch, rules, to)
	if err != nil {
		return nil, h, err
	}
	if p.remade += len(made); p.remade > recordbatch.MaxRecompressed {
		return nil, h, refuse(kerr.MessageTooLarge, fmt.Sprintf("the request holds more than %d bytes that are to be compressed with %s", recordbatch.MaxRecompressed, to.Codec))
	}
	if len(made) > int(set.SegmentBytes) {
		return nil, h, tooLargeForSegment(len(made), set)
	}
	return made, h, nil
}

// release lets others recompress.
func (p *production) release() {
	if p.recompresses {
		p.recompresses = false
		<-p.recompressing
	}
}

func tooLargeForSegment(size int, set *settings.Topic) error {
	return refuse(kerr.RecordListTooLarge, fmt.Sprintf("batch of %d bytes exceeds segment.bytes, %d", size, set.SegmentBytes))
}
