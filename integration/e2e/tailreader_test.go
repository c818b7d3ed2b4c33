package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// tailReader fetches all partitions of a topic from one broker over one connection, as a consumer at the tail does, and
// takes nothing but the next batches: unlike a client library, it forgives no error.
type tailReader struct {
	conn        net.Conn
	topic       string
	next        []int64 // by partition
	correlation int32
	bytes       int64
	slowest     time.Duration // answer, beside the time that the broker may wait for records
}

const tailWait = 250 * time.Millisecond

func newTailReader(ctx context.Context, addr, topic string, partitions int) (*tailReader, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &tailReader{conn: conn, topic: topic, next: make([]int64, partitions)}, nil
}

// follow reads until the ends that a channel tells are reached, in any order with the reading.
func (r *tailReader) follow(ctx context.Context, ends <-chan struct{}, end func() []int64) error {
	defer r.conn.Close()
	stop := context.AfterFunc(ctx, func() { r.conn.Close() })
	defer stop()
	for {
		if err := r.fetch(); err != nil {
			return fmt.Errorf("fetch at offsets %v: %w", r.next, err)
		}
		select {
		case <-ends:
		default:
			continue
		}
		left := false
		for i, e := range end() {
			left = left || r.next[i] < e
		}
		if !left {
			return nil
		}
	}
}

func (r *tailReader) fetch() error {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.SessionEpoch = 11, -1
	req.MaxBytes, req.MinBytes, req.MaxWaitMillis = 8<<20, 1, int32(tailWait.Milliseconds())
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = r.topic
	for i, next := range r.next {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = int32(i), next, 2<<20, -1
		topic.Partitions = append(topic.Partitions, p)
	}
	req.Topics = append(req.Topics, topic)
	began := time.Now()
	resp, err := r.roundTrip(req)
	if err != nil {
		return err
	}
	r.slowest = max(r.slowest, time.Since(began)-tailWait)
	if resp.ErrorCode != 0 {
		return kerr.ErrorForCode(resp.ErrorCode)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return fmt.Errorf("partition %d: %w", p.Partition, kerr.ErrorForCode(p.ErrorCode))
			}
			if err := r.take(p.Partition, p.RecordBatches); err != nil {
				return fmt.Errorf("partition %d: %w", p.Partition, err)
			}
		}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// take checks that batches follow those before, and hold what their CRCs say.
func (r *tailReader) take(partition int32, b []byte) error {
	for len(b) > 0 {
		if len(b) < 61 {
			return fmt.Errorf("%d bytes are no batch", len(b))
		}
		base, size := int64(binary.BigEndian.Uint64(b)), 12+int(binary.BigEndian.Uint32(b[8:]))
		if size > len(b) {
			return fmt.Errorf("a batch of %d bytes has %d", size, len(b))
		}
		if base != r.next[partition] {
			return fmt.Errorf("offset %d follows %d", base, r.next[partition]-1)
		}
		if got, want := crc32.Checksum(b[21:size], castagnoli), binary.BigEndian.Uint32(b[17:]); got != want {
			return fmt.Errorf("the batch at %d has the CRC %08x, not %08x", base, got, want)
		}
		r.next[partition] = base + int64(binary.BigEndian.Uint32(b[23:])) + 1
		r.bytes += int64(size)
		b = b[size:]
	}
	return nil
}

func (r *tailReader) roundTrip(req *kmsg.FetchRequest) (*kmsg.FetchResponse, error) {
	_ = r.conn.SetDeadline(time.Now().Add(wireTimeout))
	r.correlation++
	if _, err := r.conn.Write(frame(req, r.correlation)); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(r.conn, head[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	if _, err := io.ReadFull(r.conn, body); err != nil {
		return nil, err
	}
	b, resp := kbin.Reader{Src: body}, req.ResponseKind().(*kmsg.FetchResponse)
	return resp, resp.ReadFrom(b.Src)
}
