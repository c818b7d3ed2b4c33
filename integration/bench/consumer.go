package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// polls counts what consumers are answered.
type polls struct {
	began            chan struct{} // receives once for each consumer that has its offsets
	answers, records atomic.Int64
}

// place is the first of the partitions of a consumer.
type place struct {
	topic     [16]byte
	partition int32
}

// consumer fetches from the end of its partitions on, as the libraries do: all its partitions in the first request of a
// session, and then what changed.
type consumer struct {
	*client
	place
	wait           time.Duration
	session, epoch int32
	offsets        [pollShare]int64
	idle           []byte // the request that changes nothing
	answer         []byte
}

// consume fetches from a time on, until ctx ends. It waits so long at first, and then as long as it always will.
func (p *polls) consume(ctx context.Context, address string, at place, due time.Time, first, wait time.Duration) error {
	select {
	case <-time.After(time.Until(due)):
	case <-ctx.Done():
		return nil
	}
	conn, err := dial(ctx, address)
	if err != nil {
		return err
	}
	defer conn.close()
	c := &consumer{client: conn, place: at}
	if _, err := c.fetch(c.request(true)); err != nil {
		return err
	}
	c.wait = first
	request := c.request(true)
	c.wait = wait
	p.began <- struct{}{}
	for {
		records, err := c.fetch(request)
		if err != nil {
			return err
		}
		p.answers.Add(1)
		if records {
			p.records.Add(1)
			request = c.request(true)
		} else {
			request = c.again()
		}
	}
}

// request begins a session or goes on with it, with all partitions where they are to be read now, or with no change.
func (c *consumer) request(partitions bool) []byte {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MinBytes, req.MaxBytes, req.MaxWaitMillis = 13, 1, 50<<20, int32(c.wait.Milliseconds())
	req.SessionID, req.SessionEpoch = c.session, c.epoch
	if partitions {
		t := kmsg.NewFetchRequestTopic()
		t.TopicID = c.topic
		for i, offset := range c.offsets {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition, p.FetchOffset, p.PartitionMaxBytes = c.partition+int32(i), offset, 1<<20
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	return frame(req)
}

// Where a Fetch request of version 13 from "bench" has the epoch of its session, and where its answer has what matters.
const (
	epochAt     = 4 + 8 + 2 + 5 + 1 + 4 + 4 + 4 + 4 + 1 + 4
	fetchCodeAt = 4 + 1 + 4
	sessionAt   = fetchCodeAt + 2
	topicsAt    = sessionAt + 4
)

// again is the request after one that brought nothing. Without a session, for which there may have been no room, it is
// about all partitions again.
func (c *consumer) again() []byte {
	if c.idle == nil {
		c.idle = c.request(c.session == 0)
	}
	binary.BigEndian.PutUint32(c.idle[epochAt:], uint32(c.epoch))
	return c.idle
}

// fetch tells whether there were records. The next request is about what comes after them.
func (c *consumer) fetch(frame []byte) (records bool, err error) {
	size, err := c.send(frame)
	if err != nil {
		return false, err
	}
	if cap(c.answer) < size {
		c.answer = make([]byte, size)
	}
	answer := c.answer[:size]
	if _, err := io.ReadFull(c.in, answer); err != nil {
		return false, err
	}
	if size <= topicsAt {
		return false, fmt.Errorf("fetch: an answer of %d bytes", size)
	}
	if err := kerr.ErrorForCode(int16(binary.BigEndian.Uint16(answer[fetchCodeAt:]))); err != nil {
		return false, err
	}
	if c.session = int32(binary.BigEndian.Uint32(answer[sessionAt:])); c.session != 0 {
		c.epoch++
	}
	if answer[topicsAt] == 1 { // none
		return false, nil
	}
	return c.read(answer[5:])
}

// read takes the ends of the partitions from an answer.
func (c *consumer) read(body []byte) (records bool, err error) {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = 13
	if err := resp.ReadFrom(body); err != nil {
		return false, err
	}
	for i := range resp.Topics {
		for _, p := range resp.Topics[i].Partitions {
			at := p.Partition - c.partition
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return false, err
			}
			if resp.Topics[i].TopicID != c.topic || at < 0 || int(at) >= len(c.offsets) {
				return false, errors.New("an answer about a partition that was not asked for")
			}
			if len(p.RecordBatches) > 0 {
				records = true
			}
			c.offsets[at] = p.HighWatermark
		}
	}
	return records, nil
}
