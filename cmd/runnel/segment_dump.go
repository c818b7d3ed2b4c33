package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/runnel-io/runnel/batching/fsck"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/segment"
)

// segmentJSON is what segment dump --json writes of each segment. Offsets are in it for tier 1 alone: the commit log has those
// of tier 0.
type segmentJSON struct {
	Segment string           `json:"segment"` // as it was named
	ID      string           `json:"id"`
	Tier    int              `json:"tier"`
	Key     string           `json:"key"` // of the id
	Created string           `json:"created"`
	Size    int64            `json:"size"`
	Runs    []segmentRunJSON `json:"runs"`
}

type segmentRunJSON struct {
	TopicID      string             `json:"topic_id"`
	Partition    int32              `json:"partition"`
	Position     uint32             `json:"position"`
	Length       uint32             `json:"length"`
	Batches      uint32             `json:"batches"`
	Records      uint32             `json:"records"`
	MaxTimestamp int64              `json:"max_timestamp_ms"`
	CRC          string             `json:"crc32c"`
	Chains       []segmentChainJSON `json:"chains"`                // of tier 0
	BaseOffset   *int64             `json:"base_offset,omitempty"` // of tier 1, as what follows
	Offsets      int32              `json:"offsets,omitempty"`
	Marks        []segmentMarkJSON  `json:"marks,omitempty"`
	Headers      []segmentBatchJSON `json:"record_batches,omitempty"` // with --records
}

type segmentChainJSON struct {
	ProducerID int64  `json:"producer_id"`
	Epoch      int16  `json:"producer_epoch"`
	First      int32  `json:"first_sequence"`
	Last       int32  `json:"last_sequence"`
	Batches    uint32 `json:"batches"`
}

type segmentMarkJSON struct {
	Offset       int64  `json:"offset"`
	Position     uint32 `json:"position"` // from the start of the run
	MaxTimestamp int64  `json:"max_timestamp_ms"`
}

type segmentBatchJSON struct {
	Position      int64  `json:"position"`
	Length        int    `json:"length"`
	BaseOffset    *int64 `json:"base_offset,omitempty"` // of tier 1
	Offsets       int32  `json:"offsets"`
	Records       int32  `json:"records"`
	Codec         string `json:"codec"`
	Transactional bool   `json:"transactional"`
	Control       bool   `json:"control"`
	LogAppendTime bool   `json:"log_append_time"`
	BaseTimestamp int64  `json:"base_timestamp_ms"`
	MaxTimestamp  int64  `json:"max_timestamp_ms"`
	ProducerID    int64  `json:"producer_id"`
	Epoch         int16  `json:"producer_epoch"`
	BaseSequence  int32  `json:"base_sequence"`
	CRC           string `json:"crc32c"`
}

// dump returns what could be read, also with an error; nil if there is nothing.
func (o *segmentObject) dump(ctx context.Context, records bool) (*segmentJSON, error) {
	index, err := fsck.ReadIndex(ctx, o.objects, o.name, o.size)
	if err != nil {
		return nil, err
	}
	d := &segmentJSON{Segment: o.name, ID: uuid.UUID(index.ID).String(), Tier: index.Tier, Key: segment.Key(index.ID), Created: timeText(index.Created.UnixMilli()),
		Size: index.Size, Runs: []segmentRunJSON{}}
	for i := range index.Runs {
		d.Runs = append(d.Runs, dumpRun(&index.Runs[i], index.Tier))
	}
	if !records {
		return d, nil
	}
	return d, fsck.ReadBatches(ctx, o.objects, o.name, &index, func(run int, position int64, h recordbatch.Header) {
		in := &d.Runs[run]
		batch := segmentBatchJSON{
			Position: position, Length: h.Size(), Offsets: h.LastOffsetDelta + 1, Records: h.Records, Codec: h.Codec().String(),
			Transactional: h.Transactional(), Control: h.Control(), LogAppendTime: h.LogAppendTime(), BaseTimestamp: h.BaseTimestamp, MaxTimestamp: h.MaxTimestamp,
			ProducerID: h.ProducerID, Epoch: h.ProducerEpoch, BaseSequence: h.BaseSequence, CRC: fmt.Sprintf("%08x", h.CRC),
		}
		if index.Tier == 1 {
			batch.BaseOffset = &h.BaseOffset
		}
		in.Headers = append(in.Headers, batch)
	})
}

