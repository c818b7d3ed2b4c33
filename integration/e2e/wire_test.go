package e2e

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// rawConn is a bare TCP connection to a broker, for what no client library would send.
type rawConn struct {
	net.Conn
	correlation int32
}

const wireTimeout = 15 * time.Second

func dial(t *testing.T, addr string) *rawConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(wireTimeout))
	return &rawConn{Conn: conn}
}

// frame is a request as it goes over the wire.
func frame(req kmsg.Request, correlation int32) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("hostile")).AppendRequest(nil, req, correlation)
}

func (c *rawConn) write(t *testing.T, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func (c *rawConn) send(t *testing.T, req kmsg.Request) {
	t.Helper()
	c.correlation++
	c.write(t, frame(req, c.correlation))
}

// payload reads one answer and returns what follows its correlation id.
func (c *rawConn) payload(t *testing.T) []byte {
	t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		t.Fatalf("read the size of an answer: %v", err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, body); err != nil {
		t.Fatalf("read an answer: %v", err)
	}
	if got := int32(binary.BigEndian.Uint32(body)); got != c.correlation {
		t.Fatalf("the answer is for request %d, not %d", got, c.correlation)
	}
	return body[4:]
}

func (c *rawConn) receive(t *testing.T, req kmsg.Request) kmsg.Response {
	t.Helper()
	b := kbin.Reader{Src: c.payload(t)}
	if req.IsFlexible() && req.Key() != 18 {
		kmsg.SkipTags(&b)
	}
	resp := req.ResponseKind()
	if err := resp.ReadFrom(b.Src); err != nil {
		t.Fatalf("decode the answer: %v", err)
	}
	return resp
}

// closed says whether the broker closes the connection without another byte.
func (c *rawConn) closed(t *testing.T) {
	t.Helper()
	n, err := c.Read(make([]byte, 1))
	var timeout net.Error
	if n > 0 || err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the connection is not closed: %d bytes, %v", n, err)
	}
}

// record is the encoding of one record without key, the first of its batch.
func record(value string) []byte {
	r := kmsg.NewRecord()
	r.Value = []byte(value)
	body := r.AppendTo(nil)
	// The length stands in front as a varint and does not count itself.
	r.Length = int32(len(body)) - 1
	return r.AppendTo(nil)
}

// batch makes a valid batch of one record; each change may spoil it, before the CRC is computed.
func batch(records []byte, changes ...func(*kmsg.RecordBatch)) []byte {
	b := kmsg.NewRecordBatch()
	b.PartitionLeaderEpoch = -1
	b.Magic = 2
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = -1, -1, -1
	now := time.Now().UnixMilli()
	b.FirstTimestamp, b.MaxTimestamp = now, now
	b.NumRecords = 1
	b.Records = records
	b.Length = int32(49 + len(records))
	for _, change := range changes {
		change(&b)
	}
	raw := b.AppendTo(nil)
	const crcAt, attributesAt = 17, 21
	binary.BigEndian.PutUint32(raw[crcAt:], crc32.Checksum(raw[attributesAt:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// produceRequest writes raw bytes, with luck a batch, to partition 0 of a topic.
func produceRequest(topic string, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version = 9
	req.Acks = -1
	req.TimeoutMillis = 10_000
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = records
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rt.Partitions = []kmsg.ProduceRequestTopicPartition{p}
	req.Topics = []kmsg.ProduceRequestTopic{rt}
	return req
}
