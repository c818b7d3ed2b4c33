package workload

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/history"
)

// forward leaves out what is before an offset that was committed already, or may have been. Members of a group go on where
// the group is, but who is alone in its group goes back and starts anew as it likes; only what it commits does not.
func (w *worker) forward(c *consumer, offsets []history.At) []history.At {
	if c.isMember {
		return offsets
	}
	var on []history.At
	for _, at := range offsets {
		if at.Offset >= w.asked[at.Partition] {
			w.asked[at.Partition] = at.Offset
			on = append(on, at)
		}
	}
	return on
}

// commitOffsets commits where the consumer is, outside of a transaction, or where one was that its group has gone on without:
// that has to be refused, unless the group has not done so yet, and then the offset is still that one's to commit.
func (w *worker) commitOffsets(ctx context.Context) {
	c := w.reader
	c.mu.Lock()
	offsets, ghost := sortedOffsets(c.positions), w.ghost
	of := history.Operation{Client: w.life, Group: c.group, Member: c.member, Generation: c.generation, Classic: c.isClassic}
	c.mu.Unlock()
	if ghost != nil && w.chance(40) {
		of.Group, of.Member, of.Generation, of.Classic, of.Offsets = ghost.group, ghost.member, ghost.generation, true, ghost.offsets
		w.commit(ctx, w.admin, of)
		return
	}
	if offsets = w.forward(c, offsets); len(offsets) > 0 {
		of.Offsets = offsets
		w.commit(ctx, w.admin, of)
	}
}

// commit commits the offsets of an operation by a client.
func (w *worker) commit(ctx context.Context, by *client, of history.Operation) {
	ctx, cancel := context.WithTimeout(ctx, w.Operation)
	defer cancel()
	of.Kind, of.Worker = history.CommitOffsets, w.number
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = of.Group, of.Member, of.Generation
	for _, at := range of.Offsets {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != at.Topic {
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic = at.Topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = at.Number, at.Offset
		topic := &req.Topics[len(req.Topics)-1]
		topic.Partitions = append(topic.Partitions, p)
	}
	op := w.Recorder.Begin(of)
	before := by.wire.sent(kmsg.OffsetCommit)
	resp, err := req.RequestWith(ctx, by.Client)
	if err == nil {
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	}
	tries := attempts{left: by.wire.sent(kmsg.OffsetCommit) - before, all: ctx.Err() == nil}
	w.Recorder.End(op, tries.outcome(err), err)
}

// fetchOffsets reads back what a group has committed of the active partitions.
func (w *worker) fetchOffsets(ctx context.Context) {
	if partitions := w.keys.active(); len(partitions) > 0 {
		w.look(ctx, w.admin, w.reader.group, partitions)
	}
}

// look reads back what a group has committed, by a client.
func (w *worker) look(ctx context.Context, by *client, group string, partitions []history.Partition) {
	op := w.Recorder.Begin(history.Operation{Kind: history.FetchOffsets, Worker: w.number, Client: w.life, Group: group, Partitions: partitions})
	ctx, cancel := context.WithTimeout(ctx, w.Operation)
	defer cancel()
	found, err := committed(ctx, by, group, partitions)
	op.Offsets = found
	outcome := history.OK
	if err != nil {
		outcome = history.Failed // a read changes nothing
	}
	w.Recorder.End(op, outcome, err)
}

// committed asks for a group's offsets, and waits for open transactions with such. admin's versions are byNames.
func committed(ctx context.Context, admin *client, group string, partitions []history.Partition) ([]history.At, error) {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	for _, p := range partitions {
		if n := len(g.Topics); n == 0 || g.Topics[n-1].Topic != p.Topic {
			t := kmsg.NewOffsetFetchRequestGroupTopic()
			t.Topic = p.Topic
			g.Topics = append(g.Topics, t)
		}
		topic := &g.Topics[len(g.Topics)-1]
		topic.Partitions = append(topic.Partitions, p.Number)
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Groups, req.RequireStable = []kmsg.OffsetFetchRequestGroup{g}, true
	resp, err := req.RequestWith(ctx, admin.Client)
	if err != nil {
		return nil, err
	}
	if len(resp.Groups) != 1 {
		return nil, fmt.Errorf("asked for the offsets of one group, told those of %d", len(resp.Groups))
	}
	if err := kerr.ErrorForCode(resp.Groups[0].ErrorCode); err != nil {
		return nil, err
	}
	var found []history.At
	for _, t := range resp.Groups[0].Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("%s/%d: %w", t.Topic, p.Partition, err)
			}
			found = append(found, history.At{Partition: history.Partition{Topic: t.Topic, Number: p.Partition}, Offset: p.Offset})
		}
	}
	return found, nil
}