func dumpRun(r *segment.Run, tier int) segmentRunJSON {
	run := segmentRunJSON{
		TopicID: idText(kadm.TopicID(r.Topic)), Partition: r.Partition, Position: r.Position, Length: r.Length, Batches: r.Batches, Records: r.Records,
		MaxTimestamp: r.MaxTimestamp, CRC: fmt.Sprintf("%08x", r.CRC), Chains: []segmentChainJSON{},
	}
	for _, c := range r.Chains {
		run.Chains = append(run.Chains, segmentChainJSON{c.ProducerID, c.Epoch, c.FirstSequence, c.LastSequence, c.Batches})
	}
	if tier == 1 {
		run.BaseOffset, run.Offsets = &r.Base, r.Offsets
	}
	for _, m := range r.Marks {
		run.Marks = append(run.Marks, segmentMarkJSON(m))
	}
	return run
}

// write writes a dump for people.
func (d *segmentJSON) write(env *environment) error {
	fmt.Fprintf(env.out, "segment %s, tier %d, created %s, %s, %s\n", d.ID, d.Tier, d.Created, bytesText(d.Size), plural(int64(len(d.Runs)), "run", "runs"))
	if d.Segment != d.Key {
		fmt.Fprintf(env.out, "%s, key %s\n", d.Segment, d.Key)
	}
	last := []any{"PRODUCERS"}
	if d.Tier == 1 {
		last = []any{"BASE OFFSET", "OFFSETS", "MARKS"}
	}
	t := newTable(env.out)
	t.row(append([]any{"TOPIC ID", "PARTITION", "POSITION", "LENGTH", "BATCHES", "RECORDS", "MAX TIMESTAMP", "CRC-32C"}, last...)...)
	for i := range d.Runs {
		r := &d.Runs[i]
		last := []any{orDash(chainsText(r.Chains))}
		if d.Tier == 1 {
			last = []any{*r.BaseOffset, r.Offsets, len(r.Marks)}
		}
		t.row(append([]any{r.TopicID, r.Partition, r.Position, r.Length, r.Batches, r.Records, timeText(r.MaxTimestamp), r.CRC}, last...)...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	for i := range d.Runs {
		if r := &d.Runs[i]; len(r.Headers) > 0 {
			fmt.Fprintf(env.out, "\n%s-%d\n", r.TopicID, r.Partition)
			if err := writeHeaders(env, r.Headers); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintln(env.out)
	return err
}

// chainsText is like 17@0:5..8, producer and epoch and sequences; of many the first few.
func chainsText(chains []segmentChainJSON) string {
	const most = 3
	var texts []string
	for i, c := range chains {
		if i == most {
			texts = append(texts, fmt.Sprintf("and %s more", grouped(int64(len(chains)-most))))
			break
		}
		texts = append(texts, fmt.Sprintf("%d@%d:%d..%d", c.ProducerID, c.Epoch, c.First, c.Last))
	}
	return strings.Join(texts, " ")
}

func writeHeaders(env *environment, headers []segmentBatchJSON) error {
	t := newTable(env.out, "POSITION", "LENGTH", "OFFSET", "RECORDS", "CODEC", "FIRST TIMESTAMP", "MAX TIMESTAMP", "PRODUCER", "CRC-32C", "")
	for _, h := range headers {
		offset, producer, notes := "-", "-", []string{}
		if h.BaseOffset != nil {
			offset = fmt.Sprintf("%d..%d", *h.BaseOffset, *h.BaseOffset+int64(h.Offsets)-1)
		}
		if h.ProducerID >= 0 {
			producer = fmt.Sprintf("%d@%d:%d", h.ProducerID, h.Epoch, h.BaseSequence)
		}
		if h.Transactional {
			notes = append(notes, "transactional")
		}
		if h.Control {
			notes = append(notes, "control")
		}
		if h.LogAppendTime {
			notes = append(notes, "LogAppendTime")
		}
		t.row(h.Position, h.Length, offset, h.Records, h.Codec, timeText(h.BaseTimestamp), timeText(h.MaxTimestamp), producer, h.CRC, strings.Join(notes, " "))
	}
	return t.flush()
}
